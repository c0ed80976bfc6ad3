"""Inception-v4 and Inception-ResNet-v2: timm's networks under other names, and what is ours around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

import foveate
from foveate.errors import ConfigError, ModelError
from foveate.records import ClassificationOutput, ClassTable, Preprocessing
from foveate.store import load_model, save_model

NAMES = ("inception_v4", "inception_resnet_v2")
SLIM = {"width": 0.125, "modules": (1, 1, 2), "norm_momentum": 0.1, "num_classes": 4}


def build(name: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return foveate.create(name, **(SLIM | more))


@pytest.mark.parametrize("name", NAMES)
def test_the_central_crop_is_a_field(name: str, tmp_path: Path) -> None:
    classes = ClassTable(("a", "b", "c", "d"))
    for crop in (0.875, 1.0):
        model = build(name, valid=False, image_size=(32, 32), **({} if crop == 0.875 else {"crop": crop}))
        assert model.preprocessing.crop == crop
        save_model(tmp_path / str(crop), model, name, {"classes": classes}, "classification")
        assert load_model(tmp_path / str(crop)).preprocessing == model.preprocessing
    for wrong in (0.0, 1.25, -1.0):
        with pytest.raises(
            ConfigError, match=rf"crop is {wrong:g}; expected a share above 0 and at most 1, e.g. 0.875"
        ):
            build(name, crop=wrong)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module", params=NAMES)
def theirs(request: pytest.FixtureRequest) -> Iterator[tuple[str, nn.Module]]:
    """timm's network at random, its batch norms' statistics, too, each layer's spread kept near one."""
    torch.manual_seed(1)
    network = timm.create_model(request.param, pretrained=False).eval()
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("running_mean"):
                tensor.normal_(0, 0.3)
            elif key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif key.endswith("bias"):
                tensor.normal_(0, 0.3)
            elif tensor.ndim == 1:
                tensor.uniform_(0.8, 1.6)
    yield request.param, network


# Sizes


@pytest.mark.parametrize(("name", "count"), [("inception_v4", 42_679_816), ("inception_resnet_v2", 55_843_464)])
def test_the_published_sizes(name: str, count: int) -> None:
    with torch.device("meta"):
        model = foveate.create(name, num_classes=1000)
    assert parameters(model) == count
    assert model.dropout.p == 0.2
    assert model.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, (299, 299), 0.875)


def test_the_papers_own_network() -> None:
    """Counted by hand from figures 3, 7 and 16 to 19: (in, out, area of the kernel) of every convolution."""
    stem = [(3, 32, 9), (32, 32, 9), (32, 64, 9), (64, 96, 9), (160, 64, 1), (64, 96, 9)]
    stem += [(160, 64, 1), (64, 64, 7), (64, 64, 7), (64, 96, 9), (192, 192, 9)]
    a = [(384, 32, 1), (384, 32, 1), (32, 32, 9), (384, 32, 1), (32, 48, 9), (48, 64, 9)]
    first = [(384, 384, 9), (384, 256, 1), (256, 256, 9), (256, 384, 9)]
    b = [(1152, 192, 1), (1152, 128, 1), (128, 160, 7), (160, 192, 7)]
    second = [(1152, 256, 1), (256, 384, 9), (1152, 256, 1), (256, 288, 9)]
    second += [(1152, 256, 1), (256, 288, 9), (288, 320, 9)]
    c = [(2144, 192, 1), (2144, 192, 1), (192, 224, 3), (224, 256, 3)]
    normed = stem + 5 * a + first + 10 * b + second + 5 * c
    linear = 5 * [(128, 384)] + 10 * [(384, 1152)] + 5 * [(448, 2144)] + [(2144, 1000)]
    expected = sum(i * o * k + 2 * o for i, o, k in normed) + sum(i * o + o for i, o in linear)
    with torch.device("meta"):
        model = foveate.create("inception_resnet_v2", variant="paper")
    assert parameters(model) == expected == 32_433_928


# timm's checkpoints


def test_timms_checkpoints_give_the_same_logits(theirs: tuple[str, nn.Module]) -> None:
    name, network = theirs
    model = foveate.create(name).eval()
    assert model.load_foreign(network.state_dict()) == f"timm's {name}: every layer"
    for size in ((299, 299), (97, 140)):
        image = torch.randn(1, 3, *size)
        with torch.inference_mode():
            expected, found = network(image), model(image).logits
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_other_classes_take_the_trunk_alone(theirs: tuple[str, nn.Module]) -> None:
    name, network = theirs
    model = foveate.create(name, num_classes=5, in_channels=1)
    head = model.head.weight.clone()
    loaded = model.load_foreign(network.state_dict())
    assert loaded == f"timm's {name}: the trunk (its classifier has 1000 classes, this model 5)"
    assert torch.equal(model.head.weight, head)
    first = next(p for n, p in network.named_parameters() if n.endswith("conv.weight"))
    torch.testing.assert_close(model.backbone.stem[0].conv.weight, first.sum(1, keepdim=True))


def test_weights_that_do_not_fit_change_nothing(theirs: tuple[str, nn.Module]) -> None:
    name, network = theirs
    published = {"inception_v4": "4,7,3", "inception_resnet_v2": "10,20,10"}[name]
    for fields in ({"width": 0.125}, {"modules": (1, 1, 1), "width": 1.0}):
        with torch.device("meta" if fields["width"] == 1.0 else "cpu"):
            model = build(name, **fields)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        expected = rf"not those of this {name}: [abc]\S+ has shape .*; public ones are for width 1 and .* {published}"
        if fields["width"] != 1.0:
            expected = rf"not those of this {name}: stem\.0\S+ has shape \(32, 3, 3, 3\), here \(8, 3, 3, 3\); public"
        with pytest.raises(ModelError, match=expected):
            model.load_foreign(network.state_dict())
        if fields["width"] != 1.0:
            assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(
        ModelError, match=f"the weights are not those of timm's {name}; found a, b ...: give a checkpoint of it"
    ):
        model.load_foreign({"a": torch.zeros(1), "b": torch.zeros(1)})


def test_imagenet_weights_come_from_timms_hub(theirs: tuple[str, nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    name, network = theirs
    asked = []

    def hub(which: str, pretrained: bool) -> nn.Module:
        asked.append((which, pretrained))
        return network

    monkeypatch.setattr(timm, "create_model", hub)
    model = foveate.create(name, pretrained=True)
    assert asked == [(name, True)]
    state = network.state_dict()
    key = "last_linear.weight" if name == "inception_v4" else "classif.weight"
    assert torch.equal(model.head.weight, state[key])

    def offline(which: str, pretrained: bool) -> nn.Module:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    expected = rf"'{name}' could not be loaded \(OSError\); connect to the internet once, .* --config.pretrained false"
    for ask in (
        lambda: foveate.create(name, pretrained=True),
        lambda: foveate.create("fcn8s", backbone=name, pretrained=True),
    ):
        with torch.device("meta"), pytest.raises(ModelError, match=expected):
            ask()


# What they compute


@pytest.mark.parametrize(("name", "published"), [("inception_v4", "4,7,3"), ("inception_resnet_v2", "10,20,10")])
def test_a_slim_network_has_no_weights_and_asks_for_none(
    name: str, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(timm, "create_model")
    expected = (
        f"weights of {name} are for width 1 and modules {published}; this one has width 0.25 and modules 1,1,2: "
        f"set --config.width 1 --config.modules {published}, or drop pretrained"
    )
    with torch.device("meta"), pytest.raises(ConfigError, match=expected):
        build(name, width=0.25, pretrained=True)


@pytest.mark.parametrize("name", NAMES)
class TestBoth:
    def test_logits_are_the_formula(self, name: str) -> None:
        """The linear map of the mean over positions; no softmax."""
        model = build(name).eval()
        image = torch.randn(2, 3, 139, 108)
        with torch.inference_mode():
            out = model(image)
            features = model.backbone(image)[-1]
            assert features.shape[-2:] == (3, 2)
            expected = F.linear(features.flatten(2).mean(2), model.head.weight, model.head.bias)
        assert isinstance(out, ClassificationOutput)
        torch.testing.assert_close(out.logits, expected)

    def test_small_images(self, name: str) -> None:
        for fields, side in (({"valid": True}, 75), ({"valid": False}, 64), ({"valid": False}, 17)):
            model = build(name, image_size=(side, side), **fields).eval()
            with torch.inference_mode():
                assert model(torch.randn(1, 3, side, side)).logits.shape == (1, 4)
        with pytest.raises(ConfigError, match="an image of 64x64 pixels; valid convolutions need at least 75 a side"):
            build(name)(torch.randn(1, 3, 64, 64))

    def test_dropout_is_for_training(self, name: str) -> None:
        model = build(name, dropout=0.5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        image = torch.randn(1, 3, 80, 80)
        with torch.inference_mode():
            assert not torch.equal(model(image).logits, model(image).logits)
            model.eval()
            assert torch.equal(model(image).logits, model(image).logits)

    def test_one_batch_can_be_learned(self, name: str) -> None:
        model = build(name, valid=False, dropout=0.0, label_smoothing=0.0).train()
        label = torch.arange(8) % 4
        image = torch.randn(8, 3, 64, 64)
        image[:, 0] += (2 * (label % 2) - 1).view(-1, 1, 1)
        image[:, 1] += (2 * (label // 2) - 1).view(-1, 1, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(15):
            optimizer.zero_grad()
            loss = model.loss({"image": image, "label": label, "names": []})["loss"]
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.2 * losses[0]

    def test_a_traced_graph_is_the_model(self, name: str) -> None:
        model = build(name).eval()
        traced = fx.symbolic_trace(model)
        for size in ((96, 96), (139, 108)):
            image = torch.randn(1, 3, *size)
            assert torch.equal(traced(image).logits, model(image).logits)
        with pytest.raises(ConfigError, match="an image of 64x64 pixels"):
            traced(torch.randn(1, 3, 64, 64))

    def test_invalid_configs_raise(self, name: str) -> None:
        cases: list[tuple[dict[str, Any], str]] = [
            ({"num_classes": 0}, r"num_classes 0 must be at least 1, dropout 0\.2 and label_smoothing 0\.1 at least 0"),
            ({"dropout": 1.0}, "dropout 1 and"),
            ({"label_smoothing": -0.1}, r"label_smoothing -0\.1 at least 0 and below 1"),
            ({"width": math.nan}, "width is nan; expected a number"),
            ({"image_size": (74, 299)}, r"image_size \(74, 299\); expected .* of at least 75, or set valid"),
            ({"image_size": (0, 9), "valid": False}, r"image_size \(0, 9\); expected .* width of at least 1$"),
            ({"width": -1.0}, rf"modules \(1, 1, 2\) and width -1 do not define {name}"),
            ({"modules": (1, 0, 1)}, rf"modules \(1, 0, 1\) and width 0\.125 do not define {name}"),
        ]
        for fields, text in cases:
            with pytest.raises(ConfigError, match=text):
                build(name, **fields)


@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v2"])
def test_images_of_another_kind_are_refused(name: str) -> None:
    for shape in ((2, 1, 80, 80), (3, 80, 80)):
        with pytest.raises(
            ConfigError, match=rf"shape \({shape[0]}, .* for a network of 3 channels; give it \(B, 3, H"
        ):
            build(name)(torch.zeros(shape))


def test_every_kind_of_block_has_a_factor() -> None:
    with pytest.raises(ConfigError, match=r"scaling is \(0\.1,\); expected 3 values"):
        build("inception_resnet_v2", scaling=(0.1,))


def test_images_come_at_the_configs_size() -> None:
    model = build("inception_v4", in_channels=5, image_size=(96, 80))
    assert model.preprocessing == Preprocessing((0.5,) * 5, (0.5,) * 5, (96, 80), 0.875)


def test_a_folder_keeps_the_variant(tmp_path: Path) -> None:
    model = build("inception_resnet_v2", variant="paper", modules=(), width=0.05, scaling=(0.1, 0.2, 0.3)).eval()
    tables = {"classes": ClassTable(("a", "b", "c", "d"))}
    save_model(tmp_path / "m", model, "inception_resnet_v2", tables, "classification")
    loaded = load_model(tmp_path / "m").model.eval()
    assert loaded.config == model.config
    x = torch.randn(1, 3, 80, 80)
    with torch.inference_mode():
        assert torch.equal(model(x).logits, loaded(x).logits)


def test_the_papers_variant_has_no_weights() -> None:
    with pytest.raises(
        ConfigError, match="the paper's variant has no public weights; set variant to released, or drop"
    ):
        build("inception_resnet_v2", variant="paper", pretrained=True)


def test_labels_are_smoothed_and_classes_weighed() -> None:
    """Two images, two classes, by hand: -sum_k q(k) log p(k), q = 0.95 and 0.05 at a smoothing of 0.1."""
    model = build("inception_v4", num_classes=2)
    logits = torch.tensor([[np.log(3.0), 0.0], [0.0, 0.0]], dtype=torch.float32)
    model.forward = lambda image: ClassificationOutput(logits)
    batch: dict[str, Any] = {"image": torch.empty(0), "label": torch.tensor([0, 1]), "names": []}
    first = -(0.95 * np.log(0.75) + 0.05 * np.log(0.25))
    assert model.loss(batch)["loss"].item() == pytest.approx((first + np.log(2)) / 2, rel=1e-5)
    # Torch weighs each term by its class and divides by the weight of the labels: 3 and 1.
    weighed = -(3 * 0.95 * np.log(0.75) + 1 * 0.05 * np.log(0.25)) + (3 * 0.05 + 1 * 0.95) * np.log(2)
    batch["class_weights"] = torch.tensor([3.0, 1.0])
    assert model.loss(batch)["loss"].item() == pytest.approx(weighed / 4, rel=1e-5)


def test_onnx_agrees(tmp_path: Path) -> None:
    """Both in one file, since most of an export's seconds are its own."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.models = nn.ModuleList(build(name, modules=(1, 1, 1)) for name in NAMES)

        def forward(self, image: Tensor) -> Tensor:
            return torch.cat([model(image).logits for model in self.models], 1)

    both = Both().eval()
    program = torch.onnx.export(
        both, (torch.zeros(2, 3, 96, 107),), dynamo=True, verbose=False, input_names=["image"],
        dynamic_shapes=({0: "batch"},),
    )  # fmt: skip
    program.save(str(tmp_path / "m.onnx"), external_data=False)
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    for count in (1, 3):
        inputs = torch.randn(count, 3, 96, 107)
        (found,) = session.run(None, {"image": inputs.numpy()})
        with torch.inference_mode():
            expected = both(inputs)
        assert expected.std() > 1e-3
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


# Under the segmentation models


@pytest.mark.parametrize("name", NAMES)
def test_segmentation_stands_on_them(name: str) -> None:
    """Any size, and a strip of nothing below the image does not move the scores above it."""
    torch.manual_seed(0)
    model = foveate.create("fcn8s", num_classes=5, backbone=name, head_channels=8, head_kernel=1, dropout=0.0).eval()
    assert model.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3)
    for module in (model.score, model.score_pool["16"], model.score_pool["8"]):
        nn.init.normal_(module.weight)
    image = torch.zeros(1, 3, 128, 61)
    image[:, :, :90] = torch.randn(1, 3, 90, 61)
    with torch.inference_mode():
        whole, cut = model(image).logits, model(image[:, :, :90]).logits
    assert cut.shape == (1, 5, 90, 61)
    middle = slice(0, 50)
    shift = [(whole.roll(d, 2)[:, :, middle] - cut[:, :, middle]).abs().mean().item() for d in (-4, 0, 4)]
    assert shift[1] < 0.5 * min(shift[0], shift[2])
