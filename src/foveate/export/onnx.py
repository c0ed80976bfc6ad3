"""A trained model as one ONNX file that carries all it needs: weights, class table, preprocessing.

    image   (batch, C, height, width) float32, normalised as the metadata's `foveate.preprocessing` says
    logits  (batch, K, height, width) float32

Batch, height and width are free; of a model with a size of its own (a classifier, with logits (batch, K)), the batch
alone. The metadata's values are JSON: see `predictor.METADATA_KEYS`. `Predictor.open` runs the file in ONNX Runtime; so
can anything else that reads ONNX, without Foveate.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

import foveate
from foveate.errors import ConfigError, ModelError
from foveate.pictures import atomic_write
from foveate.predictor import Predictor

# Every operator used here is in 18; ONNX Runtime reads it since 1.14 and other runtimes are rarely further.
OPSET = 18
EXAMPLE_SIZE = (128, 160)
# Sizes that the export has not seen, odd ones among them, where padding and cropping go wrong first.
CHECKED_SIZES = ((97, 131), (250, 201))
TOLERANCE = 1e-3  # of the largest logit


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees.

    sizes: the (height, width) at which ONNX Runtime was compared with PyTorch.
    difference: the largest absolute difference of two logits, as a share of the largest logit.
    """

    path: Path
    opset: int
    bytes: int
    sizes: tuple[tuple[int, int], ...]
    difference: float
    seconds: float


def export_onnx(source: str | Path | Predictor, path: str | Path) -> ExportReport:
    """Write a model as an ONNX file and check it against PyTorch at sizes the export did not see.

    source: a run folder, a model folder, or an open Predictor on either. Whatever stood at `path` is replaced only by a
    file that passed the check.
    Raises ConfigError when the export extra is not installed or `path` is no .onnx file, ModelError when the
    model cannot be exported or the file disagrees, OutputError when it cannot be written.
    """
    _require_extra()
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path} is not a name for an ONNX file; give one that ends in .onnx")
    predictor = source if isinstance(source, Predictor) else Predictor.open(source, device="cpu")
    if predictor.model is None:
        raise ModelError(f"{predictor.path} is an exported file already; give the run or model folder it came from")
    start = time.perf_counter()
    with atomic_write(path) as temporary:
        temporary.touch()  # an unwritable place says so before the work
        _write(predictor, predictor.model, temporary)
        difference = _disagreement(predictor, predictor.model, temporary)
        if not difference <= TOLERANCE:  # also true for NaN
            raise ModelError(
                f"the exported {predictor.name} differs from PyTorch by {difference:.2g} of the largest logit, above "
                f"{TOLERANCE:g}; nothing was written: please report this model"
            )
    seconds = time.perf_counter() - start
    sizes = tuple(dict.fromkeys(_sizes(predictor)[1:]))
    return ExportReport(path, OPSET, path.stat().st_size, sizes, difference, seconds)


def _require_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"exporting needs {error.name}, which is not installed: pip install 'foveate[export]'"
        ) from None


def _sizes(predictor: Predictor) -> list[tuple[int, int]]:
    """The size that is traced, and those that are checked. A model with a size of its own has no other."""
    if predictor.preprocessing.size:
        height, width = predictor.preprocessing.size
        return [(height, width)] * 3
    return [EXAMPLE_SIZE, *CHECKED_SIZES]


class _Logits(nn.Module):
    """The model as ONNX sees it: a tensor in, a tensor out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.model(image).logits
        return logits


def _write(predictor: Predictor, model: nn.Module, path: Path) -> None:
    import onnx

    exported = _Logits(copy.deepcopy(model)).cpu().float().eval().to(memory_format=torch.contiguous_format)
    _as_onnx_operators(exported)
    example = torch.zeros(2, predictor.channels, *_sizes(predictor)[0])
    free = {0: "batch"} if predictor.preprocessing.size else {0: "batch", 2: "height", 3: "width"}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                exported,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=(free,),
                verbose=False,
            )
    except Exception as error:  # the exporter raises what it meets
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{predictor.name} cannot be exported ({reason}); please report this model") from error
    assert program is not None
    program.model.metadata_props.update(_metadata(predictor))
    program.model.producer_name = "foveate"
    program.model.producer_version = foveate.__version__
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def _metadata(predictor: Predictor) -> dict[str, str]:
    """Everything a reader of the file must know beside the graph; each value is JSON."""
    values: dict[str, Any] = {
        "foveate.task": predictor.task,
        "foveate.model": predictor.name,
        "foveate.version": foveate.__version__,
        "foveate.classes": predictor.classes.to_json(),
        "foveate.preprocessing": predictor.preprocessing.to_json(),
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _disagreement(predictor: Predictor, model: nn.Module, path: Path) -> float:
    """The largest difference between the file in ONNX Runtime and the module, relative to the largest logit.

    A model that chooses between values (DeconvNet's pooling switches) says by `may_differ` which share of its logits
    may be left out: where two values are equal up to rounding, each side may choose another.
    """
    spared = getattr(model, "may_differ", 0.0)
    exported = Predictor.open(path, device="cpu")
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for batch, (height, width) in enumerate(_sizes(predictor)[1:], start=1):
        image = torch.randn(batch, predictor.channels, height, width, generator=generator)
        with torch.inference_mode():
            expected = model(image.to(predictor.device)).logits.float().cpu()
            got = exported.network(image)
        if got.shape != expected.shape:
            raise ModelError(
                f"the exported {predictor.name} answers {tuple(got.shape)}, PyTorch {tuple(expected.shape)}; "
                "nothing was written: please report this model"
            )
        largest = max(float(expected.abs().max()), 1e-6)
        apart = (got - expected).abs().flatten()
        kept = apart.kthvalue(max(1, round(apart.numel() * (1 - spared)))).values if spared else apart.max()
        worst = max(worst, float(kept) / largest)
    return worst


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
