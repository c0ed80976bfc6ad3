"""A run folder, a model folder or an exported ONNX file -> labels for any picture.

predictor = Predictor.open("runs/first")
prediction = predictor.predict("photo.jpg")
prediction.mask            # (H, W) class indices, at the photo's own size
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from foveate.errors import ConfigError, DataError, ModelError
from foveate.pictures import Windows, open_windows, to_tensor
from foveate.pictures.pixels import over_white, three_channels
from foveate.records import ClassTable, Preprocessing, SemanticPrediction
from foveate.store import PICKLES, load_model
from foveate.tasks.inference import Inference, Segments, predict_labels
from foveate.tasks.tiling import Network, choose_tiling, predict_tiled

Picture = str | Path | np.ndarray | Tensor | Image.Image | Windows
# What `foveate export` writes into an ONNX file, each value JSON.
METADATA_KEYS = ("foveate.task", "foveate.model", "foveate.version", "foveate.classes", "foveate.preprocessing")


@dataclass
class Predictor:
    """A model that is ready to look at pictures, with all that is needed to read its answers.

    network: (B, C, H, W) float32, normalised -> (B, K, H, W) logits. name: the model's registry name.
    model: the module behind `network`; None when an exported file runs in ONNX Runtime.
    """

    network: Network
    classes: ClassTable
    preprocessing: Preprocessing
    name: str
    path: Path
    device: torch.device
    runtime: Literal["torch", "onnxruntime"]
    task: str = "semantic"
    model: nn.Module | None = None

    @classmethod
    def open(cls, path: str | Path, device: str = "auto") -> Predictor:
        """Load a run folder (its `model/`), a model folder, or an exported `.onnx` file.

        device: "auto" takes CUDA or Apple's MPS where there is one, else the CPU; or "cpu", "cuda", "cuda:1", "mps".
        Raises ModelError for what is not a model, is damaged or would need unpickling, ConfigError for a device
        that is not here.
        """
        path = Path(path)
        if path.suffix.lower() == ".onnx" and path.is_file():
            return _open_onnx(path, device)
        return _open_folder(path, find_model_folder(path), device)

    @property
    def channels(self) -> int:
        """How many channels a picture must have."""
        return len(self.preprocessing.mean)

    def predict(
        self,
        picture: Picture,
        *,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        proposals: int = 0,
        crf: bool = False,
        superpixels: Segments = "none",
        tile: int | None = None,
        overlap: int | None = None,
        max_pixels: int | None = None,
        name: str | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> SemanticPrediction:
        """Label every pixel of a picture of any size.

        picture: a file; a PIL image; an array (H, W) or (H, W, C) uint8, uint16 or float in 0..1; a tensor (C, H, W)
            uint8 or float in 0..1; or anything with `height`, `width`, `channels` and `read` (pictures.open_windows).
        flip, scales, proposals, crf, superpixels: how it is looked at, see tasks.inference.Inference.
        tile: side of the square tiles, a multiple of 32; 0 never tiles; None tiles pictures above 1.5 megapixels.
        overlap: pixels that neighbouring tiles share, a multiple of 32; None takes 128.
        max_pixels: refuse larger files before decoding them; None takes the process's limit (pictures.get_max_pixels).
        name: what to call the picture in messages and in the prediction; a file's own path and name by default.
        progress: called with the share that is done after every tile.
        Raises DataError for a picture that cannot be read or has another number of channels than the model takes.
        """
        how = Inference(flip, tuple(scales), proposals, crf, superpixels)
        if how.needs_whole_picture and tile is None:
            tile = 0
        if how.needs_whole_picture and tile:
            raise ConfigError(f"{how.describe()} needs the whole picture, not tiles of {tile}; leave out --tile")
        windows = open_picture(picture, self.channels, max_pixels)
        self._check_channels(windows, picture, name)
        height, width = windows.height, windows.width
        tiling = choose_tiling(height, width, scales, tile, overlap)
        if tiling is None:
            image = to_tensor(windows.read(0, 0, height, width)).to(self.device)
            mask = predict_labels(self.network, image, self.preprocessing, how)
        else:
            mask = predict_tiled(
                self.network,
                windows,
                self.preprocessing,
                tiling=tiling,
                flip=flip,
                scales=scales,
                device=self.device,
                progress=progress,
            )
        if name is None:
            name = str(picture) if isinstance(picture, (str, Path)) else ""
        return SemanticPrediction(mask, self.classes, Path(name).name)

    def _check_channels(self, windows: Windows, picture: Picture, name: str | None) -> None:
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


def _open_folder(path: Path, folder: Path, device: str) -> Predictor:
    chosen = choose_device(device)
    loaded = load_model(folder)
    model = loaded.model.eval().requires_grad_(False).to(chosen)
    model = model.to(memory_format=torch.channels_last)  # what convolutions on a CPU like best

    def network(image: Tensor) -> Tensor:
        logits: Tensor = model(image).logits
        return logits

    return Predictor(
        network, loaded.classes, loaded.preprocessing, loaded.name, path, chosen, "torch", loaded.task, model
    )


def _open_onnx(path: Path, device: str) -> Predictor:
    try:
        import onnxruntime as ort
    except ImportError:
        raise ModelError(f"{path} needs ONNX Runtime, which is not installed: pip install 'foveate[export]'") from None
    on_gpu = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "auto":
        device = "cuda" if on_gpu else "cpu"
    if device.partition(":")[0] != ("cuda" if on_gpu else "cpu") and device != "cpu":
        raise ConfigError(f"device '{device}' is not available to ONNX Runtime here; use auto or cpu")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait take the cores from decoding and from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Plans are kept for every input size seen; pictures come in many.
    options.enable_mem_pattern = False
    provider = ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)})
    providers = [provider, "CPUExecutionProvider"] if device.startswith("cuda") else ["CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"{path} cannot be loaded by ONNX Runtime: {first}") from None
    data = _metadata(path, session.get_modelmeta().custom_metadata_map)
    (source,) = session.get_inputs()

    def network(image: Tensor) -> Tensor:
        array = np.ascontiguousarray(image.cpu().numpy())
        return torch.from_numpy(session.run(["logits"], {source.name: array})[0])

    return Predictor(
        network,
        ClassTable.from_json(data["foveate.classes"]),
        Preprocessing.from_json(data["foveate.preprocessing"]),
        data["foveate.model"],
        path,
        torch.device("cpu"),  # where pictures are prepared and answers arrive
        "onnxruntime",
        data["foveate.task"],
    )


def _metadata(path: Path, raw: dict[str, str]) -> dict[str, Any]:
    """What `foveate export` wrote into the file, key -> parsed JSON. Raises ModelError."""
    missing = [key for key in METADATA_KEYS if key not in raw]
    if missing:
        raise ModelError(
            f"{path} has no '{missing[0]}' in its metadata; only files made by `foveate export` can be used"
        )
    try:
        return {key: json.loads(raw[key]) for key in METADATA_KEYS}
    except ValueError as error:
        raise ModelError(f"{path} has metadata that is not JSON ({error}); export it again") from None


class _Held:
    """A picture in memory, (H, W, C), under the interface of `pictures.open_windows`."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self.height, self.width, self.channels = pixels.shape

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        return self._pixels[top : top + height, left : left + width]

    def close(self) -> None:
        pass


def open_picture(picture: Picture, channels: int = 3, max_pixels: int | None = None) -> Windows:
    """Anything `Predictor.predict` takes, as a picture that is read piece by piece. Raises DataError.

    channels: what the model takes; a grey array becomes that many equal channels.
    """
    if isinstance(picture, (str, Path)):
        return open_windows(Path(picture), max_pixels=max_pixels)
    if isinstance(picture, np.ndarray):
        return _Held(_checked(picture, channels))
    if isinstance(picture, Tensor):
        if picture.ndim != 3:
            raise DataError(f"the tensor has shape {tuple(picture.shape)}; expected one picture, (C, H, W)")
        return _Held(_checked(picture.detach().cpu().permute(1, 2, 0).numpy(), channels))
    if isinstance(picture, Image.Image):
        return _Held(_pil_pixels(picture))
    if hasattr(picture, "read") and hasattr(picture, "channels"):
        return picture
    raise DataError(f"a {type(picture).__name__} came as picture; expected a path, PIL image, array or tensor")


def _pil_pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, uint16 from 16-bit grey; turned upright, transparent pixels laid on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return three_channels(np.asarray(image).astype(np.uint16))
    if image.has_transparency_data:
        return over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _checked(pixels: np.ndarray, channels: int) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], channels, axis=2)
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise DataError(f"the array has shape {pixels.shape}; expected (H, W) or (H, W, C) with at least one pixel")
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(f"the array holds {pixels.dtype}; expected uint8, uint16, or float in 0..1")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise DataError(f"the float array holds {low:g} to {high:g}; expected 0..1 (or give uint8 in 0..255)")
    return pixels.astype(np.float32, copy=False)
