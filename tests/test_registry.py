"""Names are read from the folders, without importing them; two owners of one name are an error."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import foveate
from foveate import registry
from foveate.engine.fields import override
from foveate.errors import ConfigError
from foveate.registry import Entry, Kind, _values, create_model, create_recipe, current_name, entries, find, make_config

KINDS = ("model", "dataset", "recipe", "task", "claim")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A source tree of our own, in the place of the package's."""
    for folder in registry.FOLDERS.values():
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    entries.cache_clear()
    yield tmp_path
    entries.cache_clear()


def test_every_name_loads_and_says_what_it_is() -> None:
    for kind in KINDS:
        known = entries(kind)
        assert list(known) == sorted(known)
        for name, entry in known.items():
            assert entry.name == name
            assert callable(entry.load())
            assert entry.summary
            assert entry.summary[-1] in ".:," or len(entry.summary) > 10
    assert {"fcn8s", "fcn16s", "fcn32s"} <= set(entries("model"))
    assert {"pasture", "folders", "voc", "coco", "labelme", "cityscapes", "camvid"} <= set(entries("dataset"))
    data = ("", "_pasture", "_camvid")
    assert {f"fcn{stride}s{name}" for stride in (32, 16, 8) for name in data} <= set(entries("recipe"))
    assert {"semantic", "classification"} <= set(entries("task"))


def test_listing_imports_nothing_of_what_is_listed() -> None:
    code = (
        "import sys, json, foveate; from foveate.registry import entries; "
        "names = [list(entries(k)) for k in ('model', 'dataset', 'recipe', 'task', 'claim')]; "
        "print(json.dumps([names, [m for m in sys.modules if m.startswith(('foveate.', 'torch', 'numpy', 'PIL'))]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names, modules = json.loads(done.stdout)
    assert all(names)
    assert set(modules) == {"foveate.errors", "foveate.registry", "foveate.values", "foveate.version"}


def test_a_template_spells_one_name_for_each_choice(elsewhere: Path) -> None:
    (elsewhere / "models" / "deep").mkdir()
    (elsewhere / "models" / "deep" / "net.py").write_text(
        'raise RuntimeError("imported")\n'
        '@model("net{size}{kind}", size=(1, 2), kind=("a", "b"))\n'
        'class Net:\n    """A net.\n\n    More of it.\n    """\n'
        '@other("not_a_name")\nclass Other: pass\n'
        '@dataset("not_a_model")\nclass Data: pass\n'
        "class Plain: pass\n"
    )
    found = entries("model")
    assert list(found) == ["net1a", "net1b", "net2a", "net2b"]
    expected = Entry("net2a", "foveate.models.deep.net", "Net", (("size", 2), ("kind", "a")), "A net.")
    expected = dataclasses.replace(expected, text="A net.\n\nMore of it.")
    assert found["net2a"] == expected


def test_a_mark_may_describe_each_value(elsewhere: Path) -> None:
    (elsewhere / "recipes" / "nets.py").write_text(
        '@recipe("net{size}{kind}", size={1: "small", 2: "large"}, kind=("a", "b"))\n'
        'def net(size, kind):\n    """A net {size}{kind}: {about_size}."""\n'
    )
    assert [entry.summary for entry in entries("recipe").values()] == [
        "A net 1a: small.", "A net 1b: small.", "A net 2a: large.", "A net 2b: large.",
    ]  # fmt: skip
    assert entries("recipe")["net2b"].preset == (("size", 2), ("kind", "b"))


def test_a_package_is_named_by_its_folder(elsewhere: Path) -> None:
    (elsewhere / "datasets" / "world").mkdir()
    (elsewhere / "datasets" / "world" / "__init__.py").write_text('@dataset("world")\nclass World:\n    """W."""\n')
    assert find("dataset", "world").module == "foveate.datasets.world"


def test_two_owners_of_one_name_are_an_error(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        (elsewhere / "recipes" / f"{name}.py").write_text('@recipe("same")\ndef same():\n    """S."""\n')
    expected = r"two recipes are called 'same': foveate\.recipes\.first and foveate\.recipes\.second; rename one"
    with pytest.raises(ConfigError, match=expected):
        entries("recipe")
    (elsewhere / "recipes" / "second.py").unlink()
    point = EntryPoint("same", "elsewhere.things:same", "foveate.recipes")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(ConfigError, match=r"foveate\.recipes\.first and elsewhere\.things; rename one"):
        entries("recipe")


def test_other_packages_add_names(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("ordered", "collections:OrderedDict", group)] if group == "foveate.models" else []

    monkeypatch.setattr(registry, "entry_points", points)
    import collections

    assert list(entries("model")) == ["ordered"]
    assert find("model", "ordered").load() is collections.OrderedDict


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [("model", "fcn8", "fcn8s"), ("recipe", "fcn8s_pastur", "fcn8s_pasture"), ("dataset", "cocoo", "coco"),
     ("task", "semantics", "semantic")],
)  # fmt: skip
def test_an_unknown_name_offers_the_nearest(kind: Any, name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown {kind} '{name}'; the nearest is '{near}'"):
        find(kind, name)


@pytest.mark.parametrize("earlier", ["pasture_captions", "pasture_classes", "pasture_cows"])
def test_an_earlier_name_is_read_as_todays(earlier: str) -> None:
    assert find("dataset", earlier) == entries("dataset")["pasture"]
    assert current_name("dataset", earlier) == current_name("dataset", "pasture") == "pasture"
    assert earlier not in entries("dataset")
    with pytest.raises(ConfigError, match="unknown model"):
        find("model", earlier)


def test_an_earlier_name_that_somebody_registers_is_theirs(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("pasture_cows", "theirs:Cows", group)])
    assert find("dataset", "pasture_cows").module == "theirs"


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("recipe", "fcn9s", "; the nearest is 'fcn8s', and `foveate recipes` lists all"),
        ("recipe", "qqqqqq", "; `foveate recipes` lists all"),
        ("recipe", "nuclei", "; the nearest are hypercolumns_nuclei, mnc_nuclei, sds_nuclei, and `foveate recipes` li"),
        ("recipe", "captioned", "; the nearest is 'show_attend_tell', and `foveate recipes` lists all"),
        ("dataset", "mnist", "; the nearest is 'distorted_mnist', and `foveate datasets` lists all"),
        ("model", "qqqqqq", "; `foveate models` lists all"),
        ("dataset", "qqqqqq", "; `foveate datasets` lists all"),
        ("claim", "qqqqqq", "; `foveate claims --list` lists all"),
        ("task", "qqqqqq", "; known: captioning, classification, colocalisation, drawing, handwriting, instances, "),
    ],
)
def test_a_name_that_there_is_not_leads_to_the_nearest_and_to_the_list(kind: Kind, name: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(kind, name)
    assert str(caught.value).startswith(f"unknown {kind} '{name}'{expected}")


def test_a_name_presets_its_config() -> None:
    for stride in (32, 16, 8):
        assert make_config(f"fcn{stride}s").stride == stride
    assert make_config("fcn8s", num_classes=4).num_classes == 4
    with pytest.raises(ConfigError, match="unknown field of fcn8s 'num_clases'; the nearest is 'num_classes'"):
        create_model("fcn8s", num_clases=4)


def test_values_of_another_type_are_one_clear_error() -> None:
    for name, fields, words in (
        ("spatial_transformer", {"image_size": 64}, "image_size is 64; expected 2 values separated by commas, each a"),
        (
            "spatial_transformer",
            {"widths": 32},
            "widths is 32; expected values separated by commas, each a whole",
        ),
        ("fcn8s", {"num_classes": 2.5}, "num_classes is 2.5; expected a whole number"),
        ("fcn8s", {"backbone": 3}, "unknown backbone '3'"),
        ("fcn8s", {"pretrained": "perhaps"}, "pretrained is 'perhaps'; expected true or false"),
    ):
        with pytest.raises(ConfigError, match=words):
            create_model(name, **fields)
    assert make_config("spatial_transformer", image_size=[64, 32], num_classes="7").image_size == (64, 32)


@dataclasses.dataclass(frozen=True)
class Inner:
    """A config inside of another."""

    sizes: tuple[int, ...] = (1, 2)
    share: float = 0.5


@dataclasses.dataclass(frozen=True)
class Middle:
    """One with a config inside."""

    inner: Inner = dataclasses.field(default_factory=Inner)
    soft_share: float = 1.0


@dataclasses.dataclass(frozen=True)
class Outer:
    """One with two levels inside."""

    middle: Middle = dataclasses.field(default_factory=Middle)
    other: Inner = dataclasses.field(default_factory=Inner)
    classes: int = 3


def test_values_of_configs_inside_of_configs() -> None:
    """A mapping stands for a config: what it names is set and typed, and everything else keeps its default."""
    values = _values(Outer, {"middle": {"inner": {"sizes": "4,5"}, "softly": "0.25"}, "classes": "7"}, "net")
    assert Outer(**values) == Outer(Middle(Inner((4, 5), 0.5), 0.25), Inner(), 7)
    assert _values(Outer, {}, "net") == {}
    given = Inner((9,), 0.1)
    assert _values(Outer, {"other": given}, "net") == {"other": given}
    assert Outer(**_values(Outer, {"other": {}, "middle": {"inner": {}}}, "net")) == Outer()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"midle": {}}, "unknown field of net 'midle'; the nearest is 'middle'"),
        ({"middle": {"iner": {}}}, "unknown field of net's middle 'iner'; the nearest is 'inner'"),
        ({"middle": {"inner": {"size": 3}}}, "unknown field of net's middle's inner 'size'; the nearest is 'sizes'"),
        ({"middle": {"inner": {"share": "half"}}}, "share is 'half'; expected a number"),
    ],
)
def test_what_is_wrong_inside_of_a_config_is_named_with_its_place(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _values(Outer, given, "net")


def test_recipes_differ_by_their_preset() -> None:
    assert [create_recipe(f"fcn{s}s").model for s in (32, 16, 8)] == ["fcn32s", "fcn16s", "fcn8s"]
    assert foveate.list_models() == list(entries("model"))
    assert foveate.list_recipes() == list(entries("recipe"))


@pytest.mark.parametrize(
    ("model", "earlier", "today", "value"),
    [("show_attend_tell", "softly", "soft_share", 0.25), ("colocalise", "thrown", "random_windows", 5)],
)
def test_earlier_names_of_fields_are_read(model, earlier, today, value):
    assert getattr(make_config(model, **{earlier: value}), today) == value
    recipe = {"show_attend_tell": "show_attend_tell", "colocalise": "colocalise_cows"}[model]
    changed = override(create_recipe(recipe), {f"config.{earlier}": str(value)})
    assert getattr(changed.config, today) == value
    with pytest.raises(ConfigError, match=f"unknown field of fcn8s '{earlier}'"):
        make_config("fcn8s", **{earlier: value})
