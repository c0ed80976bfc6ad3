"""A copy of the package with the examples of the pages, a run of one of them, and the script of the generated pages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from doc_pages import EXAMPLES, examples_in, script

import foveate
from foveate import registry


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A copy of the package with the examples in the places that their titles name."""
    tree = tmp_path_factory.mktemp("tree") / "foveate"
    shutil.copytree(registry.ROOT, tree, ignore=shutil.ignore_patterns("__pycache__"))
    for block in EXAMPLES:
        file = tree / Path(block.title).relative_to("src/foveate")
        assert not file.exists()
        file.write_text(block.code, encoding="utf-8")
    return tree


@pytest.fixture
def extended(tree):
    with examples_in(tree):
        yield


@pytest.fixture(scope="session")
def example_run(tree, tmp_path_factory):
    from foveate.engine.report import report_run

    with examples_in(tree):
        run = foveate.train(
            "pyramid_sum_pasture", out=tmp_path_factory.mktemp("runs") / "example", epochs=1, batch_size=4,
            data__train=8, data__val=2, data__test=2, data__height=64, data__width=64,
        )  # fmt: skip
        report_run(run)
    return run


@pytest.fixture(scope="session")
def generate():
    return script("generate")
