"""Every recipe that there is: it builds, survives JSON, and each of its fields can be changed by a flag."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Literal, Optional, get_args, get_origin

import pytest
import torch

import foveate
from foveate import values
from foveate.datasets.pasture import Pasture
from foveate.engine import fields
from foveate.engine.recipe import Recipe
from foveate.engine.resume import require_same_recipe
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError, FoveateError
from foveate.recipes import resolve
from foveate.registry import create_model, create_recipe, find
from foveate.tasks import find_task

RECIPES = foveate.list_recipes()


def with_data(name: str) -> Recipe:
    recipe = resolve(name)
    return recipe if recipe.data is not None else dataclasses.replace(recipe, data=Pasture())


def sizes_of(recipe: Recipe) -> list[str]:
    """The fields of the model's Config that data decides."""
    return [field for field in find_task(recipe.task).sizes if hasattr(recipe.config, field)]


def value_of(recipe: Any, name: str) -> Any:
    for part in name.split("."):
        recipe = getattr(recipe, part)
    return recipe


def as_text(value: Any) -> str:
    """A value as it is typed after its flag."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def another(value: Any, kind: Any) -> Any:
    """A value of the same kind that differs."""
    if get_origin(kind) is Literal:
        return next((choice for choice in get_args(kind) if choice != value), value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + type(value)(1)
    if isinstance(value, tuple):
        return (*value, *value[:1]) if get_args(kind)[-1] is Ellipsis else (*value[:-1], value[-1] + 1)
    return f"{value}x"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    for recipe in (resolve(name), with_data(name)):
        written = json.loads(json.dumps(fields.to_json(recipe)))
        assert fields.restore(create_recipe(name), written) == recipe
        bare = dataclasses.replace(recipe, augment=None)
        assert fields.restore(create_recipe(name), json.loads(json.dumps(fields.to_json(bare)))) == bare
        assert recipe.name == name


@pytest.mark.parametrize("name", RECIPES)
def test_every_field_can_be_typed(name: str) -> None:
    recipe = with_data(name)
    known = fields.fields_of(recipe)
    assert {"epochs", "optim.lr", "data.seed", "freeze"} <= known.keys()
    assert sizes_of(recipe) and {f"config.{field}" for field in sizes_of(recipe)} <= known.keys()
    assert any(name.startswith("augment.") for name in known) == (recipe.augment is not None)
    assert not {"name", "model", "task", "augment", "data"} & known.keys()
    for field, kind in known.items():
        value = value_of(recipe, field)
        assert fields.override(recipe, {field: as_text(value)}) == recipe, field
        assert fields.override(recipe, {field: value}) == recipe, field
        wanted = another(value, kind)
        if wanted == value or (isinstance(value, tuple) and not value):
            continue
        assert values.parse(field, as_text(wanted), kind) == wanted, field
        try:
            changed = fields.override(recipe, {field: as_text(wanted)})
        except FoveateError:  # it was parsed, and then found to make no sense, as a crop of three sides
            continue
        assert value_of(changed, field) == wanted, field
        assert fields.override(changed, {field: value}) == recipe, field


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_model_can_be_built_and_has_what_it_freezes(name: str) -> None:
    recipe = resolve(name)
    with torch.device("meta"):  # shapes alone: the largest has 134 million weights
        config = vars(recipe.config) | dict.fromkeys(sizes_of(recipe), 7)
        if config.get("caffe_scale") or recipe.model == "draw":  # for RGB; for grey or RGB
            config["in_channels"] = 3
        if recipe.model == "video_attention":  # for frames; clips of features need no backbone
            config["features"] = 0
        model = create_model(recipe.model, **{name: value for name, value in config.items() if name != "pretrained"})
    assert isinstance(recipe, Recipe)
    modules = dict(model.named_modules())
    assert set(recipe.freeze) <= modules.keys()
    for field, value in find("model", recipe.model).preset:  # as its name says
        assert getattr(model.config, field) == value


def test_recipes_for_known_data_say_which() -> None:
    assert isinstance(resolve("fcn8s_pasture").data, Pasture)
    assert resolve("fcn8s").data is None


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("3", int, 3),
        (3.0, int, 3),
        ("1e-3", float, 0.001),
        ("2", float, 2.0),
        ("yes", bool, True),
        ("False", bool, False),
        ("0", bool, False),
        ("16", Literal[32, 16, 8], 16),
        ("a,b", tuple[str, ...], ("a", "b")),
        ("", tuple[str, ...], ()),
        ("0.5,2", tuple[float, float], (0.5, 2.0)),
        ([1, 2], tuple[int, ...], (1, 2)),
        ("none", Optional[int], None),  # noqa: UP045
        ("7", int | None, 7),
        ("none", str, "none"),
    ],
)
def test_text_becomes_a_value(text: Any, kind: Any, expected: Any) -> None:
    found = values.parse("field", text, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "kind", "described"),
    [
        ("three", int, "a whole number"),
        ("3.5", int, "a whole number"),
        (3.5, int, "a whole number"),
        (True, int, "a whole number"),
        ("1e400", int, "a whole number"),
        ("fast", float, "a number"),
        ("nan", float, "a number"),
        ("inf", float, "a number"),
        ("maybe", bool, "true or false"),
        ("12", Literal[32, 16, 8], "one of 32, 16, 8"),
        ("1,2,3", tuple[float, float], "2 values separated by commas, each a number"),
        (5, tuple[int, ...], "values separated by commas, each a whole number"),
        ("x", int | None, "a whole number or none"),
    ],
)
def test_other_text_is_refused_with_what_was_expected(text: Any, kind: Any, described: str) -> None:
    with pytest.raises(ConfigError) as caught:
        values.parse("optim.lr", text, kind)
    assert str(caught.value) == f"optim.lr is {text!r}; expected {described}"


def test_an_unknown_field_names_the_nearest() -> None:
    for wrong, near in (("epoch", "epochs"), ("optim.learning_rate", "optim."), ("config.backbon", "config.backbone")):
        with pytest.raises(ConfigError, match=f"unknown field '{wrong}'; the nearest is '{near}"):
            resolve("fcn8s", overrides={wrong: "1"})
    with pytest.raises(ConfigError, match="unknown recipe 'fcn8'; the nearest is 'fcn8s'"):
        resolve("fcn8")


@pytest.mark.parametrize(("kind", "now"), [("rts", "rts_hard"), ("p", "p_hard"), ("addition", "addition"), ("r", "r")])
def test_distorted_digits_of_before_keep_their_distortion(kind: str, now: str, tmp_path: Path) -> None:
    """A recipe.json without `corner` and `place` was written when p and rts were drawn as p_hard and rts_hard are."""
    run = RunFolder(tmp_path)
    written = fields.to_json(resolve(f"st_cnn_affine_mnist_{kind}"))
    run.write_json("recipe.json", written)
    assert run.recipe() == resolve(f"st_cnn_affine_mnist_{kind}")  # this version's own
    before = json.loads(json.dumps(written))
    del before["data"]["corner"], before["data"]["place"]
    run.write_json("recipe.json", before)
    assert run.recipe() == resolve(f"st_cnn_affine_mnist_{now}")
    # Such a run goes on under its new name; under the old one it would become half of each.
    require_same_recipe(resolve(f"st_cnn_affine_mnist_{now}"), run)
    if kind != now:
        with pytest.raises(ConfigError, match=f"was started with data.kind = {now}, and is resumed with {kind};"):
            require_same_recipe(resolve(f"st_cnn_affine_mnist_{kind}"), run)
    run.write_json("recipe.json", before | {"name": "mine"})  # somebody's own recipe keeps its name
    upgraded = fields.upgraded(run.read_json("recipe.json"))
    assert (upgraded["name"], upgraded["data"]["kind"]) == ("mine", now)


def test_a_data_source_that_nobody_registered_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine:
        path: str = "there"

    with pytest.raises(ConfigError, match=r"Mine is not a registered dataset; mark its class with @dataset"):
        fields.to_json(dataclasses.replace(resolve("fcn8s"), data=Mine()))


def test_the_fields_of_the_python_call_are_those_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from foveate.engine import train

    seen: dict[str, Any] = {}

    def record(recipe: Recipe, **more: Any) -> str:
        seen.update(more, recipe=recipe)
        return "run"

    monkeypatch.setattr(train, "train_recipe", record)
    foveate.train("fcn8s_pasture", out="there", report=False, optim__lr=0.5, epochs=3, data__seed=4)
    assert seen["recipe"] == resolve("fcn8s_pasture", overrides={"optim.lr": "0.5", "epochs": "3", "data.seed": "4"})
    assert (seen["out"], seen["resume"], seen["init"]) == ("there", False, None)


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("lr", "unknown field 'lr'; the nearest is 'optim__lr'"),
        ("learning_rate", "unknown field 'learning_rate'; the nearest is 'optim__lr'"),
        ("optim__learning_rate", "unknown field 'optim__learning_rate'; the nearest is 'optim__lr'"),
        ("batch", "unknown field 'batch'; the nearest is 'batch_size'"),
        ("num_classes", "unknown field 'num_classes'; the nearest is 'config__num_classes'"),
        ("encoder", "unknown field 'encoder'; the nearest is 'config__backbone'"),
        ("output_dir", "unknown field 'output_dir'; the nearest is 'out'"),
        ("weights", "unknown field 'weights'; the nearest is 'init'"),
        ("augment", "unknown field 'augment'; its fields are augment__"),
        ("epohcs", "unknown field 'epohcs'; the nearest is 'epochs'"),
    ],
)
def test_a_keyword_from_elsewhere_leads_to_the_one_here(keyword: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        foveate.train("fcn8s_pasture", **{keyword: 1})


def test_every_field_is_explained() -> None:
    recipe = resolve("fcn8s_pasture")
    for part in (recipe, recipe.optim, recipe.augment, recipe.config, recipe.data):
        text = type(part).__doc__ or ""
        assert not [f.name for f in dataclasses.fields(part) if not re.search(rf"\b{f.name}\b", text)]


def test_fields_that_must_fit_each_other_change_together():
    changes = {"config.widths": "8,16", "epochs": "3", "config.depths": "1,1", "optim.lr": "0.1"}
    changed = fields.override(resolve("deconvnet_pasture"), changes)
    assert (changed.config.widths, changed.config.depths) == ((8, 16), (1, 1))
    assert (changed.epochs, changed.optim.lr) == (3, 0.1)
    assert changed.config.head_kernel == resolve("deconvnet_pasture").config.head_kernel
