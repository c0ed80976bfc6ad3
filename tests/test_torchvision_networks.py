"""torchvision's networks by name: weights in their files, torchvision's own answers, and one line for what fails."""

from __future__ import annotations

import hashlib
import json
import pickle
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import get_model_builder, get_model_weights

import foveate
from foveate import cli
from foveate.datasets.voc import NAMES, VOC, voc_color
from foveate.engine import evaluate_run
from foveate.engine.transfer import start_from
from foveate.errors import ConfigError, ModelError
from foveate.export import export_onnx
from foveate.ops.layout import channels_last
from foveate.predictor import Predictor, find_model_folder
from foveate.server.models import load
from foveate.torchvision_networks import FAMILIES, builder_of
from foveate.torchvision_networks.load import weights_file
from foveate.torchvision_networks.networks import split_atoms

SMALL = "torchvision/lraspp_mobilenet_v3_large"


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty hub cache, with the smallest network's weights, and no network behind it."""

    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise urllib.error.URLError("no route to host")

    before, folder = torch.hub.get_dir(), tmp_path_factory.mktemp("hub")
    torch.hub.set_dir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.hub, "urlopen", unreachable)
        save("lraspp_mobilenet_v3_large")
        yield folder
    torch.hub.set_dir(before)


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        capsys.readouterr()
        assert cli.main(list(words)) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("foveate: ")

    return run


def save(builder: str) -> nn.Module:
    """torchvision's network with random numbers in every tensor, its state dict where the hub keeps the file."""
    torch.manual_seed(0)
    weights = get_model_weights(builder).DEFAULT
    more = {"aux_loss": True} if builder.startswith(("fcn", "deeplab")) else {}
    count = len(weights.meta["categories"])
    network = get_model_builder(builder)(weights=None, weights_backbone=None, num_classes=count, **more).eval()
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim == 1 and tensor.is_floating_point() and "weight" not in name:  # biases and means
            tensor.normal_(0, 0.1)
    if hasattr(network, "classifier"):  # so that no class is the largest everywhere
        last = [layer for layer in network.classifier.modules() if isinstance(layer, nn.Conv2d)][-1]
        with torch.no_grad():
            last.bias -= network(torch.randn(1, 3, 128, 128))["out"].mean((0, 2, 3))
    file = weights_file(f"torchvision/{builder}")
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return network


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tensor_of(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


# Semantic segmentation


@torch.inference_mode()
def test_labels_are_torchvisions_own() -> None:
    """At the size that torchvision's transform keeps, nothing is resized, and the answers are equal."""
    pixels = photo(520, 530)
    reference = channels_last(save("lraspp_mobilenet_v3_large"))
    image = get_model_weights("lraspp_mobilenet_v3_large").DEFAULT.transforms()(tensor_of(pixels))[None]
    expected = reference(image.contiguous(memory_format=torch.channels_last))["out"]
    predictor = Predictor.open(SMALL, "cpu")
    normalised = predictor.preprocessing(tensor_of(pixels))[None].contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(normalised, image, rtol=0, atol=1e-6)
    assert torch.equal(predictor.runner(image.contiguous(memory_format=torch.channels_last)).logits, expected)
    labels = expected[0].argmax(0).numpy()
    assert len(np.unique(labels)) > 2  # else this says little
    assert (predictor.predict(pixels).mask == labels).mean() > 0.9999


@torch.inference_mode()
@pytest.mark.parametrize("builder", ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_logits_are_torchvisions_own_at_another_size(builder: str) -> None:
    """A smaller short side than 520, for time; images are resized to it, and logits back."""
    reference = channels_last(save(builder))
    predictor = Predictor.open(f"torchvision/{builder}", "cpu")
    assert predictor.runner.short_side == 520
    predictor.runner.short_side = 96  # type: ignore[assignment]
    pixels = photo(150, 200)
    float_image = tensor_of(pixels).float() / 255
    image = get_model_weights(builder).DEFAULT.transforms(resize_size=96)(float_image)[None]
    small = reference(image.contiguous(memory_format=torch.channels_last))["out"]
    assert small.shape == (1, 21, 96, 128)
    expected = nn.functional.interpolate(small, (150, 200), mode="bilinear", align_corners=False)
    normalised = predictor.preprocessing(tensor_of(pixels))[None].contiguous(memory_format=torch.channels_last)
    logits = predictor.runner(normalised).logits
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    weights_file(f"torchvision/{builder}").unlink() if builder != "lraspp_mobilenet_v3_large" else None


def test_classes_are_those_of_pascal_voc_in_its_order() -> None:
    assert Predictor.open(SMALL, "cpu").classes.names == NAMES


def test_images_are_seen_whole_unless_tiles_are_asked_for() -> None:
    predictor = Predictor.open(SMALL, "cpu")
    shapes: list[tuple[int, ...]] = []
    predictor.runner.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape)))
    predictor.predict(photo(1300, 1300))  # above 1.5 megapixels
    assert shapes == [(1, 3, 1300, 1300)]
    shapes.clear()
    predictor.predict(photo(128, 200), tile=128, overlap=32)
    assert shapes == [(1, 3, 128, 128), (1, 3, 128, 104)]


def test_scales_are_refused_since_the_network_resizes() -> None:
    with pytest.raises(
        ConfigError, match=r"^this model resizes every image to one size, so that scales change nothing"
    ):
        Predictor.open(SMALL, "cpu").predict(photo(40, 40), scales=(0.5, 1.0))


# Objects


@torch.inference_mode()
@pytest.mark.parametrize("builder", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_objects_are_torchvisions_own(builder: str) -> None:
    reference = save(builder)
    weights = get_model_weights(builder).DEFAULT
    if builder == "maskrcnn_resnet50_fpn":  # with its weights, torchvision builds it from other layers of normalisation
        reference = get_model_builder(builder)(weights=weights).eval()
    predictor = Predictor.open(f"torchvision/{builder}", "cpu")
    assert (predictor.runner.network.transform.min_size, predictor.runner.network.transform.max_size) == ((800,), 1333)
    for network in (reference, predictor.runner.network):  # smaller, for time
        network.transform.min_size, network.transform.max_size = (128,), 200  # type: ignore[union-attr, assignment]
        network.rpn._post_nms_top_n["testing"] = 60  # type: ignore[union-attr, index]
    pixels = photo(90, 120)
    (expected,) = channels_last(reference)([weights.transforms()(tensor_of(pixels))])
    found = predictor.predict(pixels)
    categories = weights.meta["categories"]
    masks = expected["masks"][:, 0] > 0.5
    known = [i for i, k in enumerate(expected["labels"].tolist()) if categories[k] != "N/A" and masks[i].any()]
    assert len(known) > 5
    assert len(set(expected["labels"][known].tolist())) > 3
    names = [found.classes.names[k] for k in found.objects.labels]
    assert names == [categories[expected["labels"][i]] for i in known]
    assert found.objects.scores.tolist() == expected["scores"][known].tolist()
    for index, i in enumerate(known):
        assert np.array_equal(found.objects.mask(index), masks[i].numpy())
    assert found.threshold == 0.5
    weights_file(f"torchvision/{builder}").unlink()


def test_classes_of_objects_are_cocos_80_without_unused_numbers() -> None:
    save("maskrcnn_resnet50_fpn")
    predictor = Predictor.open("torchvision/maskrcnn_resnet50_fpn", "cpu")
    names, classes = predictor.classes.names, predictor.runner.classes
    assert len(names) == len(set(names)) == 80
    # Numbers of COCO's own list of categories.
    for number, name in ((1, "person"), (11, "fire hydrant"), (13, "stop sign"), (21, "cow"), (90, "toothbrush")):
        assert names[classes[number]] == name  # type: ignore[index]
    assert [k for k in range(91) if classes[k] < 0] == [0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83]  # type: ignore[index]
    weights_file("torchvision/maskrcnn_resnet50_fpn").unlink()


def test_masks_are_recovered_from_their_atoms() -> None:
    masks = torch.rand(6, 7, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    atoms, members = torch.zeros(7, 9, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.bool)
    for mask in masks:
        atoms, members = split_atoms(atoms, members, mask)
    assert torch.equal(members[atoms].permute(2, 0, 1), masks)


# Names, files and verbs


def test_every_name_has_published_weights_and_a_network() -> None:
    for builder, family in FAMILIES.items():
        weights = get_model_weights(builder).DEFAULT
        assert len(weights.meta["categories"]) == {"semantic": 21, "instances": 91}[family]
        assert weights_file(f"torchvision/{builder}").name == weights.url.rpartition("/")[2]


def test_a_folder_of_the_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert builder_of("torchvision/fcn_resnet50") == "fcn_resnet50"
    (tmp_path / "torchvision" / "fcn_resnet50").mkdir(parents=True)
    assert builder_of("torchvision/fcn_resnet50") == ""
    with pytest.raises(ModelError, match=r"is not a model folder: config.json is missing"):
        foveate.load("torchvision/fcn_resnet50")


@pytest.mark.parametrize("verb", ["predict", "evaluate", "serve"])
def test_an_unknown_name_is_answered_with_the_nearest(verb: str, complaint: Callable[..., str]) -> None:
    message = "unknown network 'torchvision/fcn_resnet5'; the nearest is 'torchvision/fcn_resnet50'"
    assert complaint(verb, "torchvision/fcn_resnet5", *(["a.jpg"] if verb == "predict" else [])) == message


def test_without_a_network_one_line_says_what_to_do(hub: Path, tmp_path: Path, complaint: Callable[..., str]) -> None:
    Image.fromarray(photo(20, 20)).save(tmp_path / "a.jpg")
    line = complaint("predict", "torchvision/fcn_resnet101", str(tmp_path / "a.jpg"), "--out", str(tmp_path / "out"))
    assert line == (
        "torchvision/fcn_resnet101: its weights cannot be downloaded (<urlopen error no route to host>); connect to "
        "the internet, or fetch https://download.pytorch.org/models/fcn_resnet101_coco-7ecb50ca.pth elsewhere and put "
        f"it at {hub / 'checkpoints' / 'fcn_resnet101_coco-7ecb50ca.pth'}"
    )


def test_a_file_that_could_run_code_is_refused() -> None:
    file = weights_file("torchvision/deeplabv3_resnet50")
    file.write_bytes(pickle.dumps({"weight": Path("a")}))
    with pytest.raises(ModelError, match=r"is damaged, or holds more than tensors and is refused"):
        foveate.load("torchvision/deeplabv3_resnet50")
    file.unlink()


def test_weights_of_another_network_are_refused() -> None:
    file = weights_file("torchvision/deeplabv3_resnet50")
    torch.save(torch.load(weights_file(SMALL), weights_only=True), file)
    with pytest.raises(ModelError, match=r"does not fit torchvision/deeplabv3_resnet50: Missing key.*; delete it, and"):
        foveate.load("torchvision/deeplabv3_resnet50")
    file.unlink()


def test_predict_writes_what_any_semantic_model_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photo(60, 80)).save(tmp_path / "photo.png")
    out = tmp_path / "out"
    assert cli.main(["predict", SMALL, str(tmp_path / "photo.png"), "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["photo.png", "photo_overlay.jpg", "predictions.json"]
    mask = np.asarray(Image.open(out / "photo.png"))
    assert np.array_equal(mask, foveate.load(SMALL, "cpu").predict(photo(60, 80)).mask)
    model = json.loads((out / "predictions.json").read_text())["model"]
    assert (model["path"], model["name"], model["task"]) == (SMALL, SMALL, "semantic")


def test_evaluate_scores_it_on_pascal_voc(tmp_path: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(photo(60, 80)).save(tmp_path / "JPEGImages" / "a.jpg", quality=95)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    expected = foveate.load(SMALL, "cpu").predict(tmp_path / "JPEGImages" / "a.jpg").mask.copy()
    expected[:30] = 255  # not scored
    expected[30:45] = (expected[30:45] + 1) % 21  # wrong
    mask = Image.fromarray(expected, "P")
    mask.putpalette([part for label in range(256) for part in voc_color(label)])
    mask.save(tmp_path / "SegmentationClass" / "a.png")
    evaluation = evaluate_run(SMALL, source=VOC(str(tmp_path)))
    assert evaluation.scores.pixel_accuracy == 0.5


def test_serve_opens_it_with_the_digest_of_its_file() -> None:
    served = load("small", Path(SMALL), "cpu", {})
    assert served.sha256 == hashlib.sha256(weights_file(SMALL).read_bytes()).hexdigest()
    assert served.predictor.name == SMALL


def test_what_needs_a_folder_refuses_a_name(complaint: Callable[..., str], tmp_path: Path) -> None:
    asked = "is a network of torchvision, which {} does not take; give a run folder or a model folder"
    with pytest.raises(ModelError) as refused:
        start_from(nn.Linear(1, 1), SMALL, {}, {})
    assert str(refused.value) == f"{SMALL} {asked.format('--init')}"
    with pytest.raises(ModelError) as refused:
        find_model_folder(Path(SMALL))
    assert str(refused.value) == f"{SMALL} {asked.format('this')}"
    assert complaint("push", SMALL, "me/small") == f"{SMALL} {asked.format('this')}"
    assert complaint("studio", str(tmp_path), "--run", SMALL) == f"{SMALL} {asked.format('the studio')}"
    assert complaint("evaluate", SMALL) == (
        f"{SMALL} is a network of torchvision; name the data to score it on with --data PATH"
    )
    with pytest.raises(ModelError, match=r"^this model has no ONNX export: it resizes images in a way that no ONNX"):
        export_onnx(SMALL, tmp_path / "small.onnx")
