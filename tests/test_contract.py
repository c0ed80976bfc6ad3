"""The contract of a family: nothing above the families knows one by name, and every family is whole."""

import ast
import inspect
import typing
from pathlib import Path

import pytest

import foveate
from foveate import records
from foveate.registry import entries
from foveate.tasks import find_task
from foveate.tasks.base import Task
from foveate.tasks.inputs import Input
from foveate.tasks.options import Options

ROOT = Path(foveate.__file__).parent
# The families that there are, and those that are planned.
FAMILIES = set(entries("task")) | {
    "semantic", "classification", "captioning", "colocalisation", "instances", "translation", "speech", "video",
    "questions", "handwriting", "drawing",
}  # fmt: skip
CONTRACT = ("engine", "predictor.py", "export", "cli")
# Words that are no fields there: `foveate datasets masks`, and the folder that it writes.
OTHER_MEANINGS = {"cli/datasets.py": {"masks", "labels"}}
WITHOUT_FAMILY = (*CONTRACT, "visualize", "store.py")


def files(places):
    found = [
        path for place in places for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    assert len(found) >= len(places)
    return sorted(found)


def where(path):
    return path.relative_to(ROOT).as_posix()


def docstrings(tree):
    """The nodes of all docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    return {body[0].value for body in bodies}


def named_families(tree):
    """(line, name) of every string that is a family's name."""
    skipped = docstrings(tree)
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node not in skipped and node.value in FAMILIES
    ]


def probes_of_a_task(tree):
    """(line, source) of every hasattr and getattr that asks a task for a literal name."""
    found = []
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr")
        ):
            continue
        asked, name = node.args[0], node.args[1]
        last = asked.attr if isinstance(asked, ast.Attribute) else getattr(asked, "id", "")
        if last.lower() in ("task", "family") and isinstance(name, ast.Constant):
            found.append((node.lineno, ast.unparse(node)))
    return found


def fields_of_samples():
    """The keys of samples and batches that only some families have, such as captions and masks."""
    found = set()
    for cls in vars(records).values():
        if typing.is_typeddict(cls) and cls.__name__.endswith(("Sample", "Batch")):
            found |= set(typing.get_type_hints(cls))
    return found - {"image", "features", "name", "names", "class_weights"}  # the last is a field of a recipe


def named_fields(tree, fields):
    """(line, name) of every string, attribute, function and parameter that is named as such a field."""
    skipped = docstrings(tree)
    found = []
    for node in ast.walk(tree):
        name = {
            ast.Constant: lambda n: n.value if n not in skipped else "",
            ast.Attribute: lambda n: n.attr,
            ast.FunctionDef: lambda n: n.name,
            ast.arg: lambda n: n.arg,
        }.get(type(node), lambda n: "")(node)
        if isinstance(name, str) and name in fields:
            found.append((node.lineno, name))
    return found


@pytest.mark.parametrize("path", files(WITHOUT_FAMILY), ids=where)
def test_no_family_is_known_by_name(path):
    assert not named_families(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", files(CONTRACT), ids=where)
def test_a_task_is_asked_for_nothing_outside_of_the_contract(path):
    assert not probes_of_a_task(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", files(CONTRACT), ids=where)
def test_no_field_of_a_family_is_known_by_name(path):
    own = OTHER_MEANINGS.get(where(path), set())
    assert not named_fields(ast.parse(path.read_text(encoding="utf-8")), fields_of_samples() - own)


def test_drawing_primitives_know_no_record_of_a_family():
    for path in files(["visualize"]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("foveate.records")
            for alias in node.names
        ]
        assert set(imported) <= {"ClassTable", "Table", "IGNORE"}, path


def test_the_checks_find_what_they_look_for():
    assert {"captions", "mask", "boxes", "label", "tokens"} <= fields_of_samples()
    tree = ast.parse('"""mask"""\ndef captions(mask):\n    return self.boxes["tokens"], "a mask"')
    assert sorted(named_fields(tree, fields_of_samples())) == [
        (2, "captions"), (2, "mask"), (3, "boxes"), (3, "tokens")
    ]  # fmt: skip
    tree = ast.parse(
        '"""semantic"""\ndef f(task):\n    """video"""\n    return task == "video", "a video", {"speech": 1}'
    )
    assert named_families(tree) == [(4, "video"), (4, "speech")]
    tree = ast.parse("hasattr(task, 'a'); getattr(self.task, 'b', 0); getattr(task, key); getattr(model, 'c')")
    assert [source for _, source in probes_of_a_task(tree)] == ["hasattr(task, 'a')", "getattr(self.task, 'b', 0)"]


@pytest.mark.parametrize("name", entries("task"))
class TestFamily:
    def test_it_is_whole(self, name):
        cls = find_task(name)
        assert issubclass(cls, Task) and not inspect.isabstract(cls)
        assert cls.name == name
        assert cls.title and cls.title == cls.title.strip()
        assert isinstance(cls.headline, tuple) and cls.headline

    def test_the_monitor_is_logged(self, name):
        cls = find_task(name)
        assert cls.monitor in cls.headline, "the score that ranks epochs has to be in metrics.csv"
        assert isinstance(cls.greater_is_better, bool)

    def test_everything_it_overrides_is_part_of_the_contract_and_documented(self, name):
        cls = find_task(name)
        assert cls.__doc__
        for attribute, value in vars(cls).items():
            function = getattr(value, "__func__", value)
            if attribute.startswith("__") or not inspect.isfunction(function):
                continue
            if hasattr(Task, attribute):
                assert function.__doc__, f"{cls.__name__}.{attribute} has no docstring"

    def test_overridden_methods_take_what_the_contract_gives(self, name):
        cls = find_task(name)
        for attribute, value in vars(cls).items():
            function, base = getattr(value, "__func__", value), getattr(Task, attribute, None)
            if attribute.startswith("__") or not inspect.isfunction(function) or base is None:
                continue
            expected = list(inspect.signature(getattr(base, "__func__", base)).parameters)
            given = inspect.signature(function).parameters
            assert list(given)[: len(expected)] == expected, f"{cls.__name__}.{attribute}"
            more = list(given.values())[len(expected) :]
            assert all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in more)

    def test_its_inputs_and_options_are_of_the_contract(self, name):
        cls = find_task(name)
        assert issubclass(cls.Options, Options)
        cls.Options()
        for one in cls.inputs:
            assert isinstance(one, Input) and one.name and one.noun and one.nouns
            assert all(s.startswith(".") and s == s.lower() for s in one.suffixes)  # none: a text
        assert len({one.name for one in cls.inputs}) == len(cls.inputs)

    def test_a_model_and_a_data_source_serve_it(self, name):
        assert any(entry.load().task == name for entry in entries("model").values())
        assert any(name in entry.load().tasks for entry in entries("dataset").values())
