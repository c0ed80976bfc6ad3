"""From a folder or a file to its family's predictor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, ModelError, unknown
from foveate.predictor.base import METADATA_KEYS, Predictor, choose_device, find_model_folder
from foveate.predictor.captioning import CaptioningPredictor
from foveate.predictor.classification import ClassificationPredictor
from foveate.predictor.semantic import SemanticPredictor
from foveate.records import Preprocessing
from foveate.store import load_model, read_table

FAMILIES: dict[str, type[Predictor]] = {
    family.task: family for family in (SemanticPredictor, ClassificationPredictor, CaptioningPredictor)
}


def open_predictor(path: Path, device: str) -> Predictor:
    """See `Predictor.open`."""
    if path.suffix.lower() == ".onnx" and path.is_file():
        return _open_onnx(path, device)
    return _open_folder(path, find_model_folder(path), device)


def _family(task: str, path: Path) -> type[Predictor]:
    if task not in FAMILIES:
        raise ModelError(f"{path}: {unknown('family of models', task, FAMILIES)}")
    return FAMILIES[task]


def _open_folder(path: Path, folder: Path, device: str) -> Predictor:
    chosen = choose_device(device)
    loaded = load_model(folder)
    model = loaded.model.eval().requires_grad_(False).to(chosen)
    model = model.to(memory_format=torch.channels_last)  # what convolutions on a CPU like best

    def network(image: Tensor) -> Tensor:
        logits: Tensor = model(image).logits
        return logits

    family = _family(loaded.task, path)
    return family(network, loaded.classes, loaded.preprocessing, loaded.name, path, chosen, "torch", model)


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

    return _family(data["foveate.task"], path)(
        network,
        read_table(data["foveate.classes"]),
        Preprocessing.from_json(data["foveate.preprocessing"]),
        data["foveate.model"],
        path,
        torch.device("cpu"),  # where pictures are prepared and answers arrive
        "onnxruntime",
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
