"""The words around the code are true: links lead somewhere, commands parse, and Python names what exists."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from doc_pages import BLOCKS, DOCS, PAGES, PYTHON, ROOT, Block, blocks, each_page, prose

import foveate
from foveate.cli import verbs
from foveate.cli.flags import Parser, split_fields
from foveate.engine.fields import override
from foveate.errors import ConfigError
from foveate.registry import create_recipe
from foveate.tasks import all_tasks
from foveate.tasks.options import VERBS, Options, flags, option


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
    for package, allowed in rows:
        said = above if allowed == "all above" else set(re.findall(r"`(\w+)`", allowed))
        assert said == architecture.ALLOWED[package], package
        above = above | {package}
    assert above == set(architecture.ALLOWED)
    (line,) = re.findall(r"(.*) may be imported from anywhere", section)
    assert set(re.findall(r"`(\w+)`", line)) == architecture.BASE


def test_the_extra_all_holds_every_extra_of_run_time():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    name, listed = re.fullmatch(r"(\w+)\[([\w,]+)\]", everything).groups()
    assert name == "foveate"
    assert set(listed.split(",")) == set(extras) - {"docs", "bench"}
