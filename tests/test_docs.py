"""The words around the code are true: links lead somewhere, commands parse, examples run, pages are current."""

from __future__ import annotations

import argparse
import ast
import configparser
import contextlib
import dataclasses
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate import registry
from foveate.cli import verbs
from foveate.cli.flags import Parser, split_fields
from foveate.engine.fields import override
from foveate.errors import ConfigError
from foveate.registry import create_recipe, entries, find
from foveate.tasks import all_tasks
from foveate.tasks.options import VERBS, Options, flags, option

ROOT = Path(__file__).parents[1]
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


# Links


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\]\([^)]*\)|[`*\[]", "", head) for head in heads]
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", head).strip().lower()) for head in plain}


@each_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if page.name == "contributing.md" or file.name == "contributing.md":
            file = ROOT / "CONTRIBUTING.md"  # shown there by docs/hooks.py
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_nothing_is_fetched_from_elsewhere():
    for page in PAGES:
        assert not re.findall(r"!\[[^\]]*\]\(https?:|<(?:script|link|img)\b", prose(page)), page
    assert "font: false" in (ROOT / "mkdocs.yml").read_text()


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS).as_posix()}\n" in nav


def test_pages_speak_of_the_project_alone():
    strange = re.compile(r"(?<![\w.}])/(?:home|root|tmp|work|mnt|Users)/|\b(?:session|agent)s?\b", re.IGNORECASE)
    for file in [*PAGES, *DOCS.glob("*.py"), *DOCS.glob("*.toml"), ROOT / "mkdocs.yml", *ROOT.glob("results/*.json")]:
        assert not strange.findall(file.read_text(encoding="utf-8")), file


# Commands


RUN_VERBS = ("evaluate", "predict", "generate")  # their options are those of the family of RUN


class ParsedError(Exception):
    """The verb's own parser accepted the line."""


@pytest.fixture
def only_parse(monkeypatch):
    from foveate.tasks.base import Task

    def patched(name):
        def parse(self, words=None, namespace=None):
            getattr(argparse.ArgumentParser, name)(self, words, namespace)
            raise ParsedError

        return parse

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(Parser, name, patched(name))
    monkeypatch.setattr("foveate.cli.early.check_run", lambda path: None)
    # The pages' runs do not exist: each option of any family is accepted.
    every = {flag.name: flag for task in all_tasks() for verb in VERBS for flag in flags(task.Options, verb)}
    own = [(flag.name, flag.kind, option(flag.default, flag.help)) for flag in every.values()]
    options = dataclasses.make_dataclass("AnyOptions", own, bases=(Options,), frozen=True)
    monkeypatch.setattr(
        "foveate.predictor.peek_family",
        lambda path: type("AnyFamily", (Task,), {"title": "any family", "Options": options}),
    )


def shell_lines(block: Block) -> list[list[str]]:
    text = block.code.replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def parses(module, words: list[str], family=None) -> bool:
    """True if a verb's parser accepts a line; family: of the line's RUN, which is not there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foveate.predictor.peek_family", lambda path: family)
        try:
            module.run(words)
        except ParsedError:
            return True
        except ConfigError as error:
            if family is None or "have no option" not in str(error):
                raise
    return False


def check_foveate(words: list[str], where: str) -> None:
    verb, *rest = words
    assert verb in verbs(), f"{where}: no verb '{verb}'"
    module = importlib.import_module(f"foveate.cli.{verb}")
    parsed = any(parses(module, rest, task) for task in all_tasks()) if verb in RUN_VERBS else parses(module, rest)
    assert parsed, f"{where}: foveate {' '.join(words)}"
    if verb == "train" and rest and not rest[0].isupper():
        name = "fcn8s" if rest[0] in ("--config", "--resume") else rest[0]
        override(create_recipe(name), split_fields(rest, module.OWN)[1])


COMMANDS = [(b, words) for b in BLOCKS if b.language in ("sh", "bash", "console") for words in shell_lines(b)]


@pytest.mark.parametrize("block, words", COMMANDS, ids=[f"{b.page.stem}: {' '.join(w)[:40]}" for b, w in COMMANDS])
def test_commands_in_blocks_are_real(block, words, only_parse):
    program, *rest = words
    if program in ("torchrun", "srun"):  # what they start
        program, *rest = ("2" if word.startswith("$") else word for word in rest[rest.index("foveate") :])
    if program == "foveate":
        check_foveate(rest, block.page.name)
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "python":
        assert (ROOT / rest[0]).is_file()
    else:
        assert program in {"pip", "python3", ".", ".venv/bin/pre-commit", "export", "ray"}


@each_page
def test_commands_in_the_text_are_real(page, only_parse):
    for line in re.findall(r"`foveate ([^`]+)`", prose(page)):
        try:
            check_foveate(shlex.split(line), page.name)
        except ConfigError as error:  # a mention need not be a whole command
            assert "arguments are required" in str(error), f"{page.name}: {line}: {error}"


@each_page
def test_scripts_and_targets_in_the_text_exist(page):
    for name in re.findall(r"`python (docs/[\w./]+)", prose(page)):
        assert (ROOT / name).is_file()
    for target in re.findall(r"`make ([\w-]+)`", prose(page)):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


# Python


@pytest.mark.parametrize("block", PYTHON, ids=[f"{b.page.stem}-{i}" for i, b in enumerate(PYTHON)])
def test_python_blocks_compile_and_name_what_exists(block):
    tree = ast.parse(block.code)
    compile(tree, block.page.name, "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("foveate") and "pyramid_sum" not in node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Call) and (called := re.fullmatch(r"foveate\.(\w+)", ast.unparse(node.func))):
            assert called[1] in foveate.__all__
            if called[1] == "train":
                check_train_call(node)


def check_train_call(node: ast.Call) -> None:
    own = set(foveate.train.__kwdefaults__) | {"data", "out"}
    given = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg not in own}
    override(create_recipe(ast.literal_eval(node.args[0])), {k.replace("__", "."): v for k, v in given.items()})


def test_the_metrics_example_says_what_comes_out(capsys):
    (code,) = [b.code for b in blocks(DOCS / "metrics.md") if b.language == "python"]
    exec(compile(code, "metrics.md", "exec"), {})
    assert capsys.readouterr().out == "0.5\n"


def test_the_table_of_imports_is_the_one_that_is_enforced():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "tests/test_architecture.py")
    architecture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architecture)
    text = (DOCS / "design.md").read_text()
    section = text[text.index("## Who may import whom") : text.index("## The contract of a family")]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    above: set[str] = set()
    for room, allowed in rows:
        said = above if allowed == "all above" else set(re.findall(r"`(\w+)`", allowed))
        assert said == architecture.ALLOWED[room], room
        above = above | {room}
    assert above == set(architecture.ALLOWED)
    (line,) = re.findall(r"(.*) may be imported from anywhere", section)
    assert set(re.findall(r"`(\w+)`", line)) == architecture.BASE


def test_the_extra_all_holds_every_extra_of_run_time():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    name, listed = re.fullmatch(r"(\w+)\[([\w,]+)\]", everything).groups()
    assert name == "foveate"
    assert set(listed.split(",")) == set(extras) - {"docs", "bench"}


# Contributing: the examples join a copy of the tree and are used


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the package with the examples in the places that their titles name."""
    tree = tmp_path_factory.mktemp("tree") / "foveate"
    shutil.copytree(registry.ROOT, tree, ignore=shutil.ignore_patterns("__pycache__"))
    for block in EXAMPLES:
        file = tree / Path(block.title).relative_to("src/foveate")
        assert not file.exists()
        file.write_text(block.code, encoding="utf-8")
    return tree


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


@pytest.fixture
def extended(tree):
    with examples_in(tree):
        yield


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


@pytest.fixture(scope="module")
def example_run(tree, tmp_path_factory):
    from foveate.engine.report import report_run

    with examples_in(tree):
        run = foveate.train(
            "pyramid_sum_pasture", out=tmp_path_factory.mktemp("runs") / "example", epochs=1, batch_size=4,
            data__train=8, data__val=2, data__test=2, data__height=64, data__width=64,
        )  # fmt: skip
        report_run(run)
    return run


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


# Recorded results


def test_a_recorded_run_holds_what_the_pages_need(example_run, extended, tmp_path):
    recorder = script("record_result")
    assert recorder.main([str(example_run)], tmp_path) == 0
    text = (tmp_path / "pyramid_sum_pasture.json").read_text()
    result = json.loads(text)
    assert set(result) == {
        "recipe", "command", "data", "split", "seed", "commit", "clean", "python", "packages", "instructions",
        "threads", "minutes", "peak_memory_mib", "hardware", "parameters", "scores",
    }  # fmt: skip
    environment = json.loads((example_run / "environment.json").read_text())
    assert all(result[key] == environment[key] for key in ("commit", "clean", "python", "packages", "threads"))
    assert result["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert str(example_run.parent) not in text
    assert result["split"] == "val" and result["seed"] == 0
    assert result["parameters"] == sum(p.numel() for p in foveate.load(example_run).model.parameters())
    scores = json.loads((example_run / "evaluation.json").read_text())
    assert result["scores"]["images"] == 2
    assert result["scores"]["mean_iou"] == pytest.approx(scores["mean_iou"], abs=1e-6)
    assert {"boundary_iou", "trimap_iou", "per_class"} <= set(result["scores"])
    page = script("generate").results_page({"pyramid_sum_pasture": result | {"clean": False}})
    (line,) = [line for line in page.splitlines() if "| with changes |" in line]
    assert f"`{result['command']}` | 0 | {result['commit'][:10]} | with changes | A | {result['threads']} |" in line
    assert result["command"] in page and f"{result['scores']['mean_iou']:.3f}" in page


def test_the_score_that_ranks_a_family_is_recorded():
    kept = script("record_result").KEPT
    families = [entry.load() for entry in entries("task").values()]
    assert [family.name for family in families if family.monitor not in kept] == []


def test_a_record_of_clips_counts_them(generate):
    scores = {"bleu4": 0.5, "cider_d": 1.0, "event_accuracy": 0.7, "order_accuracy": 0.9, "clips": 200}
    result = next(iter(camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5))).values()))
    page = generate.results_page({"clips": result | {"scores": scores}})
    assert "## Video" in page and "scored on 200 clips" in page and "## Captioning" not in page


def test_a_record_of_another_run_is_not_overwritten(example_run, extended, tmp_path, capsys):
    recorder = script("record_result")
    assert recorder.main([str(example_run)], tmp_path) == recorder.main([str(example_run)], tmp_path) == 0
    file = tmp_path / "pyramid_sum_pasture.json"
    older = json.loads(file.read_text()) | {"commit": "0123"}
    file.write_text(json.dumps(older))
    assert recorder.main([str(example_run)], tmp_path) == 1
    assert "holds another run (commit '0123', now " in capsys.readouterr().err
    assert json.loads(file.read_text()) == older
    assert recorder.main([str(example_run), "--replace"], tmp_path) == 0
    assert json.loads(file.read_text())["commit"] != "0123" and "timing" not in json.loads(file.read_text())
    assert recorder.main([str(example_run), "--disturbed"], tmp_path) == 0
    assert json.loads(file.read_text())["timing"] == "minutes measured beside other work"


def test_recorded_commands_hold_no_place_of_this_machine():
    command = script("record_result").portable_command
    assert (
        command("foveate train fcn8s_camvid --data /data/x --out '/a b/c' --resume --optim.lr 1e-3", "camvid")
        == "foveate train fcn8s_camvid --data CAMVID --optim.lr 1e-3"
    )
    assert command("foveate train fcn8s --data=/x --out=/y --init /runs/z", "voc") == (
        "foveate train fcn8s --data VOC --init RUN"
    )
    assert command("foveate train mnc_nuclei --data /x", "folders") == "foveate train mnc_nuclei --data DSB2018"
    assert command("foveate train st_cnn_affine_mnist_rts --data /x", "distorted_mnist").endswith("--data MNIST")


def test_an_unfinished_or_unevaluated_run_is_not_recorded(example_run, extended, tmp_path, capsys):
    recorder = script("record_result")
    copy = tmp_path / "copy"
    shutil.copytree(example_run, copy)
    (copy / "evaluation.json").unlink()
    assert recorder.main([str(copy)], tmp_path / "out") == 1
    assert "was not evaluated; run: foveate evaluate" in capsys.readouterr().err
    shutil.copy(example_run / "evaluation.json", copy)
    recipe = json.loads((copy / "recipe.json").read_text())
    (copy / "recipe.json").write_text(json.dumps(recipe | {"epochs": 3}))
    assert recorder.main([str(copy)], tmp_path / "out") == 1
    assert "has 1 of 3 epochs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Generated pages


@pytest.fixture(scope="module")
def generate():
    return script("generate")


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


def test_generated_pages_are_current(generate, capsys):
    code = generate.main(["--check"])
    assert code == 0, capsys.readouterr().err


def test_check_names_the_stale_page_and_changes_nothing(generate, tmp_path, monkeypatch, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "src").symlink_to(ROOT / "src")
    shutil.copytree(ROOT / "results", tmp_path / "results") if (ROOT / "results").exists() else None
    shutil.copy(ROOT / "README.md", tmp_path)
    for name in ("lecture.toml", "lecture.md", "results.md", "claims.md", "catalogue.md"):
        shutil.copy(DOCS / name, tmp_path / "docs")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == 0
    page = tmp_path / "docs/results.md"
    page.write_text(page.read_text() + "0.99\n")
    assert generate.main(["--check"]) == 1
    assert "docs/results.md is out of date" in capsys.readouterr().err
    assert page.read_text().endswith("0.99\n")
    assert generate.main([]) == 0
    assert page.read_text() == (DOCS / "results.md").read_text()


def test_without_results_the_pages_say_so(generate):
    assert "Nothing is recorded yet." in generate.results_page({})
    assert generate.readme_results({}) == "Nothing is recorded yet.\n"


def test_the_readme_has_the_first_score_of_each_recipe_on_public_data(generate):
    results = camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5)))
    one = next(iter(results.values()))
    results["words"] = one | {"command": "foveate train words --data WMT", "scores": {"bleu": 39.884, "chrf": 60.0}}
    results["own"] = one | {"command": "foveate train own_pasture"}
    results["digits"] = one | {"recipe": "cnn_mnist_r", "command": "foveate train cnn_mnist_r --data MNIST"}
    lines = [line for line in generate.readme_results(results).splitlines() if line.startswith("| `")]
    assert len(lines) == 4 and lines[3].startswith("| `foveate train words --data WMT` | 39.9 BLEU |")
    assert all("mean IoU" in line for line in lines[:3])


def test_every_record_on_the_lecture_page_shows_a_score_of_its_family(generate):
    page = (DOCS / "lecture.md").read_text()
    assert "– mean IoU" not in page
    result = {"scores": {"bleu": 39.884, "chrf": 63.5}, "split": "val"}
    assert generate._headline([result]) == "39.9 BLEU on val"
    with pytest.raises(ValueError, match="no first score is known among other"):
        generate._headline([{"scores": {"other": 1.0}, "split": "val"}])


def test_skips_are_judged_in_one_place(generate):
    page = generate.results_page(camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5))))
    assert "boundary IoU goes 0.300, 0.350, 0.400" in page and "](claims.md#learnable-upsampling-skip-" in page
    assert "holds" not in page


def test_every_figure_on_the_results_page_is_recorded(generate):
    results = camvid((0.31, (0.21, 0.41), 0.61), (0.35, (0.3, 0.5), 0.64), (0.4, (0.36, 0.52), 0.66))
    page = generate.results_page(results)
    known = {f"{v:.3f}" for r in results.values() for v in numbers(r["scores"])} | {"+0.150", "+0.050"}
    printed = set(re.findall(r"[+-]?\d+\.\d{3}\b", page))
    assert printed == known - {f"{101:.3f}"}
    assert "larger at the contours" in page and "val run above scores on test" in page
    assert page.index("`fcn32s_camvid`") < page.index("`fcn16s_camvid`") < page.index("`fcn8s_camvid`")
    assert "| pole | – | – | – |" in page  # a class that nothing was recorded of
    assert page.count("- `foveate train fcn8s_camvid --data CAMVID`: CamVid; scored on 101 pictures") == 1
    record = (
        "| `fcn8s_camvid` | `foveate train fcn8s_camvid --data CAMVID` | 0 | 0123456789 | tree state not recorded |"
    )
    assert f"{record} not recorded | 2 | Seed | 20.5 | – |" in page


def numbers(value):
    if isinstance(value, dict):
        return [n for one in value.values() for n in numbers(one)]
    return [value] if isinstance(value, (int, float)) else []


def test_two_strides_alone_make_no_claim(generate):
    results = camvid((0.3, (0.2, 0.4)), (0.35, (0.3, 0.5)), (0.4, (0.35, 0.5)))
    del results["fcn16s_camvid"]
    assert "The lecture says" not in generate.results_page(results)


def test_a_measured_score_reaches_the_lecture_map(generate):
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())
    recipes = {name: create_recipe(name) for name in entries("recipe")}
    results = camvid((0.3, (0.2, 0.4), 0.61), (0.35, (0.3, 0.5), 0.64), (0.4, (0.35, 0.5), 0.66))
    page = generate.lecture_page(ROOT, lecture, recipes, results)
    assert "`fcn8s_camvid`: 0.660 mean IoU on val" in page


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"error_percent": 0.654, "top1": 0.99}, "0.65 % error on val"),
        ({"cider_d": 0.5712, "bleu4": 0.3}, "0.571 CIDEr-D on val"),
        ({"corloc": 0.974}, "0.974 CorLoc on val"),
        ({"mean_iou": 0.5}, "0.500 mean IoU on val"),
    ],
)
def test_each_family_has_a_headline_of_its_own(generate, scores, said):
    assert generate._headline([{"scores": scores, "split": "val"}]) == said


def test_the_lecture_map_shows_mean_and_range_over_seeds(generate):
    results = {
        f"x_camvid{end}": made_up("x_camvid", 0.3, (0.2, 0.4), mean_iou, seed)
        for end, mean_iou, seed in (("", 0.64, 0), ("_seed1", 0.58, 1), ("_seed2", 0.61, 2))
    }
    for result in results.values():
        result["command"] += f" --seed {result['seed']}" if result["seed"] else ""
    other = made_up("x_camvid", 0.3, (0.2, 0.4), 0.99, 3)
    results["x_other"] = other | {"command": "foveate train x_camvid --data CAMVID --data.digits 3,7"}  # another set
    results["x_split"] = made_up("x_camvid", 0.3, (0.2, 0.4), 0.98, 0) | {"split": "test"}
    whole, test = generate.same_but_seed(results, "x_camvid")
    assert generate._headline(whole) == "0.610 mean IoU (0.580 to 0.640, 3 seeds) on val"
    assert generate._headline(test) == "0.980 mean IoU on test"


def test_the_lecture_map_names_no_seed_that_was_the_best():
    """Each recipe with several seeds, computed here from the records."""
    page = (DOCS / "lecture.md").read_text()
    errors: dict[str, list[float]] = {}
    for path in sorted((ROOT / "results").glob("*_mnist_*.json")):
        result = json.loads(path.read_text())
        errors.setdefault(result["recipe"], []).append(result["scores"]["error_percent"])
    several = {name: values for name, values in errors.items() if len(values) > 1}
    assert several
    for name, values in several.items():
        mean, seeds = sum(values) / len(values), f"{min(values):.2f} to {max(values):.2f}, {len(values)} seeds"
        assert f"`{name}`: {mean:.2f} % error ({seeds}) on test" in page


def test_every_record_has_its_line(generate):
    """Command, seed, commit and tree of every file in results/, on the page of results."""
    page = (DOCS / "results.md").read_text()
    lines = page[page.index("## Records") :].splitlines()
    for path in [*sorted((ROOT / "results").glob("*.json")), *sorted((ROOT / "results/refinement").glob("*.json"))]:
        record = json.loads(path.read_text())
        name = path.stem if path.parent.name == "results" else f"refinement/{path.stem}"
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        tree = {True: "clean", False: "with changes"}.get(record.get("clean"), "tree state not recorded")
        assert cells[1] == (f"`{record['command']}`" if "command" in record else "not recorded")
        assert cells[2:5] == [str(record.get("seed", "not recorded")), record["commit"][:10], tree]
        assert (cells[5] == "not recorded") == ("packages" not in record)
        measured = "minutes" in record and "timing" not in record  # not beside other work
        assert cells[8] == (f"{record['minutes']:,.1f}" if measured else "–")
        memory = record.get("peak_memory_mib")
        assert cells[9] == ("–" if memory is None else f"{memory:,}")


def test_a_run_of_before_is_recorded_under_its_reading(example_run, extended, tmp_path):
    copy = Path(shutil.copytree(example_run, tmp_path / "copy"))
    recipe = json.loads((copy / "recipe.json").read_text())
    before = {"dataset": "distorted_mnist", "path": "", "kind": "p", "seed": 0, "interpolation": "mixed", "hand": 0.7}
    (copy / "recipe.json").write_text(json.dumps(recipe | {"name": "cnn_mnist_p", "data": before}))
    assert script("record_result").record(copy)["recipe"] == "cnn_mnist_p_hard"


def test_both_readings_of_distorted_digits_stand_in_columns_of_their_own():
    def digits(recipe, error, seed=0, **more):
        scores = {"error_percent": error, "images": 10000}
        return {"recipe": recipe, "seed": seed, "minutes": 10, "parameters": 400000, "hardware": "1 core",
                "scores": scores} | more  # fmt: skip

    results = {
        "st_cnn_affine_mnist_rts_hard": digits("st_cnn_affine_mnist_rts_hard", 0.58),
        "st_cnn_affine_mnist_rts": digits("st_cnn_affine_mnist_rts", 0.4),
        "st_cnn_affine_mnist_rts_seed1": digits(
            "st_cnn_affine_mnist_rts", 0.5, 1, minutes=90, timing="beside other work"
        ),
        "cnn_mnist_p": digits("cnn_mnist_p", 1.25),
    }
    page = script("family_tables").mnist_table(results)
    assert "| Recipe | R | RTS | RTS hard | P | P hard | E | clutter | addition |" in page
    affine = (
        "| – / 0.7 | **0.45** (0.40 to 0.50) / 0.5 | **0.58** / 0.5 | – / 0.8 | – / 0.8 | – / 1.2 | – / 1.7 | – / – |"
    )
    assert f"| `st_cnn_affine_mnist_*` {affine}" in page
    assert "| `cnn_mnist_*` | – / 1.2 | – / 0.8 | – / 0.8 | **1.25** / 1.5 | – / 1.5 |" in page
    assert "Training took 10 to 10 minutes" in page  # not those of a busy machine
    tables = script("family_tables")
    assert tables.minutes_of(results["cnn_mnist_p"]) == "10.0"
    assert tables.minutes_of(results["st_cnn_affine_mnist_rts_seed1"]) == "–"
    assert "beside other work" in tables.commands(
        {"a": digits("a", 1.0, command="foveate train a", data="digits", timing="beside other work")}
    )


def test_a_recorded_run_is_filed_under_its_recipe():
    for file in (ROOT / "results").glob("*_mnist_*.json"):
        result = json.loads(file.read_text())
        assert file.stem == result["recipe"] + (f"_seed{result['seed']}" if result["seed"] else "")
        assert result["recipe"] in entries("recipe")
        if result["data"].startswith("distorted MNIST"):
            kind = re.fullmatch(r"distorted MNIST, (\w+):.*", result["data"])[1]
            assert result["recipe"].endswith(f"_mnist_{kind}")


def test_the_lecture_map_follows_the_tree(generate):
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())
    page = (DOCS / "lecture.md").read_text()
    for row in lecture["row"]:
        built = generate.is_built(ROOT, row)
        assert built == (ROOT / "src/foveate" / row["file"]).is_file()
        assert (f"](../src/foveate/{row['file']})" in page) == built
    assert not unmapped(lecture["row"]), "a model has no row in docs/lecture.toml"


def unmapped(rows):
    """The files of models without a row on the lecture map; parts that models share have none."""
    files = (registry.ROOT / "models").rglob("*.py")
    systems = {p.relative_to(registry.ROOT).as_posix() for p in files if "\n@model(" in p.read_text()}
    return systems - {row["file"] for row in rows}


def test_every_departure_has_a_source_and_a_place_in_the_lecture():
    lecture = tomllib.loads((DOCS / "lecture.toml").read_text())
    for departure in lecture["departure"]:
        assert all(departure[key] for key in ("heading", "lecture", "papers", "source"))
        assert re.search(r"\b(19|20)\d\d\b", departure["source"]), departure["source"]


def recorded_rows(name):
    data = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
    return data, {(table["title"].partition(" ")[0], row["name"], row.get("proposals")): row
                  for table in data["tables"] for row in table["rows"]}  # fmt: skip


def test_figures_that_are_typed_on_pages_are_those_of_the_benchmarks():
    """Sentences on pages that are written by hand, made again from the records."""
    page = (DOCS / "semantic.md").read_text()
    data, rows = recorded_rows("proposal_recall")
    coco, nuclei = data["tables"]
    found = [
        f"{100 * rows[title, name, count]['R@0.5']:.0f} %"
        for title, name in (("COCO", "selective search"), ("COCO", "regular grid"), ("nuclei", "selective search"))
        for count in ("1000", "all")
    ]
    seed = data["settings"]["seed"]
    for sentence in (
        f"Of {coco['pictures']} COCO pictures with {coco['objects']} objects (`seed {seed}`), its best 1000 proposals "
        f"overlap {found[0]} of the objects by an IoU of 0.5 or more, all of them ({coco['proposals']:.0f} a picture) "
        f"{found[1]}; as many boxes of a regular grid {found[2]} and {found[3]}.",
        f"Of {nuclei['objects']} nuclei in {nuclei['pictures']} pictures of DSB2018, {found[4]} and {found[5]}.",
    ):
        assert sentence in page
    data, rows = recorded_rows("crf_speed")
    eleven, more = (rows["Dense", f"{count} classes", None]["median"] for count in (11, 21))
    assert data["machine"]["threads"] == 1
    assert (
        f"{eleven:.2f} s for a 480x360 picture in 11 classes, {more:.2f} s in 21 (one thread of an "
        f"{data['machine']['cpu']}, median of {data['settings']['rounds']}: `python benchmarks/crf_speed.py`)"
    ) in page
    _, rows = recorded_rows("feature_cache")
    (times,) = [row["relative"] for (_, name, _), row in rows.items() if name == "features kept"]
    words = {3: "three", 4: "four", 5: "five"}[round(times)]
    assert f"about {words} times as fast (`python benchmarks/feature_cache.py`)" in (DOCS / "captioning.md").read_text()


def test_docstring_fields_become_lists():
    module = script("docstrings")
    assert module.as_list("What.\n\nlr: the rate,\n    in full; momentum: of sgd.\nRaises X: y.") == (
        "What.\n\n- `lr`: the rate,\n    in full; momentum: of sgd.\n\nRaises X: y."
    )


@pytest.fixture
def departures():
    return script("departures")


def test_every_model_lists_its_departures_and_its_page_has_the_list(departures):
    files = departures.model_files(ROOT)
    assert {entry.module.rpartition(".")[2] for entry in entries("model").values()} == set(files)
    pages = [page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))]
    marks = [name for text in pages for name in departures.MARK.findall(text)]
    assert sorted(marks) == sorted(files)  # each once
    for path in files.values():
        items = [line for line in departures.departures(path).split("\n") if line.startswith("- ")]
        assert items and all(item.endswith((".", ")")) for item in items), path


def test_a_list_of_departures_is_taken_from_the_docstring(departures, tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        '"""A net.\n\nWords.\n\nDepartures from the paper, `a` False\nundoes them:\n\n'
        "- One of\n  two lines.\n- Two.\n\n"
        'These always hold:\n\n- Three.\n\nMore words.\n\n- No departure.\n"""\n'
    )
    expected = (
        "Departures from the paper, `a` False undoes them:\n\n- One of two lines.\n- Two.\n\n"
        "These always hold:\n\n- Three."
    )
    assert departures.departures(file) == expected
    page = "# Page\n\n<!-- departures: net -->\nold\n<!-- /departures: net -->\nend\n"
    new = f"# Page\n\n<!-- departures: net -->\n\n{expected}\n\n<!-- /departures: net -->\nend\n"
    assert departures.filled(page, {"net": file}) == departures.filled(new, {"net": file}) == new
    with pytest.raises(ValueError, match="departures of 'net': no such file of a model; there are other"):
        departures.filled(page, {"other": file})
    file.write_text('"""A net as published."""\n')
    with pytest.raises(ValueError, match="no list that begins with 'Departures from'; every model says where"):
        departures.departures(file)
