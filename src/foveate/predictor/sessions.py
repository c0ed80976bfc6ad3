"""ONNX files in ONNX Runtime, and what `foveate export` wrote into their metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from foveate.errors import ConfigError, ModelError
from foveate.predictor.base import METADATA_KEYS


def open_session(path: Path, device: str) -> Any:
    """An ONNX file as an onnxruntime.InferenceSession.

    device: auto, cpu, cuda or cuda:N. Raises ModelError for a file that is damaged or where ONNX Runtime is not
    installed, ConfigError for a device that it does not have.
    """
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
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"{path} cannot be loaded by ONNX Runtime: {first}; export the model again") from None


def read_metadata(path: Path, session: Any, keys: tuple[str, ...] = METADATA_KEYS) -> dict[str, Any]:
    """What `foveate export` wrote into the file, key -> parsed JSON. Raises ModelError."""
    raw: dict[str, str] = session.get_modelmeta().custom_metadata_map
    missing = [key for key in keys if key not in raw]
    if missing:
        raise ModelError(
            f"{path} has no '{missing[0]}' in its metadata; only files made by `foveate export` can be used"
        )
    try:
        return {key: json.loads(raw[key]) for key in keys}
    except ValueError as error:
        raise ModelError(f"{path} has metadata that is not JSON ({error}); export it again") from None
