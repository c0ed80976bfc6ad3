"""Series: the next value of a short series of numbers, from files with one number or more a line, as 1.0,1.5,2.0.

Shapes: B series, L numbers in each, of which a model takes the last WINDOW.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foveate.engine import Optim, Recipe
from foveate.errors import ConfigError, DataError, unknown
from foveate.onnx import Graph, Graphs, OnnxFile, prepared
from foveate.records import DataSource
from foveate.tasks.base import Task
from foveate.tasks.inputs import Input
from foveate.tasks.options import Options, option

WINDOW = 4


def read_series(path: Path) -> Tensor:
    """The numbers of a file, (L,) float32. Raises DataError."""
    try:
        values = [
            float(word) for word in path.read_text(encoding="utf-8").replace("\n", ",").split(",") if word.strip()
        ]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a series of numbers ({error}); write numbers with commas between them") from error
    return torch.tensor(values)


class SeriesInput(Input):
    """Series of numbers: .csv files, lists of numbers, or tensors (L,)."""

    name: ClassVar[str] = "series"
    noun: ClassVar[str] = "series"
    nouns: ClassVar[str] = "series"
    suffixes: ClassVar[frozenset[str]] = frozenset({".csv"})

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Tensor:
        """See `Input.open`."""
        path = isinstance(given, (str, Path))
        series = read_series(Path(given)) if path else torch.as_tensor(given, dtype=torch.float32)
        if len(series) < WINDOW:
            raise DataError(f"{name or given}: {len(series)} numbers; {model} needs {WINDOW} or more")
        return series


@dataclass(frozen=True)
class SeriesOptions(Options):
    """clip: the largest absolute value of an answer; 0: no limit."""

    clip: float = option(0.0, "largest absolute value of an answer (0: no limit)", "N")


@dataclass(frozen=True)
class Scores:
    """mean_error: the mean absolute error."""

    mean_error: float

    def to_json(self) -> dict[str, Any]:
        """The scores by name."""
        return dataclasses.asdict(self)


class Errors:
    """The sum of absolute errors, and their number."""

    def __init__(self) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64)

    def state(self) -> Tensor:
        """The sums."""
        return self.sums

    def merge(self, state: Tensor) -> None:
        """Add the sums of another counter."""
        self.sums = self.sums + state

    def compute(self) -> Scores:
        """The scores. Raises DataError if nothing was counted."""
        total, count = self.sums.tolist()
        if not count:
            raise DataError("no series was scored; give at least one")
        return Scores(total / count)


class ExportedSeries(nn.Module):
    """An exported file with the interface of its model."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.file = file

    def forward(self, series: Tensor) -> Tensor:
        """(B, WINDOW) -> (B,)."""
        return self.file.run(["next"], {"series": series})[0]


class Series(Task):
    """The family: a model maps the last WINDOW numbers of a series to the next one."""

    name = "series"
    title = "number series"
    monitor = "mean_error"
    greater_is_better = False
    headline = ("mean_error",)
    inputs = (SeriesInput(),)
    Options = SeriesOptions
    endings = ("_next.txt",)

    def collate(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Samples -> the batch that `loss` takes."""
        return {
            "series": torch.stack([sample["series"][-WINDOW:] for sample in samples]),
            "target": torch.tensor([sample["target"] for sample in samples]),
            "names": [sample["name"] for sample in samples],
        }

    def answer(self, runner: nn.Module, samples: Sequence[Any], options: Any, progress: Any = None) -> list[float]:
        """The next value of each series."""
        device = next((p.device for p in runner.parameters()), torch.device("cpu"))
        following = runner(torch.stack([sample["series"][-WINDOW:] for sample in samples]).to(device))
        return (following.clamp(-options.clip, options.clip) if options.clip else following).tolist()

    def metrics(self, dataset: Any, whole: bool = True) -> Errors:
        """An empty sum of errors."""
        return Errors()

    def count(self, metrics: Errors, index: int, sample: Any, prediction: float) -> float:
        """Add the absolute error of one series, and return it."""
        error = abs(prediction - sample["target"])
        metrics.merge(torch.tensor([error, 1], dtype=torch.float64))
        return error

    def record(self, prediction: float) -> dict[str, Any]:
        """The entry in predictions.json."""
        return {"next": prediction}

    def files(self, prediction: float, sample: Any) -> dict[str, Any]:
        """A text file with the next value."""
        return {"text": ("_next.txt", lambda path: path.write_text(f"{prediction}\n", encoding="utf-8"))}

    def graphs(self, model: nn.Module) -> Graphs:
        """One graph, series -> next, in which the number of series is free."""
        graph = Graph(prepared(model), (torch.zeros(2, WINDOW),), ({0: "batch"},), ("series",), ("next",))
        return Graphs((graph,), (), self._difference)

    def open(self, file: OnnxFile) -> nn.Module:
        """The exported file with the interface of its model."""
        return ExportedSeries(file)

    @staticmethod
    @torch.inference_mode()
    def _difference(model: nn.Module, runner: nn.Module) -> float:
        series = torch.linspace(-2, 2, 5 * WINDOW).view(5, WINDOW)
        expected = model(series)
        return float((runner(series) - expected).abs().max() / expected.abs().max().clamp(min=1e-6))


@dataclass(frozen=True)
class Config:
    """Sizes of a series model.

    hidden: units of the hidden layer; 8 to 64 are usual.
    """

    hidden: int = 16


class SeriesModel(nn.Module):
    """The last value plus a step that two linear layers compute from the last WINDOW values."""

    task: ClassVar[str] = "series"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.step = nn.Sequential(nn.Linear(WINDOW, config.hidden), nn.Tanh(), nn.Linear(config.hidden, 1))

    def forward(self, series: Tensor) -> Tensor:
        """(B, WINDOW) -> (B,)."""
        return series[:, -1] + self.step(series)[:, 0]

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Mean squared error; 'loss' is what is minimised."""
        return {"loss": nn.functional.mse_loss(self(batch["series"]), batch["target"])}


class SeriesDataset:
    """The series of one split; the last number of each file is the target."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """The name of a file, without reading it."""
        return self.files[index].name

    def __getitem__(self, index: int) -> dict[str, Any]:
        values = read_series(self.files[index])
        if len(values) <= WINDOW:
            raise DataError(f"{self.files[index]}: {len(values)} numbers; expected {WINDOW + 1} or more")
        return {"series": values[:-1], "target": float(values[-1]), "name": self.name(index)}


@dataclass(frozen=True)
class SeriesFolder(DataSource):
    """Number series: DATA/train/*.csv and DATA/val/*.csv.

    path: the folder DATA.
    """

    path: str
    tasks: ClassVar[tuple[str, ...]] = ("series",)

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are .csv files in the folder train."""
        return any(path.glob("train/*.csv"))

    def splits(self) -> tuple[str, ...]:
        """Those of train and val that hold files."""
        return tuple(split for split in ("train", "val") if any(Path(self.path).glob(f"{split}/*.csv")))

    def open(self, split: str, task: str = "") -> SeriesDataset:
        """One split. Raises ConfigError."""
        self.serve(task)
        if split not in self.splits():
            raise ConfigError(unknown("split", split, self.splits()))
        return SeriesDataset(sorted(Path(self.path).glob(f"{split}/*.csv")))

    def describe(self, task: str = "") -> str:
        """The format and its counts, in one line."""
        return "number series: " + ", ".join(f"{len(self.open(split))} {split}" for split in self.splits())


def series_recipe() -> Recipe:
    """Your own series.

    foveate train series --data PATH
    """
    return Recipe(model="series_mlp", config=Config(), optim=Optim(lr=1e-2), epochs=10)
