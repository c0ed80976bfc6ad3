"""The reference pages name what exists, and leave out no model, family, options or prediction."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from doc_pages import DOCS

from foveate import records
from foveate.registry import entries
from foveate.tasks import all_tasks

ENTRY = re.compile(r"^::: (\S+)\n(?:    options:\n((?:      .*\n?)*))?", re.MULTILINE)
PAGES = sorted((DOCS / "reference").glob("*.md"))


def documented(text: str) -> dict[str, list[str]]:
    """Dotted name -> its members that are listed, [] where none is."""
    found = {}
    for name, options in ENTRY.findall(text):
        listed = re.search(r"members: \[(.*)\]", options)
        found[name] = listed[1].split(", ") if listed else []
    return found


def resolve(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


NAMES = {f"{name}.{member}" for page in PAGES for name, own in documented(page.read_text()).items() for member in own}
NAMES |= {name for page in PAGES for name in documented(page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_exists_and_is_listed_once(page):
    text = page.read_text()
    assert len(ENTRY.findall(text)) == text.count("\n::: ") == len(documented(text))
    for name, members in documented(text).items():
        assert all(hasattr(resolve(name), member) for member in members), name


def test_every_model_is_documented():
    modules = {entry.module for entry in entries("model").values() if entry.module.startswith("foveate.")}
    assert {module for module in modules if f"{module}.Config" not in NAMES} == set()


def test_every_family_is_documented():
    for task in all_tasks():
        if not task.__module__.startswith("foveate."):
            continue
        assert f"{task.__module__}.{task.__name__}" in NAMES, task.name
        options = task.Options
        assert not options.__module__.startswith(f"foveate.tasks.{task.name}") or (
            f"{options.__module__}.{options.__name__}" in NAMES
        ), task.name


def test_every_prediction_is_documented():
    kinds = {name for name in records.__all__ if name.endswith("Prediction") and name != "Prediction"}
    assert {name for name in kinds if f"foveate.records.{name}" not in NAMES} == set()
