"""A trained model with its family: a run folder, a model folder or an exported ONNX file -> predictions.

predictor = Predictor.open("runs/first")
prediction = predictor.predict("photo.jpg")
prediction.mask            # of a semantic model: (H, W) class indices, at the photo's own size
prediction.top(3)          # of a classifier: the three likeliest classes
prediction.text            # of a captioning model: the best caption
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from foveate.errors import ConfigError, DataError, ModelError
from foveate.onnx import TITLES, OnnxFile
from foveate.ops.layout import channels_last
from foveate.records import Prediction
from foveate.registry import no_such_run
from foveate.store import PICKLES, load_model, read_tables
from foveate.tasks import create_task
from foveate.tasks.base import Task
from foveate.tasks.expansion import held, require_one, several
from foveate.tasks.exported import family_class, family_of, is_exported, load_exported
from foveate.tasks.options import GENERATE, PREDICT
from foveate.torchvision_networks import FAMILIES, builder_of, refuse
from foveate.values import parse_json


@dataclass
class Predictor:
    """A model that is ready to predict.

    family: its task, with its tables and its preprocessing. runner: the module, or an exported file with the module's
    interface. name: the model's name in the registry. path: the folder or file that it came from. precision: of an
    exported file's computations.
    """

    family: Task
    runner: nn.Module
    name: str
    path: Path
    device: torch.device
    runtime: Literal["torch", "onnxruntime", "openvino"]
    precision: str = "float32"

    @staticmethod
    def open(
        path: str | Path,
        device: str = "auto",
        runtime: str | None = None,
        precision: str = "float32",
        workers: int = 1,
    ) -> Predictor:
        """Load a run folder (its `model/`), a model folder, an exported `.onnx` file, or torchvision/NAME.

        device: "auto" takes CUDA or Apple's MPS where there is one, else the CPU; or "cpu", "cuda", "cuda:1", "mps".
        runtime: of an exported file, "onnxruntime" (the default) or "openvino". precision: of an exported file in
        OpenVINO, "float32" or "bf16". workers: threads that will predict at a time, among which an exported file's
        runtime divides the cores; those of PyTorch divide them by `torch.set_num_threads` in each.
        Raises ModelError for a path that is not a model, is damaged or would need unpickling, and for a runtime that is
        not installed; ConfigError for a device, runtime or precision that is not available.
        """
        path = Path(path)
        if is_exported(path):
            return _open_onnx(path, device, runtime, precision, workers)
        if runtime is not None or precision != "float32":
            raise ConfigError(
                f"{path} is not an exported file, and PyTorch runs it; --runtime and --precision are for the file that "
                f"foveate export {path} --out FILE.onnx writes"
            )
        return _open_folder(path, device)

    @property
    def task(self) -> str:
        """The family's name."""
        return self.family.name

    @property
    def computed_in(self) -> str:
        """The runtime of the model in words: "PyTorch", "ONNX Runtime", "OpenVINO (bf16)"."""
        precision = "" if self.precision == "float32" else f" ({self.precision})"
        return f"{TITLES.get(self.runtime, 'PyTorch')}{precision}"

    @property
    def classes(self) -> Any:
        """The model's only table: its classes, or the vocabulary of its text. Raises ModelError if it has none."""
        if len(self.family.tables) != 1:
            names = ", ".join(self.family.tables) or "none"
            raise ModelError(f"{self.name} has these tables: {names}; take one from predictor.family.tables")
        return next(iter(self.family.tables.values()))

    @property
    def preprocessing(self) -> Any:
        """The transformation of an input into the network's tensor."""
        return self.family.preprocessing

    @property
    def channels(self) -> int:
        """The number of channels of an image that the model takes."""
        return len(self.preprocessing.mean)

    @property
    def model(self) -> nn.Module | None:
        """The module, or None for an exported file."""
        return self.runner if self.runtime == "torch" else None

    def sample(self, given: Any, name: str | None = None, max_pixels: int | None = None) -> dict[str, Any]:
        """An input as `answer` takes it.

        given: a path or URL, the bytes of a file, or the input in memory (see the family's `inputs`); a mapping with
        one of each for a family of several inputs; None for a family without. name: what to call it in messages and in
        the prediction; by default a file's name. max_pixels: refuse larger image files before decoding them.
        Raises DataError for an input that cannot be read or does not fit the model.
        """
        inputs = self.family.inputs
        if not inputs and given is not None:
            raise DataError(f"{self.name} takes no input; leave it out")
        by_name = given if len(inputs) > 1 else {one.name: given for one in inputs}
        if not isinstance(by_name, dict) or set(by_name) != {one.name for one in inputs}:
            keys = " and ".join(one.name for one in inputs)
            raise DataError(f"{self.name} takes {keys}; give a dict with these keys")
        opened = {}
        for one in inputs:
            value = by_name[one.name]
            if len(inputs) == 1:
                require_one(value, one)
            value, address = held(value, one)
            open_it = one.decode if isinstance(value, bytes) and not one.is_text else one.open
            opened[one.name] = open_it(value, self.preprocessing, self.name, name or address, max_pixels)
        if name is None:
            first = by_name[inputs[0].name] if inputs else None
            name = str(first) if isinstance(first, (str, Path)) else ""
        return opened | {"name": Path(name).name}

    def sample_of(self, inputs: Mapping[str, Any], name: str, index: int) -> dict[str, Any]:
        """A sample of one of many inputs. inputs: each by its name. index: its number, of which noise is a function."""
        given = dict(inputs) if len(inputs) > 1 else next(iter(inputs.values()), None)
        return self.sample(given, name) | {"index": index}

    def note(self, sample: Any) -> str:
        """A sentence on how the inputs of a sample were taken, once it was answered; '' for none."""
        return "; ".join(note for one in self.family.inputs if (note := one.note(sample.get(one.name))))

    def _warn(self, samples: Sequence[Any]) -> None:
        for sample in samples:
            if note := self.note(sample):
                warnings.warn(f"{sample['name'] or 'the input'}: {note}", stacklevel=3)

    def answer(
        self, samples: Sequence[Any], options: Any, progress: Callable[[float], None] | None = None
    ) -> list[Any]:
        """Predictions of a batch of samples; options: an instance of the family's `Options`."""
        with torch.inference_mode():
            return self.family.answer(self.runner, samples, options, progress)

    def generate(
        self,
        count: int = 1,
        seed: int = 0,
        options: Any = None,
        progress: Callable[[float], None] | None = None,
        **keywords: Any,
    ) -> Any:
        """Samples of a model that generates: a `tasks.parts.Generated`, whose `predictions` are one a sample.

        seed: of the noise; sample i of a seed is the same for every count. keywords: the family's options, e.g.
        text="any words"; see its `Options`. options: the same as one instance or dict. progress: called with the share
        that is done.
        Raises ConfigError for a family that answers inputs, and for options that it does not have or do not fit.
        """
        if keywords and options is not None:
            names = ", ".join(keywords)
            raise ConfigError(f"options are given as one argument, and {names} by name; give all in one way")
        chosen = self.family.make_options(keywords or options, GENERATE)
        self.family.require(chosen)
        with torch.inference_mode():
            found = self.family.generate(self.runner, count, seed, chosen, progress)
        for prediction in found.predictions:
            self._attached(prediction, {"name": getattr(prediction, "name", "")}, chosen)
        return found

    def predict(
        self,
        given: Any = None,
        *,
        name: str | None = None,
        max_pixels: int | None = None,
        progress: Callable[[float], None] | None = None,
        **options: Any,
    ) -> Any:
        """The prediction for one input: the record of the model's family, such as `records.SemanticPrediction`.

        given: a path, the bytes of a file, or the input in memory: an image is a PIL image, an array (H, W) or
        (H, W, C) uint8, uint16 or float in 0..1, a tensor (C, H, W) uint8 or float in 0..1, or anything with `height`,
        `width`, `channels` and `read` (pictures.Windows). name, max_pixels: see `sample`. progress: called with the
        share that is done, where one input takes long. options: the family's, e.g. flip=True; see its `Options`.
        Raises DataError for an input that cannot be read or does not fit the model, ConfigError for an option that the
        family does not have, or that does not fit.
        """
        chosen = self.family.make_options(options, PREDICT)
        self.family.require(chosen)
        sample = self.sample(given, name, max_pixels)
        (prediction,) = self.answer([sample], chosen, progress)
        self._warn([sample])
        return self._attached(prediction, sample, chosen)

    def predict_many(self, given: str | Path | Iterable[Any], *, batch_size: int = 0, **options: Any) -> Iterator[Any]:
        """The predictions for several inputs, in their order, `batch_size` at a time (0: the family's usual number).

        given: inputs as `predict` takes them; or, where these are files, what stands for them as in `foveate predict`:
        a folder, a glob or a file. Inputs are not kept: a prediction that is drawn or saved opens its own again.
        Raises what `predict` raises, and DataError for a folder or a glob without such files.
        """
        chosen = self.family.make_options(options, PREDICT)
        self.family.require(chosen)
        batch: list[tuple[Any, Any]] = []
        for one in several(given, self.family.inputs):
            sample = self.sample(one)
            batch.append((one, self.family.prepare(sample)))
            if batch[-1][1] is not sample:  # it was read, and need not be kept
                self._warn([sample])
            if len(batch) == (batch_size or self.family.batch_size):
                yield from self._answer_and_warn(batch, chosen)
                batch = []
        if batch:
            yield from self._answer_and_warn(batch, chosen)

    def _answer_and_warn(self, batch: list[tuple[Any, Any]], options: Any) -> list[Any]:
        samples = [sample for _, sample in batch]
        predictions = self.answer(samples, options)
        self._warn(samples)
        return [
            self._attached(prediction, functools.partial(self.sample, one), options)
            for prediction, (one, _) in zip(predictions, batch, strict=True)
        ]

    def _attached(self, prediction: Any, sample: Any, options: Any) -> Any:
        """A prediction that can draw itself, where its class can. sample: the input's, or what opens it."""
        if isinstance(prediction, Prediction):
            prediction.attach(self.family, self.runner, sample, options)
        return prediction


def find_model_folder(path: Path) -> Path:
    """The folder that holds the weights: a run's `model/`, or the model folder itself.

    Raises ModelError that says what is there instead.
    """
    refuse(path, "this")
    if not path.exists():
        raise no_such_run(path)
    if path.is_file():
        if path.suffix.lower() in PICKLES:
            raise ModelError(
                f"{path} is not read: a pickle can run any code; give the run folder, or a model folder with "
                "config.json and model.safetensors"
            )
        raise ModelError(f"{path} is not a model; give a run folder, a model folder or an exported .onnx file")
    if (path / "model").is_dir():
        return path / "model"
    if (path / "recipe.json").is_file():
        raise ModelError(f"run folder {path} has no model/ yet; train it for at least one epoch first")
    return path


def peek_family(path: Path) -> type[Task]:
    """The class of a model's task, without loading the model. Raises ModelError for what is not a model."""
    if is_exported(path):
        return type(family_of(OnnxFile.open(path, "cpu")))
    if builder := builder_of(path):
        return family_class(FAMILIES[builder], path)
    return family_class(_about(path)["task"], path)


def example_options(path: Path) -> Mapping[str, str]:
    """The options that a first call of `foveate generate` with a model folder needs; see `Task.example_options`.

    Raises ModelError.
    """
    family, about = peek_family(path), _about(path)
    return family.example_options(about.get("config") or {}, read_tables(about))


def _about(path: Path) -> dict[str, Any]:
    """The config.json of a model folder or of a run. Raises ModelError."""
    file = find_model_folder(path) / "config.json"
    try:
        about: dict[str, Any] = parse_json(file.read_text(encoding="utf-8"))
        about["task"]
        return about
    except OSError as error:
        raise ModelError(f"{path} is not a model folder: {file.name} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"{file} is damaged ({reason}); restore it, or take the run's last/") from error


def choose_device(device: str) -> torch.device:
    """The named torch device, or for "auto" the best there is. Raises ConfigError if it is not available."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"unknown device '{device}'; expected auto, cpu, cuda, cuda:N or mps") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(chosen.type, False):
        raise ConfigError(f"device '{device}' is not available on this machine; use auto or cpu")
    return chosen


def _open_folder(path: Path, device: str) -> Predictor:
    folder, chosen = path if builder_of(path) else find_model_folder(path), choose_device(device)
    loaded = load_model(folder)
    model = channels_last(loaded.model.eval().requires_grad_(False).to(chosen))
    family = create_task(loaded.task, loaded.tables, loaded.preprocessing, loaded.options)
    return Predictor(family, model, loaded.name, path, chosen, "torch")


def _open_onnx(path: Path, device: str, runtime: str | None, precision: str, workers: int) -> Predictor:
    file = OnnxFile.open(path, device, None, runtime, precision, workers)
    family, loaded = load_exported(file)
    # Inputs are prepared on the CPU, and answers arrive there.
    cpu = torch.device("cpu")
    return Predictor(family, loaded.model, file.model, path, cpu, file.runtime, file.precision)  # type: ignore[arg-type]
