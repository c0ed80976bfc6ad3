"""Post-training quantisation of a graph to INT8: ranges of its tensors, and QuantizeLinear/DequantizeLinear pairs.

Weights are signed, symmetric, and have a scale for each output channel; activations are unsigned with a zero point:

    q = round(x / scale) + zero,  x ~ scale (q - zero)                      Jacob et al. (2018), equation 1

"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference". The pairs stand around
each quantised operator (QDQ), which ONNX Runtime, OpenVINO and others turn into integer operators; the graph's own
input and outputs stay float32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foveate.errors import ModelError
from foveate.onnx.runtimes import open_session

# Operators with weights: these are chosen one by one. The others follow those beside them, so that an activation
# between two quantised layers need not become float32 again.
WEIGHTED = ("Conv", "Gemm", "MatMul")
FOLLOWING = ("Add", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")
LOWEST = "lowest float32"  # a constant
LOW, HIGH = "lowest of ", "highest of "  # outputs of the graph that is calibrated

Ranges = Mapping[str, tuple[float, float]]


def load_graph(path: Path) -> Any:
    """An exported file as an onnx.ModelProto with the shapes of its tensors, each of its nodes named."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return model


def weighted_layers(model: Any) -> list[str]:
    """The names of the nodes with weights, in the graph's order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type in WEIGHTED and n.input[1] in constants]


def calibrate(model: Any, inputs: Iterable[Mapping[str, np.ndarray]], folder: Path) -> Ranges:
    """The range of each activation: the mean over the inputs of its lowest, and of its highest value.

    A mean, since one input's extreme value would make the steps of all others coarser. inputs: the graph's, by name.
    folder: for the graph that reports them. Raises ModelError where a value is not finite.
    """
    import onnx

    names = _activations(model)
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for name in names:
        for kind, prefix in (("ReduceMin", LOW), ("ReduceMax", HIGH)):
            probe.graph.node.append(onnx.helper.make_node(kind, [name], [prefix + name], keepdims=0))
            probe.graph.output.append(onnx.helper.make_tensor_value_info(prefix + name, onnx.TensorProto.FLOAT, []))
    path = folder / "calibrated.onnx"
    onnx.save(probe, str(path))
    session = open_session(path, "cpu")
    outputs = [prefix + name for name in names for prefix in (LOW, HIGH)]
    found = np.array([[float(x) for x in session.run(outputs, one)] for one in inputs], np.float64)
    if not np.isfinite(found).all():
        raise ModelError("an activation is not finite on the calibration samples; the model cannot be quantised")
    means = found.mean(0).reshape(-1, 2)
    return {name: (float(low), float(high)) for name, (low, high) in zip(names, means, strict=True)}


def quantised(model: Any, ranges: Ranges, chosen: Collection[str]) -> Any:
    """A copy of the graph whose chosen layers, and what stands between them alone, compute in INT8."""
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    pairs = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, pairs),
        nodes_to_quantize=[*chosen, *_followers(model, set(chosen))],
        nodes_to_exclude=[],
        op_types_to_quantize=[*WEIGHTED, *FOLLOWING],
        extra_options={},
    )
    quantizer.quantize_model()
    _keep_float(quantizer.model.model, set(chosen))
    quantizer.model.topological_sort()  # pairs are added at the end
    found = quantizer.model.model
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    return found


def _keep_float(model: Any, chosen: set[str]) -> None:
    """Part the float32 layers from quantised inputs, by an operator that changes no value.

    Between a DequantizeLinear and a QuantizeLinear, ONNX Runtime would round the weights of such a layer when it loads
    the file (its WeightBiasQuantization), and compute it in integers after all.
    """
    import onnx

    dequantised = {output for n in model.graph.node if n.op_type == "DequantizeLinear" for output in n.output}
    apart: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in (*WEIGHTED, "ConvTranspose") and node.name not in chosen and node.input[0] in dequantised:
            node.input[0] = apart.setdefault(node.input[0], f"{node.input[0]}_apart")
    for source, target in apart.items():
        model.graph.node.append(onnx.helper.make_node("Clip", [source, LOWEST], [target], name=f"{target}_Clip"))
    if apart:
        lowest = np.array(np.finfo(np.float32).min, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(lowest, LOWEST))


def logits_error(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """The squared error of logits as a share of their own squares, over all inputs."""
    error = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(found, expected, strict=True))
    return error / max(sum(float(np.square(a, dtype=np.float64).sum()) for a in expected), 1e-12)


def _activations(model: Any) -> list[str]:
    """The float32 tensors that nodes to quantise read or write, each once."""
    described = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    floats = {x.name for x in described if x.type.tensor_type.elem_type == 1}  # onnx.TensorProto.FLOAT
    nodes = [node for node in model.graph.node if node.op_type in (*WEIGHTED, *FOLLOWING)]
    return list(dict.fromkeys(n for node in nodes for n in (*node.input, *node.output) if n in floats))


def _followers(model: Any, chosen: set[str]) -> list[str]:
    """Operators without weights of which every input is written in INT8, by a chosen layer or by another follower."""
    constants = {tensor.name for tensor in model.graph.initializer}
    written = {output for node in model.graph.node if node.name in chosen for output in node.output}
    found = []
    for node in model.graph.node:  # in topological order
        inputs = [name for name in node.input if name and name not in constants]
        if node.op_type in FOLLOWING and inputs and all(name in written for name in inputs):
            found.append(node.name)
            written |= set(node.output)
    return found
