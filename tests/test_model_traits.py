"""What models declare about themselves: names that are read, and defaults for all others."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import foveate
from foveate.records import ModelTraits, traits_of
from foveate.registry import find

ROOT = Path(foveate.__file__).parent
NAMES = {field.name for field in dataclasses.fields(ModelTraits)}


class Bare:
    """A model that declares nothing."""


class Declared:
    """A model of which the class declares one trait, and an instance another."""

    no_export_reason = "it has loops"

    @property
    def max_detections(self) -> int:
        return 7


def test_what_is_not_declared_has_its_default() -> None:
    assert traits_of(Bare()) == ModelTraits()
    assert traits_of(Declared()) == ModelTraits(no_export_reason="it has loops", max_detections=7)


def test_registered_models_declare_what_they_did() -> None:
    assert not traits_of(find("model", "sds").load()).takes_augmented
    assert traits_of(find("model", "deconvnet").load()).unchecked_share == 0.01
    assert traits_of(find("model", "show_attend_tell").load()).transient_buffers == ("mean_log_prob", "batches")


def test_models_declare_nothing_that_is_not_read() -> None:
    """A constant of a model's class under any other name would be a misspelled trait, which nobody reads."""
    found = []
    for path in [*(ROOT / "models").rglob("*.py"), *(ROOT / "torchvision_networks").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef) or not any("Module" in ast.unparse(base) for base in node.bases):
                continue
            for line in node.body:
                names = (
                    [line.target] if isinstance(line, ast.AnnAssign) and line.value else getattr(line, "targets", [])
                )
                found += [(path.name, name.id) for name in names if isinstance(name, ast.Name)]
    assert {name for _, name in found} <= NAMES | {"task"}, found
    assert ("__init__.py", "no_export_reason") in found
