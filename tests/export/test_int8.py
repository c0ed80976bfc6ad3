"""INT8 export: arithmetic by hand, the search for layers that stay in float32, and files that are not written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveate.cli import export as verb
from foveate.errors import ConfigError, DataError, ModelError
from foveate.export import export_onnx
from foveate.export import int8 as module
from foveate.export.int8 import export_int8, require_int8
from foveate.onnx import OnnxFile, open_session
from foveate.onnx.int8 import _followers, calibrate, load_graph, logits_error, quantised, weighted_layers
from foveate.predictor import Predictor
from foveate.records import ClassTable, Preprocessing, SemanticOutput
from foveate.tasks import create_task, find_task
from foveate.tasks.base import Allowance

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CLASSES = ClassTable(("sky", "grass", "cow"))
W = np.array([[1.0, -0.5], [0.02, 0.01]], np.float32)


def images() -> list[Tensor]:
    """Smooth images of a few sizes."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for size in [(20, 30), (25, 17), (32, 32), (19, 40)]:
        coarse = torch.rand(1, 3, 5, 6, generator=generator)
        found.append((nn.functional.interpolate(coarse, size, mode="bilinear")[0] * 255).byte())
    return found


class Net(nn.Module):
    """Three convolutions, of which the middle one does not survive 8 bits.

    Its first input is 0 everywhere, and has the weight 300: beside it the others round to 0.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.hard = nn.Conv2d(6, 6, 1)
        self.last = nn.Conv2d(6, 3, 1)
        with torch.no_grad():
            self.first.bias[0] = -1000.0  # type: ignore[index]
            self.hard.weight[:, 0] = 300.0
            # Every class wins somewhere: logits of mean 0 and deviation 4.
            logits = torch.cat([self(Preprocessing()(image)[None]).logits.flatten(2) for image in images()], 2)
            spread = logits.std((0, 2)) / 4
            self.last.weight /= spread[:, None, None, None]
            self.last.bias -= logits.mean((0, 2))
            self.last.bias /= spread

    def forward(self, image: Tensor) -> SemanticOutput:
        x = torch.relu(self.hard(torch.relu(self.first(image))))
        return SemanticOutput(self.last(x))


class Source:
    """The images, labelled by the model itself: its own score is 1."""

    def __init__(self, model: nn.Module, names: tuple[str, ...] = ("val",)) -> None:
        self.names, self.classes, self.channels = names, CLASSES, 3
        self.samples = []
        for index, image in enumerate(images()):
            with torch.inference_mode():
                mask = model(Preprocessing()(image)[None]).logits[0].argmax(0).to(torch.uint8)
            self.samples.append({"image": image, "mask": mask, "name": f"{index}.png"})

    def splits(self) -> tuple[str, ...]:
        return self.names

    def problems(self) -> list[Any]:
        return []

    def open(self, split: str, task: str) -> Any:
        return self

    def describe(self, task: str = "") -> str:
        return "four images"

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]

    def name(self, index: int) -> str:
        return str(self.samples[index]["name"])


def predictor() -> Predictor:
    task = create_task("semantic", {"classes": CLASSES}, Preprocessing())
    return Predictor(task, Net().eval(), "net", Path("m"), torch.device("cpu"), "torch")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("int8") / "net.onnx"
    net = predictor()
    return path, export_int8(net, path, Source(net.runner), max_drop=6.0)


def in_int8(path: Path) -> list[bool]:
    """For each convolution, in order: True if its weights are stored in 8 bits."""
    graph = onnx.load(path).graph
    made = {output: node.op_type for node in graph.node for output in node.output}
    return [made.get(n.input[1]) == "DequantizeLinear" for n in graph.node if n.op_type == "Conv"]


def one_by_one() -> Any:
    """A graph with a single convolution of 1x1, and the weights W."""
    shape = [1, 2, "height", "width"]
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in ("image", "logits"))
    weight = onnx.numpy_helper.from_array(W[:, :, None, None], "W")
    node = onnx.helper.make_node("Conv", ["image", "W"], ["logits"], name="conv", kernel_shape=[1, 1])
    graph = onnx.helper.make_graph([node], "g", [x], [y], [weight])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)


def graph_of(nodes: list[tuple[str, list[str], str]], tmp_path: Path) -> Any:
    """A graph image -> logits of operators (type, inputs, output and name), with convolutions by W and a 0, "zero"."""
    shape = [1, 2, 4, 4]
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in ("image", "logits"))
    constants = {"W": W[:, :, None, None], "zero": np.zeros((), np.float32)}
    made = [onnx.helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in nodes]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(made, "g", [x], [y], tensors)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "graph.onnx",
    )
    return load_graph(tmp_path / "graph.onnx")


def rounded(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """x in steps of a 256th of its range, written out: scale (q - zero)."""
    scale = (high - low) / 255
    zero = round(-low / scale)
    return scale * (np.clip(np.round(x / scale) + zero, 0, 255) - zero)


def test_rounding_is_that_of_the_paper(tmp_path: Path) -> None:
    ranges = {"image": (-1.0, 3.0), "logits": (-2.0, 4.0)}
    path = tmp_path / "one.onnx"
    onnx.save(quantised(one_by_one(), ranges, ["conv"]), path)
    image = np.array([[[[0.3, -0.9, 2.99]], [[1.7, 5.0, -4.0]]]], np.float32)  # beyond the range: cut off
    scales = np.abs(W).max(1, keepdims=True) / 127  # of each output channel
    weights = np.round(W / scales) * scales
    expected = rounded(np.einsum("oi,bihw->bohw", weights, rounded(image, -1.0, 3.0)), -2.0, 4.0)
    (found,) = open_session(path, "cpu").run(["logits"], {"image": image})
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, np.einsum("oi,bihw->bohw", W, image), atol=1e-2)
    zeros = {i.name: i.data_type for i in onnx.load(path).graph.initializer if i.name.endswith("_zero_point")}
    assert (zeros["W_zero_point"], zeros["image_zero_point"]) == (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


def test_ranges_are_means_of_each_input_s_extremes(tmp_path: Path) -> None:
    inputs = [{"image": np.full((1, 2, 1, 1), value, np.float32)} for value in (1.0, 2.0, 6.0)]
    inputs[1]["image"][0, 1] = -4.0
    ranges = calibrate(one_by_one(), inputs, tmp_path)
    assert ranges["image"] == pytest.approx(((1 - 4 + 6) / 3, (1 + 2 + 6) / 3))
    outputs = [[0.5, 0.03], [4.0, 0.0], [3.0, 0.18]]  # W x
    assert ranges["logits"] == pytest.approx(tuple(np.mean([f(o) for o in outputs]) for f in (min, max)), abs=1e-6)
    with pytest.raises(ModelError, match="an activation is not finite on the calibration samples"):
        calibrate(one_by_one(), [{"image": np.array([np.inf, 1.0], np.float32).reshape(1, 2, 1, 1)}], tmp_path)


def test_error_of_logits_is_a_share_of_their_squares() -> None:
    expected, found = [np.array([3.0, 4.0]), np.array([0.0])], [np.array([3.0, 3.0]), np.array([2.0])]
    assert logits_error(expected, found) == pytest.approx((1 + 4) / 25)


def test_layers_have_weights_and_followers_have_none(tmp_path: Path) -> None:
    nodes = [
        ("Conv", ["image", "W"], "a"), ("Conv", ["image", "W"], "b"), ("Clip", ["a", "zero"], "clip"),
        ("Add", ["a", "b"], "sum"), ("Relu", ["sum"], "relu"), ("Add", ["zero", "zero"], "constant"),
        ("MatMul", ["relu", "clip"], "logits"),
    ]  # fmt: skip
    graph = graph_of(nodes, tmp_path)
    assert weighted_layers(graph) == ["a", "b"]  # a product of two activations has no weights
    assert _followers(graph, {"a"}) == ["clip"]
    assert _followers(graph, {"a", "b"}) == ["clip", "sum", "relu"]


def test_nodes_without_names_are_given_different_ones(tmp_path: Path) -> None:
    graph = graph_of([("Conv", ["image", "W"], "a"), ("Conv", ["a", "W"], "logits")], tmp_path)
    for node in graph.graph.node:
        node.name = ""
    onnx.save(graph, tmp_path / "unnamed.onnx")
    assert len(set(weighted_layers(load_graph(tmp_path / "unnamed.onnx")))) == 2


@pytest.mark.parametrize(("chosen", "kept"), [(["a", "logits"], []), (["logits"], ["relu"])])
def test_rounding_takes_the_place_of_a_relu_and_the_file_stays_what_it_is(
    chosen: list[str], kept: list[str], tmp_path: Path
) -> None:
    nodes = [("Conv", ["image", "W"], "a"), ("Relu", ["a"], "relu"), ("Conv", ["relu", "W"], "logits")]
    graph = graph_of(nodes, tmp_path)
    graph.producer_name, graph.producer_version = "maker", "7"
    graph.metadata_props.add(key="key", value="value")
    part = quantised(graph, dict.fromkeys(("image", "a", "relu", "logits"), (-1.0, 1.0)), chosen)
    onnx.checker.check_model(part, full_check=True)  # nodes in order, too
    assert [node.name for node in part.graph.node if node.op_type == "Relu"] == kept
    assert (part.producer_name, part.producer_version) == ("maker", "7")
    assert [(p.key, p.value) for p in part.metadata_props] == [("key", "value")]


def test_a_transposed_convolution_is_computed_in_float32(tmp_path: Path) -> None:
    nodes = [("Conv", ["image", "W"], "a"), ("ConvTranspose", ["a", "W"], "t"), ("Conv", ["t", "W"], "logits")]
    ranges = dict.fromkeys(("image", "a", "t", "logits"), (-1.0, 1.0))
    part = quantised(graph_of(nodes, tmp_path), ranges, ["a", "logits"])
    made = {output: node.op_type for node in part.graph.node for output in node.output}
    inputs = {n.op_type + n.name: made[n.input[0]] for n in part.graph.node if "Conv" in n.op_type}
    assert inputs == {"Conva": "DequantizeLinear", "ConvTransposet": "Clip", "Convlogits": "DequantizeLinear"}


class Scripted(module._Search):
    """A search in a number of layers, of which the last are the worst: `lost` is what a file loses."""

    def __init__(self, layers: int, lost: Callable[[int], float]) -> None:
        self.names = [f"layer {i}" for i in range(layers)]
        self.lost, self.tried, self.deadline, self.tell = lost, [], math.inf, lambda line: None
        self.measured: list[int] | None = None  # the files that were tried before the layers were measured

    def by_damage(self) -> list[str]:
        self.measured = list(self.tried)
        return self.names[::-1]

    def score(self, chosen: Any) -> float:
        self.tried.append(len(self.names) - len(chosen))
        assert list(chosen) == self.names[: len(chosen)]
        return -self.lost(self.tried[-1])


@pytest.mark.parametrize(
    ("enough", "tried"),
    [
        (0, [0]),
        (1, [0, 1]),
        (2, [0, 1, 2]),
        (3, [0, 1, 2, 4, 3]),
        (5, [0, 1, 2, 4, 8, 6, 5]),
        (7, [0, 1, 2, 4, 8, 6, 7]),
        (8, [0, 1, 2, 4, 8, 6, 7]),
    ],
)
def test_the_search_finds_the_fewest_float32_layers(enough: int, tried: list[int]) -> None:
    search = Scripted(9, lambda kept: 1.0 if kept >= enough else 2.0)
    reached = search.run(lambda score: -score, 1.0)
    assert (reached.kept, reached.lost, search.tried) == (enough, 1.0, tried)
    assert list(reached.chosen) == search.names[: 9 - enough]
    assert search.measured == ([0] if enough else None)  # only if the first file loses too much


def test_where_none_is_good_enough_the_file_that_loses_least_is_told() -> None:
    """All layers in float32 would be, but are no INT8 file."""
    search = Scripted(8, {0: math.nan, 1: 5.0, 2: 3.0, 4: 4.0, 8: 0.0}.__getitem__)
    assert search.run(lambda score: -score, 1.0).kept == 2
    assert search.tried == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("score", "max_drop", "greater", "told"),
    [
        (0.795, None, True, ""),  # as large as allowed
        (0.79, None, True, "1.00 points less, and 0.5 are allowed"),
        (0.79, 2.0, True, ""),
        (0.8, 0.0, True, ""),
        (0.799, 0.0, True, "0.10 points less, and 0 are allowed"),
        (math.nan, None, True, "nan points less"),
        (0.81, None, False, "1.00 points less"),
        (0.79, None, False, ""),
    ],
)
def test_what_may_be_lost(
    score: float, max_drop: float | None, greater: bool, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Search(Scripted):
        def __init__(self, *given: Any) -> None:
            super().__init__(1, lambda kept: -score)
            self.float32 = 0.8

        def write(self, reached: Any, path: Path, about: Any) -> None:
            path.write_text(json.dumps(about))

    monkeypatch.setattr(module, "_Search", Search)
    monkeypatch.setattr(module, "export_onnx", lambda *given: None)
    net = predictor()
    monkeypatch.setattr(type(net.family), "greater_is_better", greater)
    if told:
        with pytest.raises(ModelError, match=told):
            export_int8(net, tmp_path / "a.onnx", Source(net.runner), max_drop)
    else:
        report = export_int8(net, tmp_path / "a.onnx", Source(net.runner), max_drop)
        about = json.loads((tmp_path / "a.onnx").read_text())
        assert (report.float32, report.int8) == (about["float32"], about["int8"]) == (0.8, score)


@pytest.mark.parametrize(
    ("samples", "tiles", "expected"),
    [
        (3, 1, [0, 1, 2]),
        (200, 1, [i * 200 // 64 for i in range(64)]),
        (100, 30, [*[0] * 30, *[1] * 30, *[3] * 4]),  # a large image is several inputs
    ],
)
def test_inputs_are_spread_over_the_samples(samples: int, tiles: int, expected: list[int]) -> None:
    opened: list[int] = []

    class Dataset:
        def __len__(self) -> int:
            return samples

        def __getitem__(self, index: int) -> Tensor:
            opened.append(index)
            return torch.tensor([index])

    def answer(runner: Any, given: list[Tensor], options: None) -> None:
        for _ in range(tiles):
            runner(given[0])

    class Runner(nn.Module):
        input = "image"

        def forward(self, image: Tensor) -> Tensor:
            return image

    task: Any = SimpleNamespace(prepare=lambda sample: sample, answer=answer, options=None)
    assert [one["image"].item() for one in module._inputs(task, Runner(), Dataset())] == expected
    assert opened == list(dict.fromkeys(expected))


def test_samples_are_those_that_the_model_takes() -> None:
    net = predictor()
    source = Source(net.runner)
    expected = source.samples[0]["image"]
    source.samples[0] = source.samples[0] | {"image": expected.to(torch.uint16) * 257}
    dataset, *_ = module._validation_set(net, source)
    torch.testing.assert_close(dataset[0]["image"] * 255, expected.float())


def test_the_layer_that_does_not_survive_stays_in_float32(written: tuple[Path, Any]) -> None:
    path, report = written
    assert in_int8(path) == [True, False, True]
    assert (report.all_layers, report.float32_layers, report.samples, report.split) == (3, 1, 4, "val")
    assert report.float32 == 1.0
    assert 0.94 <= report.int8 < 1.0  # 8 bits change some pixels, or nothing was rounded
    about = OnnxFile.open(path).value("int8")
    assert about["int8"] == report.int8
    assert (about["float32"], about["float32_layers"], about["data"]) == (1.0, 1, "four images")
    assert [p.name for p in path.parent.iterdir()] == ["net.onnx"]


def test_a_float32_layer_between_quantised_ones_is_computed_in_float32(tmp_path: Path) -> None:
    """ONNX Runtime rounds weights that stand between a DequantizeLinear and a QuantizeLinear, if it is let."""
    net = predictor()
    graph = load_graph(export_onnx(net, tmp_path / "float32.onnx").path)
    first, hard, last = weighted_layers(graph)
    inputs = [{"image": Preprocessing()(image)[None].numpy()} for image in images()]
    ranges = calibrate(graph, inputs, tmp_path)
    session = open_session(tmp_path / "float32.onnx", "cpu")
    expected = [session.run(["logits"], one)[0] for one in inputs]
    errors = {}
    for chosen in ((first, last), (first, hard, last)):
        onnx.save(quantised(graph, ranges, chosen), tmp_path / "part.onnx")
        session = open_session(tmp_path / "part.onnx", "cpu")
        errors[chosen] = logits_error(expected, [session.run(["logits"], one)[0] for one in inputs])
    assert errors[first, last] < 0.01
    assert errors[first, hard, last] > 0.1


def test_the_score_is_that_of_the_file(written: tuple[Path, Any]) -> None:
    from foveate.engine import evaluate_run

    path, report = written
    evaluation = evaluate_run(path, source=Source(Net().eval()), split="val")
    assert evaluation.scores.mean_iou == pytest.approx(report.int8, abs=1e-12)


def test_takes_images_of_any_size_in_float32(written: tuple[Path, Any]) -> None:
    file = OnnxFile.open(written[0])
    (image,) = file.session.get_inputs()
    assert (image.name, image.type, image.shape[1]) == ("image", "tensor(float)", 3)
    assert Predictor.open(written[0]).predict(np.zeros((9, 70, 3), np.uint8)).mask.shape == (9, 70)


def test_openvino_reads_the_same_file(written: tuple[Path, Any]) -> None:
    pytest.importorskip("openvino")
    ours, theirs = Predictor.open(written[0]), Predictor.open(written[0], runtime="openvino")
    source = Source(Net().eval())
    equal = [(ours.predict(s["image"]).mask == theirs.predict(s["image"]).mask).mean() for s in source.samples]
    assert min(equal) > 0.97


def test_beyond_the_allowed_drop_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"the file before")
    net = predictor()
    with pytest.raises(ModelError) as caught:
        export_int8(net, path, Source(net.runner), max_drop=0.0)
    text = str(caught.value)
    assert "on 4 pictures (four images, val) with" in text
    assert "of 3 layers in float32, and 1.0000 with all of them; that is" in text
    assert "points less, and 0 are allowed: nothing was written; allow more with --max-drop" in text
    assert path.read_bytes() == b"the file before"
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_a_search_without_time_keeps_to_its_first_files(tmp_path: Path) -> None:
    net = predictor()
    with pytest.raises(ModelError, match=r"with 0 of 3 layers in float32, and 1\.0000 with all of them"):
        export_int8(net, tmp_path / "net.onnx", Source(net.runner), max_drop=2.0, seconds=0.0)
    assert not list(tmp_path.iterdir())


def test_what_is_refused(tmp_path: Path) -> None:
    net, out = predictor(), tmp_path / "net.onnx"
    for value in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"max_drop is .*; expected 0 or more, such as 0\.5"):
            export_int8(net, out, Source(net.runner), max_drop=value)
    with pytest.raises(ConfigError, match=r"m does not record which data it was trained on, and INT8 needs labelled"):
        export_int8(net, out)
    with pytest.raises(DataError, match="no split to validate on, only train"):
        export_int8(net, out, Source(net.runner, ("train",)))
    source = Source(net.runner)
    source.samples = []
    with pytest.raises(DataError, match="four images: the val split is empty; nothing to calibrate on"):
        export_int8(net, out, source)
    source = Source(net.runner)
    source.classes = ClassTable(("a", "b"))
    with pytest.raises(ConfigError, match="classes"):
        export_int8(net, out, source)
    exported = dataclasses.replace(net, runtime="onnxruntime", path=Path("m.onnx"))
    with pytest.raises(ModelError, match=r"m\.onnx is an exported file already; give the run or model folder"):
        export_int8(exported, out, Source(net.runner))
    with pytest.raises(ConfigError, match=r"net\.txt is not a name for an ONNX file"):
        export_int8(net, tmp_path / "net.txt", Source(net.runner))
    with pytest.raises(ConfigError, match="--data and --max-drop are for --int8; add it, or leave them out"):
        verb.run(["m", "--out", str(out), "--max-drop", "1"])
    assert not list(tmp_path.iterdir())


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    onnx.save(graph_of([("Relu", ["image"], "logits")], tmp_path), tmp_path / "float32.onnx")
    with pytest.raises(ModelError, match="the model has no convolution or matrix product to compute in 8 bits"):
        module._Search(tmp_path, [], math.inf, lambda line: None)


def test_a_score_that_is_not_defined_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(one_by_one(), tmp_path / "float32.onnx")
    monkeypatch.setattr(OnnxFile, "open", lambda *given, **more: None)
    task = SimpleNamespace(monitor="mean_iou")
    monkeypatch.setattr(module, "load_exported", lambda file: (task, SimpleNamespace(model=None)))
    monkeypatch.setattr(module, "_score", lambda *given: math.nan)
    with pytest.raises(DataError, match="mean_iou is not defined on these samples; INT8 cannot be compared"):
        module._Search(tmp_path, [], math.inf, lambda line: None)


def test_families_without_int8_are_named() -> None:
    with pytest.raises(
        ModelError, match="models for captioning have no INT8 export; image classification and semantic "
        "segmentation have: leave out --int8 for a float32 file",
    ):  # fmt: skip
        require_int8(find_task("captioning"))
    assert require_int8(find_task("semantic")) == Allowance(0.5)
    assert require_int8(find_task("classification")) == Allowance(1.0, relative=True)


def test_losses_have_the_unit_of_the_family() -> None:
    assert Allowance(0.5).lost(0.72, 0.715) == 0.5
    assert Allowance(1.0, relative=True).lost(0.5, 0.495) == 1.0
    assert Allowance(1.0, relative=True).lost(-2.0, -2.02) == 1.0
    assert Allowance(1.0, relative=True).lost(0.4, 0.404, greater_is_better=False) == pytest.approx(1.0)
    assert Allowance(0.5).lost(0.7, 0.71) == pytest.approx(-1.0)


def test_only_what_stands_between_layers_in_int8_follows_them(written: tuple[Path, Any], tmp_path: Path) -> None:
    net = predictor()
    file = export_onnx(net, tmp_path / "float32.onnx").path
    graph = load_graph(file)
    names = weighted_layers(graph)
    assert len(names) == 3
    relus = [n for n in graph.graph.node if n.op_type == "Relu"]
    assert len(relus) == 2
    inputs = [{"image": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}]
    part = quantised(graph, calibrate(graph, inputs, tmp_path), [names[2]])
    made = {output: node.op_type for node in part.graph.node for output in node.output}
    # The second ReLU follows a float32 layer: it reads that layer's own output, not a rounded one.
    kept = [n for n in part.graph.node if n.op_type == "Relu"]
    assert [made[n.input[0]] for n in kept] == ["Conv", "Conv"]
    stored = {p.key: json.loads(p.value) for p in part.metadata_props}
    assert stored["foveate.model"] == "net"
