"""A module as an ONNX file: the exporter's call, and layers that are written as one ONNX operator each."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError, ModelError
from foveate.onnx.file import PREFIX
from foveate.onnx.graphs import Graph
from foveate.ops.gated import GatedEncoder
from foveate.version import __version__

# Every operator used here is in 18; ONNX Runtime reads it since 1.14 and other runtimes are rarely further.
OPSET = 18


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
    """A copy of a model that can be exported: on the CPU, in float32, in evaluation mode; the model is unchanged."""
    ready = copy.deepcopy(model).cpu().float().eval().to(memory_format=torch.contiguous_format)
    _as_onnx_operators(ready)
    return ready


def write_graph(graph: Graph, metadata: Mapping[str, Any], name: str, path: Path) -> None:
    """Write a graph as one file with its weights inside.

    metadata: as `metadata_of` gives it; the graph's own is added. name: of the model, for messages.
    Raises ModelError if it cannot be exported.
    """
    import onnx

    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph.module.eval(),
                graph.example,
                dynamo=True,
                opset_version=OPSET,
                input_names=graph.inputs,
                output_names=graph.outputs,
                dynamic_shapes=graph.free,
                verbose=False,
            )
    except Exception as error:  # the exporter has no common error class
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{name} cannot be exported ({reason}); please report this model") from error
    assert program is not None
    program.model.metadata_props.update(
        {PREFIX + key: json.dumps(value, ensure_ascii=False) for key, value in {**metadata, **graph.metadata}.items()}
    )
    for node in program.model.graph.all_nodes():  # it names source files by their whole path
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
    program.model.producer_name = "foveate"
    program.model.producer_version = __version__
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def _as_onnx_operators(model: nn.Module) -> None:
    """Replace the forward of layers that ONNX has as one operator by that operator.

    TensorFlow's SAME padding depends on the input's size. Traced, it becomes arithmetic on symbolic sizes in every
    layer, which takes the exporter many minutes; as `auto_pad` of Conv it costs nothing, in export or at run time.
    A clipped ReLU is only faster to trace this way. A loop over a sequence would be unrolled for one length.
    """
    from timm.layers.conv2d_same import Conv2dSame

    for module in model.modules():
        if type(module) is Conv2dSame:
            module.forward = MethodType(_same_convolution, module)  # type: ignore[method-assign]
        elif type(module) is GatedEncoder:
            module.forward = MethodType(_gated_encoder, module)  # type: ignore[method-assign]
        elif type(module) is nn.LSTM:
            module.forward = MethodType(_lstm, module)  # type: ignore[method-assign]
        elif type(module) is nn.ReLU6:
            module.forward = MethodType(_relu6, module)  # type: ignore[method-assign]


def _same_convolution(self: nn.Conv2d, x: Tensor) -> Tensor:
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


def _gated_encoder(self: GatedEncoder, x: Tensor, lengths: Tensor) -> Tensor:
    """ONNX's GRU multiplies by the reset gate before the matrix; its update gate is the share of the old state."""
    units: list[Any] = list(self.units)
    n = self.hidden
    signs = torch.ones(3 * n, 1)
    signs[:n] = -1.0  # sigmoid(-x) = 1 - sigmoid(x)
    inputs = torch.stack([signs * unit.W.weight for unit in units])  # (D, 3 H, E): z, r and the candidate
    states = torch.stack([signs * torch.cat([unit.U_gates.weight, unit.U.weight]) for unit in units])
    biases = torch.stack([torch.cat([signs[:, 0] * unit.W.bias, torch.zeros(3 * n)]) for unit in units])
    attributes: dict[str, Any] = {
        "hidden_size": n,
        "direction": "bidirectional" if len(units) == 2 else "forward",
        "linear_before_reset": 0,
    }
    tensors = [x.transpose(0, 1), inputs, states, biases, lengths.to(torch.int32)]
    shape = (x.shape[1], len(units), x.shape[0], n)
    h = torch.onnx.ops.symbolic("GRU", tensors, attributes, dtype=x.dtype, shape=shape)  # 0 in the padding
    return h.permute(2, 0, 1, 3).flatten(2)


def _lstm(self: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One layer in one direction: x (B, L, D), state (1, B, H) each -> outputs (B, L, H), the last state."""
    if self.num_layers > 1 or self.bidirectional or not (self.batch_first and self.bias) or self.proj_size:
        raise ModelError("only LSTMs of one layer and one direction, with biases and batch_first, can be exported")
    hidden = self.hidden_size

    def in_order(weight: Any) -> Tensor:
        """Gates input, forget, cell, output -> ONNX's input, output, forget, cell."""
        i, f, g, o = weight.split(hidden)
        return torch.cat([i, o, f, g])

    weights = [in_order(weight)[None] for weight in (self.weight_ih_l0, self.weight_hh_l0)]
    biases = torch.cat([in_order(self.bias_ih_l0), in_order(self.bias_hh_l0)])[None]
    tensors: list[Tensor | None] = [x.transpose(0, 1), *weights, biases]
    if state is not None:
        tensors += [None, *state]  # no lengths: all sequences are whole
    outputs, h, c = torch.onnx.ops.symbolic_multi_out(
        "LSTM",
        tensors,
        {"hidden_size": hidden},
        dtypes=[x.dtype] * 3,
        shapes=[(x.shape[1], 1, x.shape[0], hidden), *[(1, x.shape[0], hidden)] * 2],
    )
    return outputs[:, 0].transpose(0, 1), (h, c)


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
