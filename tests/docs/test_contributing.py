"""The examples of the page for contributors join a copy of the tree and are used."""

from __future__ import annotations

import ast
import configparser
import importlib
import importlib.util
import re
import sys
import tomllib

import numpy as np
import pytest
from doc_pages import BLOCKS, DOCS, EXAMPLES, ROOT, blocks, prose, unmapped
from PIL import Image

import foveate
from foveate.registry import entries, find


def test_the_model_example_keeps_the_contract(extended, tmp_path):
    spec = importlib.util.spec_from_file_location("contract", ROOT / "tests/contracts/test_semantic_models.py")
    contract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contract)
    (line,) = [b.code for b in blocks(ROOT / "CONTRIBUTING.md") if b.code.startswith("SMALL =")]
    contract.SMALL |= ast.literal_eval(line.removeprefix("SMALL = "))
    contract.test_every_model_is_here()
    for field in ("in_channels", "num_classes"):
        contract.test_no_channels_and_no_classes_are_refused("pyramid_sum", field)
    (row,) = [tomllib.loads(b.code)["row"] for b in BLOCKS if b.title == "docs/lecture.toml"]
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())["row"]
    assert unmapped(lecture) == {"models/semantic/pyramid_sum.py"} and not unmapped(lecture + row)
    assert set(row[0]) <= set().union(*lecture)
    assert {(r["part"], r["heading"]) for r in row} <= {(r["part"], r["heading"]) for r in lecture}
    suite = contract.TestContract()
    for name in (n for n in dir(suite) if n.startswith("test_")):
        test = getattr(suite, name)
        test("pyramid_sum", **({"tmp_path": tmp_path} if "tmp_path" in test.__code__.co_varnames else {}))


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda b: b.title)
def test_examples_are_documented_as_the_package_is(block):
    tree = ast.parse(block.code)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
        if isinstance(node, ast.ClassDef) and any("model(" in ast.unparse(d) for d in node.decorator_list):
            stated = [n for n in node.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "task"]
            assert [ast.unparse(n.annotation) for n in stated] == ["ClassVar[str]"]
    assert max(map(len, block.code.splitlines())) <= 120


def test_the_family_example_is_the_one_that_is_tested():
    tested = ROOT / "tests/data/outside/series_family.py"  # by tests/test_outside_family.py, from training to export
    (block,) = [b for b in BLOCKS if b.title == tested.name]
    assert block.code == tested.read_text(encoding="utf-8")
    (points,) = [b.code for b in blocks(ROOT / "CONTRIBUTING.md") if b.language == "toml" and not b.title]
    groups = tomllib.loads(points)["project"]["entry-points"]
    spec = importlib.util.spec_from_file_location("outside", ROOT / "tests/test_outside_family.py")
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_string(outside.ENTRY_POINTS)
    for group, names in groups.items():
        tested_names = {name: place for name, place in parser[group].items() if place.startswith("series_family:")}
        assert names == tested_names, group


def test_the_table_of_a_family_names_what_has_to_be_given():
    from foveate.tasks.base import Task

    section = prose(ROOT / "CONTRIBUTING.md").partition("## Add a family")[2].partition("## Add a model")[0]
    needed, optional = section.split("Frequent ones among the others")
    named = [
        set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.+?) \|", text, re.M)))) for text in (needed, optional)
    ]
    without_default = {name for name in Task.__annotations__ if not hasattr(Task, name)}
    assert named[0] == without_default | Task.__abstractmethods__
    assert all(hasattr(Task, name) for name in named[1])


def test_the_claim_example_is_measured(extended):
    from foveate.claims import examine

    name = "average_pooling_keeps_the_mean"
    finding = examine(name, find("claim", name).load()())
    assert finding.verdict == "holds"
    assert finding.to_json()["measured"]


def test_the_dataset_example_reads_and_complains(extended, tmp_path):
    from foveate.datasets import recognise

    rng = np.random.default_rng(0)
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(tmp_path / str(i) / "photo.png")
        Image.fromarray(np.full((6, 8), i % 3, np.uint8)).save(tmp_path / str(i) / "labels.png")
    source = recognise(tmp_path)
    assert type(source).__name__ == "Scans"
    assert source.describe() == "a folder a scan: 4 train, 1 val pictures (split drawn from seed 0), 3 classes"
    assert not (tmp_path / "splits.json").exists()
    dataset = source.open("train")
    assert (tmp_path / "splits.json").exists()
    for index in range(4):
        assert (dataset[index]["mask"] == int(dataset[index]["name"][0]) % 3).all()
    (tmp_path / "2" / "labels.png").unlink()
    with pytest.raises(foveate.FoveateError, match=r"2/photo\.png: a picture without a label"):
        recognise(tmp_path).open("train")


def test_the_recipe_example_trains_and_predicts(example_run, extended):
    prediction = foveate.load(example_run).predict(np.zeros((50, 70, 3), np.uint8))
    assert prediction.mask.shape == (50, 70)
    assert (example_run / "report.html").is_file()


def test_what_a_run_folder_holds_is_what_the_quickstart_says(example_run):
    (listing,) = [b.code for b in blocks(DOCS / "quickstart.md") if b.code.startswith("runs/first/")]
    said = {line.split()[0].rstrip("/") for line in listing.splitlines()[1:]}
    assert said | {"tensorboard"} == {p.name for p in example_run.iterdir()} | {"tensorboard"}


def test_a_model_of_another_package_gets_its_name(tmp_path, monkeypatch):
    (code,) = [b.code for b in blocks(ROOT / "CONTRIBUTING.md") if b.title.endswith("semantic/pyramid_sum.py")]
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package/__init__.py").touch()
    (tmp_path / "my_package/pyramid_sum.py").write_text(code)
    about = tmp_path / "my_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    line = re.search(r"group `(foveate\.models)`, `pyramid_sum = \"(.+?)\"`", prose(ROOT / "CONTRIBUTING.md"))
    (about / "entry_points.txt").write_text(f"[{line[1]}]\npyramid_sum = {line[2]}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entries.cache_clear()
    try:
        model = foveate.create("pyramid_sum", num_classes=3, backbone="resnet18")
        assert type(model).__module__ == "my_package.pyramid_sum"
    finally:
        entries.cache_clear()
        for name in ("my_package", "my_package.pyramid_sum"):
            sys.modules.pop(name, None)
