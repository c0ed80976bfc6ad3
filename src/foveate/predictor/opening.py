"""From a folder or a file to its family's predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ModelError, unknown
from foveate.predictor.base import Predictor, choose_device, find_model_folder
from foveate.predictor.captioning import CaptioningPredictor
from foveate.predictor.classification import ClassificationPredictor
from foveate.predictor.colocalisation import ColocalisationPredictor
from foveate.predictor.exported_captions import open_captioner
from foveate.predictor.semantic import SemanticPredictor
from foveate.predictor.sessions import open_session, read_metadata
from foveate.records import Preprocessing
from foveate.store import load_model, read_table

FAMILIES: dict[str, type[Predictor]] = {
    family.task: family
    for family in (SemanticPredictor, ClassificationPredictor, CaptioningPredictor, ColocalisationPredictor)
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
    session = open_session(path, device)
    data = read_metadata(path, session)
    family = _family(data["foveate.task"], path)

    def network(image: Tensor) -> Tensor:
        array = np.ascontiguousarray(image.cpu().numpy())
        return torch.from_numpy(session.run(["logits"], {session.get_inputs()[0].name: array})[0])

    return family(
        open_captioner(path, device, session) if family.task == "captioning" else network,
        read_table(data["foveate.classes"]),
        Preprocessing.from_json(data["foveate.preprocessing"]),
        data["foveate.model"],
        path,
        torch.device("cpu"),  # where pictures are prepared and answers arrive
        "onnxruntime",
    )
