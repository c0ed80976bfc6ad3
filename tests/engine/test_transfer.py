"""Starting from what another training learned: all of it, the classes of the same name, or a public file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import vgg16

from foveate.backbones.vgg import TORCHVISION_INDICES
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.engine.transfer import start_from
from foveate.errors import ModelError
from foveate.records import (
    ClassTable,
    ClipFormat,
    DrawingPreprocessing,
    HandwritingPreprocessing,
    Preprocessing,
    QuestionPreprocessing,
)
from foveate.registry import create_model
from foveate.store import load_model, save_model
from foveate.tasks.semantic.task import SemanticTask

LETTERS = tuple("abcdefgh")  # as many classes as the tiny model's head has channels
SMALL = {"backbone": "test_efficientnet", "head_channels": 8, "head_kernel": 1}


def model_of(classes: tuple[str, ...], seed: int, **config: object) -> nn.Module:
    """A model with a random number in every tensor, none of which starts at zero."""
    torch.manual_seed(seed)
    model: nn.Module = create_model("fcn8s", **({"num_classes": len(classes), "dropout": 0.0} | SMALL | config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("score", "up2")):
                parameter.normal_()
    return model.eval()


def saved(folder: Path, model: nn.Module, classes: tuple[str, ...]) -> Path:
    save_model(folder, model, "fcn8s", {"classes": ClassTable(classes)}, "semantic")
    return folder


def start(model: nn.Module, source: Path, classes: tuple[str, ...]) -> str:
    return start_from(model, source, {"classes": ClassTable(classes)}, SemanticTask.sizes)


def test_the_same_classes_take_every_tensor(tmp_path: Path) -> None:
    theirs, mine = model_of(LETTERS, 1), model_of(LETTERS, 2)
    theirs.preprocessing = Preprocessing((0.1, 0.2, 0.3), (1.0, 1.0, 1.0), size=(40, 40))  # type: ignore[assignment]
    told = start(mine, saved(tmp_path, theirs, LETTERS), LETTERS)
    expected = theirs.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in mine.state_dict().items())
    assert told == f"{len(expected)} of {len(expected)} tensors of fcn8s"
    # The weights expect such values; of which size is for this model to say.
    assert mine.preprocessing == Preprocessing((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("order", ["hgfedcba", "badcfehg"])
def test_classes_in_another_order_give_the_same_answers_in_that_order(tmp_path: Path, order: str) -> None:
    """Also where another layer has as many channels as there are classes."""
    theirs, mine = model_of(LETTERS, 1), model_of(LETTERS, 2)
    start(mine, saved(tmp_path, theirs, LETTERS), tuple(order))
    picture = torch.randn(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(picture).logits[:, [LETTERS.index(letter) for letter in order]]
        assert torch.allclose(mine(picture).logits, expected, atol=1e-5)


def test_classes_of_the_same_name_are_carried_over_and_others_start_afresh(tmp_path: Path) -> None:
    names = ("new", "c", "a", "newer", "h")
    theirs, mine = model_of(LETTERS, 1), model_of(names, 2)
    fresh = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    told = start(mine, saved(tmp_path, theirs, LETTERS), names)
    assert told.endswith(" tensors of fcn8s, and 3 of 5 entries of classes by name")
    old, new = theirs.state_dict(), mine.state_dict()
    pairs = {1: 2, 2: 0, 4: 7}  # own label -> theirs
    for layer in ("score.weight", "score.bias", "score_pool.16.weight", "score_pool.8.bias"):
        for label in range(5):
            expected = old[layer][pairs[label]] if label in pairs else fresh[layer][label]
            assert torch.equal(new[layer][label], expected), layer
    for layer in ("up2.16.weight", "up2.8.weight"):  # classes along both axes
        for i in range(5):
            for j in range(5):
                both = i in pairs and j in pairs
                expected = old[layer][pairs[i], pairs[j]] if both else fresh[layer][i, j]
                assert torch.equal(new[layer][i, j], expected), layer
    assert torch.equal(new["fc7.weight"], old["fc7.weight"])
    assert torch.equal(new["backbone.net.conv_stem.weight"], old["backbone.net.conv_stem.weight"])


def test_no_class_in_common_takes_the_rest(tmp_path: Path) -> None:
    theirs, mine = model_of(LETTERS, 1), model_of(("x", "y"), 2)
    before = mine.state_dict()["score.weight"].clone()
    assert "0 of 2 entries of classes by name" in start(mine, saved(tmp_path, theirs, LETTERS), ("x", "y"))
    assert torch.equal(mine.state_dict()["score.weight"], before)
    assert torch.equal(mine.state_dict()["fc6.weight"], theirs.state_dict()["fc6.weight"])


def test_a_run_starts_from_a_run(
    tiny: Callable[..., Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train_recipe(tiny(epochs=1), out=tmp_path / "first")
    recipe = tiny(epochs=1, optim__lr=1e-12, freeze_norm=True)
    second = train_recipe(recipe, out=tmp_path / "second", init=first)
    assert f"from {first}: " in capsys.readouterr().out
    old, new = (load_model(RunFolder(run).best).model.state_dict() for run in (first, second))
    assert all(torch.allclose(new[name], tensor, atol=1e-6) for name, tensor in old.items())
    assert RunFolder(second).read_json("data.json")["init"] == str(first)


def test_public_vgg_weights_are_taken_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = vgg16(weights=None, num_classes=2)
    state = {name: tensor for name, tensor in source.state_dict().items() if name.startswith("features")}
    state |= {"classifier.0.weight": torch.randn(8, 25088), "classifier.0.bias": torch.randn(8)}
    state |= {"classifier.3.weight": torch.randn(8, 8), "classifier.3.bias": torch.randn(8)}
    torch.save(state, tmp_path / "vgg16.pth")
    model = create_model("fcn8s", num_classes=4, head_channels=8)
    assert "torchvision's VGG-16" in start(model, tmp_path / "vgg16.pth", tuple("abcd"))
    own = model.state_dict()
    assert torch.equal(own["backbone.conv5_3.weight"], state[f"features.{TORCHVISION_INDICES[-1]}.weight"])
    assert torch.equal(own["fc6.weight"].flatten(1), state["classifier.0.weight"])


def test_what_does_not_fit_says_so(tmp_path: Path) -> None:
    model = model_of(LETTERS, 1)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "some.pth")
    with pytest.raises(ModelError, match="need backbone 'vgg16'; this model has 'test_efficientnet'"):
        start(model, tmp_path / "some.pth", LETTERS)
    with pytest.raises(ModelError, match=r"some\.pth is a weight file, but Linear reads only runs; give a run folder"):
        start(nn.Linear(1, 1), tmp_path / "some.pth", LETTERS)
    with pytest.raises(ModelError, match=r"gone does not exist; give a run folder or a model folder"):
        start(model, tmp_path / "gone", LETTERS)
    other = create_model("fcn8s", **(SMALL | {"backbone": "test_convnext", "head_channels": 16, "num_classes": 3}))
    saved(tmp_path / "other", other, tuple("xyz"))
    own = dataclasses.replace(model.config, backbone="test_resnet")  # type: ignore[call-overload]
    with pytest.raises(
        ModelError, match=r"nothing in .*other \(fcn8s\) fits this model; start from a run with the same"
    ):
        start(type(model)(own), tmp_path / "other", LETTERS)


def test_a_tensor_that_agrees_by_chance_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks of two layers, of which the last has one number and one name in common: 1 of 5,006."""
    mine, theirs = nn.Sequential(nn.Linear(999, 5), nn.Linear(5, 1)), nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    assert sum(tensor.numel() for tensor in mine.state_dict().values()) == 5006
    message = r"nothing but 1 tensor with 1 number in \. \(theirs\) fits this model; start from a run"
    with pytest.raises(ModelError, match=message):
        started(monkeypatch, mine, theirs, ("ab", "ab"), "entries")
    wider = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))  # 5 + 5 + 1 of 5,006 are more than one in a thousand
    assert started(monkeypatch, mine, wider, ("ab", "ab"), "entries") == "3 of 4 tensors of theirs"


def test_a_model_of_another_family_gives_its_backbone_and_is_called_so(tmp_path: Path) -> None:
    theirs = model_of(LETTERS, 1)
    saved(tmp_path, theirs, LETTERS)
    mine = create_model("mnc", num_classes=8, backbone="test_efficientnet")
    told = start(mine, tmp_path, LETTERS)
    number = sum(name.startswith("backbone.") for name in mine.state_dict())
    assert told.startswith(f"{number} of ") and told.endswith("tensors of fcn8s, for semantic segmentation")


def counted_model(classes: int, seed: int) -> nn.Module:
    """Layers as those of detectors: classes after a background, four numbers a class, a grid of numbers a class."""

    @dataclasses.dataclass(frozen=True)
    class Sizes:
        num_classes: int

    class Counted(nn.Module):
        def __init__(self, config: Sizes) -> None:
            super().__init__()
            self.config = config
            k = config.num_classes
            self.body = nn.Linear(3, 5)
            self.classify, self.regress = nn.Linear(5, k + 1), nn.Linear(5, 4 * (k + 1))
            self.grid = nn.Parameter(torch.zeros(9 * k, 5))

    torch.manual_seed(seed)
    model = Counted(Sizes(classes))
    nn.init.normal_(model.grid)
    return model


def test_a_background_and_several_rows_of_a_class_are_carried_with_their_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveate.engine import transfer
    from foveate.store import LoadedModel

    theirs, mine = counted_model(3, 1), counted_model(2, 2)
    fresh = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    loaded = LoadedModel(theirs, "counted", "instances", {"classes": ClassTable(("a", "b", "c"))}, None, {})
    monkeypatch.setattr(transfer, "load_model", lambda folder: loaded)
    start_from(mine, tmp_path, {"classes": ClassTable(("new", "c"))}, {"num_classes": "classes"})
    new, old = mine.state_dict(), theirs.state_dict()
    for layer in ("classify.weight", "classify.bias"):  # rows: background, new, c
        assert torch.equal(new[layer][[0, 2]], old[layer][[0, 3]]) and torch.equal(new[layer][1], fresh[layer][1])
    for layer in ("regress.weight", "regress.bias"):
        rows, before, kept = (state[layer].unflatten(0, (-1, 4)) for state in (new, old, fresh))
        assert torch.equal(rows[[0, 2]], before[[0, 3]]) and torch.equal(rows[1], kept[1])
    rows, before, kept = (state["grid"].unflatten(0, (-1, 9)) for state in (new, old, fresh))
    assert torch.equal(rows[1], before[2]) and torch.equal(rows[0], kept[0])
    assert torch.equal(new["body.weight"], old["body.weight"])


def started(monkeypatch: pytest.MonkeyPatch, mine: Any, theirs: Any, tables: tuple[Any, Any], field: str) -> str:
    """Start `mine` from `theirs`; tables: (own, their) names. field: of the config, the size of the table."""
    from foveate.engine import transfer
    from foveate.store import LoadedModel

    own, their = (ClassTable(tuple(names)) for names in tables)
    family = getattr(theirs, "task", "")
    loaded = LoadedModel(theirs, "theirs", family, {"entries": their}, getattr(theirs, "preprocessing", None), {})
    monkeypatch.setattr(transfer, "load_model", lambda folder: loaded)
    return start_from(mine, Path(), {"entries": own}, {field: "entries"})


def test_an_alphabet_in_another_order_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def writer(seed: int) -> Any:
        torch.manual_seed(seed)
        small = {"vocabulary": 5, "units": 4, "layers": 3, "gaussians": 2, "components": 2, "weight_noise": 0.1}
        model = create_model("handwriting", **small)
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        return model.eval()

    theirs, mine = writer(1), writer(2)
    theirs.preprocessing = HandwritingPreprocessing(keep=2, mean=(9.0, 9.0), pace=3.0, longest=7)
    mine.preprocessing = HandwritingPreprocessing(keep=1, mean=(1.0, 2.0), pace=5.0, longest=4)
    told = started(monkeypatch, mine, theirs, ("badce", "abcde"), "vocabulary")
    assert told.endswith(", and 5 of 5 entries of entries by name")
    # What their strokes were like is no matter of these.
    assert mine.preprocessing == HandwritingPreprocessing(keep=1, mean=(1.0, 2.0), pace=5.0, longest=4)
    strokes, text, length = torch.randn(1, 6, 3), torch.tensor([[0, 3, 4, 2]]), torch.tensor([4])
    moved = torch.tensor([[1, 2, 4, 3]])  # the same letters: a d e c
    with torch.no_grad():
        expected, found = theirs(strokes, text, length), mine(strokes, moved, length)
    torch.testing.assert_close(found.mixture, expected.mixture)
    order = torch.tensor([1, 0, 3, 2, 4])
    for number in range(3):
        name = f"deviations.layers__{number}__input__weight"
        wanted = theirs.state_dict()[name]
        assert torch.equal(mine.state_dict()[name][:, 3:8], wanted[:, 3:8][:, order])
        assert torch.equal(mine.state_dict()[name][:, 8:], wanted[:, 8:])


def test_what_was_not_carried_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, mine = counted_model(3, 1), counted_model(2, 2)
    for layer in ("classify", "regress"):
        setattr(theirs, layer, nn.Linear(9, getattr(theirs, layer).out_features))  # as of a run with more hidden units
    told = started(monkeypatch, mine, theirs, ("bc", "abc"), "num_classes")
    assert told == "2 of 7 tensors of theirs, and 2 of 2 entries of entries by name, in 3 of 5 tensors"
    theirs.classify = theirs.regress = nn.Identity()
    theirs.register_parameter("grid", nn.Parameter(torch.zeros(1)))
    told = started(monkeypatch, mine, theirs, ("bc", "abc"), "num_classes")
    assert told == "2 of 7 tensors of theirs, and 0 of 2 entries of entries by name"


def test_each_family_keeps_its_own_preprocessing_but_for_the_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trunk(nn.Module):
        def __init__(self, preprocessing: Any) -> None:
            super().__init__()
            self.backbone, self.preprocessing, self.config = nn.Linear(1, 1), preprocessing, None

    theirs = Trunk(Preprocessing((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), size=(8, 8), window=((0.0, 4.0),) * 3))
    normal = {"mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 3.0)}
    for mine in (
        QuestionPreprocessing(size=(5, 5), max_words=9),
        DrawingPreprocessing(size=(5, 5), pixels="intensity"),
        ClipFormat(7, 0, Preprocessing(size=(5, 5))),
    ):
        model = Trunk(mine)
        started(monkeypatch, model, theirs, ("ab", "ab"), "num_classes")
        image = mine.image if isinstance(mine, ClipFormat) else mine
        changed = dataclasses.replace(image, **normal)
        assert model.preprocessing == (dataclasses.replace(mine, image=changed) if mine is not image else changed)
    grey = Preprocessing((0.5,), (0.25,))
    model = Trunk(grey)
    started(monkeypatch, model, theirs, ("ab", "ab"), "num_classes")
    assert model.preprocessing == grey  # three channels say nothing of one
