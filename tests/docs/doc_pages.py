"""Pages of the documentation: their code blocks, their words, and the scripts that make them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from foveate import registry
from foveate.registry import entries

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: Path
    language: str
    title: str
    code: str


def blocks(page: Path) -> list[Block]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    title = re.compile(r'title="([^"]+)"')
    return [
        Block(page, language, (title.findall(rest) or [""])[0], textwrap.dedent(code))
        for _, language, rest, code in found
    ]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def script(name: str):
    if str(DOCS) not in sys.path:  # as where the script is run
        sys.path.insert(0, str(DOCS))
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
EXAMPLES = [block for block in BLOCKS if block.title.startswith("src/foveate/")]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())


@contextlib.contextmanager
def examples_in(tree: Path):
    """While this lasts, the registry scans the copy, and the examples import as parts of their packages."""
    names = [block.title.removeprefix("src/").removesuffix(".py").replace("/", ".") for block in EXAMPLES]
    patch = pytest.MonkeyPatch()
    patch.setattr(registry, "ROOT", tree)
    for name in names:
        package = importlib.import_module(name.rpartition(".")[0])
        folder = tree.joinpath(*package.__name__.split(".")[1:])
        patch.setattr(package, "__path__", [*package.__path__, str(folder)])
    entries.cache_clear()
    try:
        yield
    finally:
        patch.undo()
        entries.cache_clear()
        for name in names:
            sys.modules.pop(name, None)


def made_up(name, boundary, trimaps, mean_iou=0.5, seed=0):
    scores = {
        "mean_iou": mean_iou, "pixel_accuracy": 0.9, "mean_accuracy": 0.7, "frequency_weighted_iou": 0.8,
        "boundary_iou": boundary, "trimap_iou": dict(zip(("1", "16"), trimaps, strict=True)),
        "per_class": {"sky": 0.91, "pole": None}, "images": 101,
    }  # fmt: skip
    return {
        "recipe": name, "command": f"foveate train {name} --data CAMVID", "data": "CamVid", "split": "val",
        "seed": seed, "commit": "0123456789abcdef", "minutes": 20.5, "hardware": "2 cores of Seed",
        "peak_memory_mib": None, "parameters": 4000, "scores": scores,
    }  # fmt: skip


def camvid(*rows):
    return {f"fcn{s}s_camvid": made_up(f"fcn{s}s_camvid", *row) for s, row in zip((32, 16, 8), rows, strict=True)}


def unmapped(rows):
    """The files of models without a row on the lecture map; parts that models share have none."""
    files = (registry.ROOT / "models").rglob("*.py")
    systems = {p.relative_to(registry.ROOT).as_posix() for p in files if "\n@model(" in p.read_text()}
    return systems - {row["file"] for row in rows}
