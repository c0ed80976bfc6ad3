"""Runtimes of exported files: ONNX Runtime, and OpenVINO beside it, each in float32 by default.

Both are opened with as many threads as torch has, and offer the methods of an `onnxruntime.InferenceSession` that are
used here: `get_inputs`, `get_outputs`, `get_modelmeta` and `run`.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from foveate.errors import ConfigError, ModelError, unknown

TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
PRECISIONS = ("float32", "bf16")


def default_runtime() -> str:
    """ONNX Runtime, or OpenVINO where that alone is installed."""
    alone = importlib.util.find_spec("openvino") and not importlib.util.find_spec("onnxruntime")
    return "openvino" if alone else "onnxruntime"


def open_session(
    path: Path, device: str, runtime: str = "onnxruntime", precision: str = "float32", workers: int = 1
) -> Any:
    """An ONNX file, ready to run.

    device: auto, cpu, cuda or cuda:N; OpenVINO runs on the CPU. precision: bf16 is OpenVINO's, on CPUs that compute in
    it; what a file stores as INT8 runs as INT8 in both. workers: threads that call it at a time.
    Raises ModelError for a file that is damaged or whose runtime is not installed, ConfigError for a device or a
    precision that is not available, and for an unknown runtime.
    """
    require_runtime(runtime, precision)
    if runtime == "openvino":
        return OpenVinoSession(path, device, precision, workers)
    return _open_onnxruntime(path, device, workers)


def require_runtime(runtime: str, precision: str) -> None:
    """Raise ConfigError for a runtime or a precision that there is not, or that do not go together."""
    if runtime not in TITLES:
        raise ConfigError(unknown("runtime", runtime, TITLES))
    if precision not in PRECISIONS:
        raise ConfigError(unknown("precision", precision, PRECISIONS))
    if runtime == "onnxruntime" and precision != "float32":
        raise ConfigError(f"ONNX Runtime computes in float32; for {precision} give --runtime openvino as well")


def _open_onnxruntime(path: Path, device: str, workers: int) -> Any:
    """An ONNX file as an onnxruntime.InferenceSession."""
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
    options.intra_op_num_threads = max(1, torch.get_num_threads() // workers)
    # Threads that spin while they wait take the cores from decoding and from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Plans are kept for every input size seen; images come in many.
    options.enable_mem_pattern = False
    provider = ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)})
    providers = [provider, "CPUExecutionProvider"] if device.startswith("cuda") else ["CPUExecutionProvider"]
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a class of its own for every kind of damage
        raise _unusable(path, "ONNX Runtime", str(error), "export the model again") from None


@functools.cache
def openvino_core() -> Any:
    """The process's one OpenVINO core, which is never freed.

    A core gives the calling thread a stack for signal handlers, and unmaps it when it is freed. Where two cores are not
    freed in the reverse order of their making, the thread is left with an unmapped stack, and the next signal that
    Python handles (Ctrl-C, or the end of a loader's worker) kills the process.
    """
    import openvino

    return openvino.Core()


class OpenVinoSession:
    """An ONNX file in OpenVINO, with the interface of an onnxruntime.InferenceSession; threads may share it."""

    def __init__(self, path: Path, device: str, precision: str, workers: int = 1) -> None:
        if not importlib.util.find_spec("openvino"):
            raise ModelError(f"{path} needs OpenVINO, which is not installed: pip install 'foveate[openvino]'")
        if device not in ("auto", "cpu"):
            raise ConfigError(f"device '{device}' is not available to OpenVINO here; use auto or cpu")
        core = openvino_core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            cpu = core.get_property("CPU", "FULL_DEVICE_NAME")
            raise ConfigError(f"this CPU ({cpu}) does not compute in bf16; leave --precision at float32")
        if not path.is_file() or not path.stat().st_size:
            raise _unusable(path, "OpenVINO", "no such file, or an empty one", "export the model again")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # by itself it would choose bf16
            "INFERENCE_NUM_THREADS": max(workers, torch.get_num_threads()),
            "NUM_STREAMS": workers,
            "ENABLE_CPU_PINNING": False,  # other threads and processes need the cores too
        }
        try:
            model = core.read_model(path)
        except Exception as error:  # a RuntimeError for every kind of damage
            raise _unusable(path, "OpenVINO", str(error), "export the model again") from None
        try:
            self.compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:
            raise _unusable(path, "OpenVINO", str(error), "use --runtime onnxruntime") from None
        self.path, self.metadata = path, _metadata(model)
        self.requests = threading.local()

    def get_inputs(self) -> list[Any]:
        """Inputs with `name` and `shape`; an axis that may vary is None."""
        return [_described(x) for x in self.compiled.inputs]

    def get_outputs(self) -> list[Any]:
        """Outputs with `name` and `shape`."""
        return [_described(x) for x in self.compiled.outputs]

    def get_modelmeta(self) -> Any:
        """The file's metadata, as `custom_metadata_map`."""
        return SimpleNamespace(custom_metadata_map=self.metadata)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Named arrays -> the named outputs."""
        if not hasattr(self.requests, "own"):  # a request is one thread's
            self.requests.own = self.compiled.create_infer_request()
        request = self.requests.own
        for port in self.get_inputs():  # OpenVINO computes with what it is given, whatever its shape
            given = inputs[port.name].shape
            pairs = zip(given, port.shape, strict=False)
            if len(given) != len(port.shape) or any(side not in (None, own) for own, side in pairs):
                raise ModelError(f"{self.path} takes '{port.name}' of shape {tuple(port.shape)}, but {given} was given")
        try:
            request.infer(dict(inputs))
        except Exception as error:  # a RuntimeError for every reason
            raise _unusable(self.path, "OpenVINO", str(error), "use --runtime onnxruntime", "run") from None
        return [np.array(request.get_tensor(name).data) for name in outputs]  # copied: the next run overwrites it


def _described(port: Any) -> Any:
    shape = [None if side.is_dynamic else side.get_length() for side in port.get_partial_shape()]
    return SimpleNamespace(name=port.get_any_name(), shape=shape)


def _metadata(model: Any) -> dict[str, str]:
    """The metadata of an ONNX file, which OpenVINO keeps with the model."""
    if "framework" not in model.get_rt_info():
        return {}
    stored = model.get_rt_info("framework").value
    return {key: value for key, value in stored.items() if isinstance(value, str)} if isinstance(stored, dict) else {}


def _unusable(path: Path, runtime: str, message: str, remedy: str, done: str = "loaded") -> ModelError:
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    # OpenVINO puts the places in its own sources before the reason.
    reason = next((line for line in lines if not line.startswith(("Exception from", "Check '"))), "no reason given")
    return ModelError(f"{path} cannot be {done} by {runtime}: {reason}; {remedy}")
