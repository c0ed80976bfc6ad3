"""A module as an ONNX file, whatever its family: the exporter's call, and the layers that it would write clumsily."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

import foveate
from foveate.errors import ConfigError, ModelError
from foveate.predictor import Predictor

# Every operator used here is in 18; ONNX Runtime reads it since 1.14 and other runtimes are rarely further.
OPSET = 18
TOLERANCE = 1e-3  # of the largest logit


def require_extra() -> None:
    """Raises ConfigError when the export extra is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"exporting needs {error.name}, which is not installed: pip install 'foveate[export]'"
        ) from None


def prepared(model: nn.Module) -> nn.Module:
    """A copy of a model that exports: on the CPU, in float32, for evaluation; the model stays as it is."""
    ready = copy.deepcopy(model).cpu().float().eval().to(memory_format=torch.contiguous_format)
    _as_onnx_operators(ready)
    return ready


def write_graph(
    module: nn.Module,
    example: tuple[Any, ...],
    free: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: dict[str, str],
    name: str,
    path: Path,
) -> None:
    """Write a module, made of what `prepared` gave, as one file with its weights inside.

    example: what it is called with; free: in the same shape, which axes of each tensor may vary, and what they are
    called; name: of the model, for messages. Raises ModelError when it cannot be exported.
    """
    import onnx

    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=free,
                verbose=False,
            )
    except Exception as error:  # the exporter raises what it meets
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{name} cannot be exported ({reason}); please report this model") from error
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.model.producer_name = "foveate"
    program.model.producer_version = foveate.__version__
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def about(predictor: Predictor, **more: Any) -> dict[str, str]:
    """Everything a reader of a file must know beside the graph; each value is JSON. more: foveate.KEY -> value."""
    values: dict[str, Any] = {
        "foveate.task": predictor.task,
        "foveate.model": predictor.name,
        "foveate.version": foveate.__version__,
        "foveate.classes": predictor.classes.to_json(),
        "foveate.preprocessing": predictor.preprocessing.to_json(),
        **{f"foveate.{key}": value for key, value in more.items()},
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _as_onnx_operators(model: nn.Module) -> None:
    """Let layers that ONNX has whole be written as that one operator.

    TensorFlow's SAME padding depends on the input's size. Traced, it becomes arithmetic on symbolic sizes, layer upon
    layer, which takes the exporter many minutes; as Conv's own `auto_pad` it costs nothing, there or when it runs.
    A clipped ReLU is merely faster to trace this way.
    """
    for module in model.modules():
        if type(module) is Conv2dSame:
            module.forward = MethodType(_same_convolution, module)  # type: ignore[method-assign]
        elif type(module) is nn.ReLU6:
            module.forward = MethodType(_relu6, module)  # type: ignore[method-assign]


def _same_convolution(self: Conv2dSame, x: Tensor) -> Tensor:
    height, width = ((size - 1) // stride + 1 for size, stride in zip(x.shape[-2:], self.stride, strict=True))
    attributes: dict[str, Any] = {
        "auto_pad": "SAME_UPPER",
        "kernel_shape": list(self.kernel_size),
        "strides": list(self.stride),
        "dilations": list(self.dilation),
        "group": self.groups,
    }
    inputs = [x, self.weight] if self.bias is None else [x, self.weight, self.bias]
    shape = (x.shape[0], self.out_channels, height, width)
    return torch.onnx.ops.symbolic("Conv", inputs, attributes, dtype=x.dtype, shape=shape)


def _relu6(self: nn.ReLU6, x: Tensor) -> Tensor:
    low, high = torch.zeros(()), torch.full((), 6.0)
    return torch.onnx.ops.symbolic("Clip", [x, low, high], dtype=x.dtype, shape=x.shape)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and warnings off the user's screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
