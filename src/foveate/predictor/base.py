"""What every predictor is: a network with all that is needed to read its answers, and where it is found."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import ConfigError, DataError, ModelError
from foveate.pictures import Windows, to_tensor
from foveate.predictor.picture import Picture, luminance, open_picture
from foveate.records import Preprocessing
from foveate.store import PICKLES
from foveate.tasks.tiling import Network

# What `foveate export` writes into an ONNX file, each value JSON.
METADATA_KEYS = ("foveate.task", "foveate.model", "foveate.version", "foveate.classes", "foveate.preprocessing")


@dataclass
class Predictor:
    """A model that is ready to look at pictures; its family's `predict` makes its answers.

    network: (B, C, H, W) float32, normalised -> logits. name: the model's registry name.
    model: the module behind `network`; None when an exported file runs in ONNX Runtime.
    """

    network: Network
    classes: Any  # a ClassTable, or the table of a text
    preprocessing: Preprocessing
    name: str
    path: Path
    device: torch.device
    runtime: Literal["torch", "onnxruntime"]
    model: nn.Module | None = None

    task: ClassVar[str]

    @staticmethod
    def open(path: str | Path, device: str = "auto") -> Predictor:
        """Load a run folder (its `model/`), a model folder, or an exported `.onnx` file, as its family's predictor.

        device: "auto" takes CUDA or Apple's MPS where there is one, else the CPU; or "cpu", "cuda", "cuda:1", "mps".
        Raises ModelError for what is not a model, is damaged or would need unpickling, ConfigError for a device
        that is not here.
        """
        from foveate.predictor.opening import open_predictor

        return open_predictor(Path(path), device)

    @property
    def channels(self) -> int:
        """How many channels a picture must have."""
        return len(self.preprocessing.mean)

    def predict(self, picture: Picture, **how: Any) -> Any:
        """What the model says of one picture; see the family's predictor."""
        raise NotImplementedError

    def read_whole(self, picture: Picture, max_pixels: int | None, name: str | None) -> Tensor:
        """The picture (C, H, W), of as many channels as the model takes: colours for a grey model become luminance.

        Raises DataError for a picture that cannot be read or has another number of channels.
        """
        windows = open_picture(picture, self.channels, max_pixels)
        grey = self.channels == 1 and windows.channels == 3
        if not grey:
            self.check_channels(windows, picture, name)
        image = to_tensor(windows.read(0, 0, windows.height, windows.width))
        return luminance(image) if grey else image

    def check_channels(self, windows: Windows, picture: Picture, name: str | None) -> None:
        """Raise DataError for a picture with another number of channels than the model takes."""
        if windows.channels == self.channels:
            return
        layout = ""
        if isinstance(picture, np.ndarray):
            layout = f" (an array is (H, W, C); this one is {picture.shape})"
        elif isinstance(picture, Tensor):
            layout = f" (a tensor is (C, H, W); this one is {tuple(picture.shape)})"
        called = name or (str(picture) if isinstance(picture, (str, Path)) else "the picture")
        raise DataError(f"{called} has {windows.channels} channels; {self.name} was trained on {self.channels}{layout}")


def find_model_folder(path: Path) -> Path:
    """The folder that holds the weights: a run's `model/`, or the model folder itself.

    Raises ModelError that says what stands there instead.
    """
    if not path.exists():
        near = _nearest(path)
        hint = f"the nearest is {near}" if near else "give a run folder, a model folder or an exported .onnx file"
        raise ModelError(f"{path} does not exist; {hint}")
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


def _nearest(path: Path) -> Path | None:
    """The entry beside a missing path whose name is most like it."""
    if not path.parent.is_dir():
        return None
    names = [p.name for p in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return path.parent / near[0] if near else None


def choose_device(device: str) -> torch.device:
    """The named torch device, or for "auto" the best there is. Raises ConfigError when it is not here."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"unknown device '{device}'; expected auto, cpu, cuda, cuda:N or mps") from None
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here.get(chosen.type, False):
        raise ConfigError(f"device '{device}' is not available on this machine; use auto or cpu")
    return chosen
