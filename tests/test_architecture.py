"""The architecture: who may import whom, how long a file may be, and what importing costs."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import foveate
from foveate.registry import entries

ROOT = Path(foveate.__file__).parent
BASE = {"deferred", "errors", "labels", "records", "registry", "store", "pictures", "sounds", "disk", "remote", "text",
        "torchvision_networks", "values", "version", "videos"}  # fmt: skip
# Each folder (or root file) and what it may import besides BASE and itself; see docs/design.md.
ALLOWED = {
    "ops": set(),
    "backbones": {"ops"},
    "models": {"ops", "backbones"},
    "datasets": {"ops"},
    "transforms": {"ops"},
    "metrics": {"ops"},
    "visualize": {"ops"},
    "onnx": {"ops"},
    "tasks": {"ops", "metrics", "transforms", "visualize", "onnx"},
    "engine": {"ops", "metrics", "transforms", "visualize", "onnx", "tasks"},
    "predictor": {"ops", "onnx", "tasks"},
    "export": {"onnx", "tasks", "engine", "predictor"},
    "cluster": set(),
    "recipes": {"models", "datasets", "transforms", "tasks", "engine"},
}
ALLOWED["claims"] = set(ALLOWED)
ALLOWED["server"] = {"ops", "visualize", "onnx", "tasks", "predictor"}
ALLOWED["studio"] = {
    "ops",
    "datasets",
    "visualize",
    "onnx",
    "tasks",
    "engine",
    "predictor",
    "export",
    "recipes",
    "server",
}
ALLOWED["cli"] = set(ALLOWED)
API = "__init__"  # the public API, `foveate` itself
FILES = sorted(ROOT.rglob("*.py"))


def module(path: Path) -> str:
    """The dotted name of a file: foveate/ops/dense.py -> foveate.ops.dense."""
    parts = ("foveate", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0].removesuffix(".py")


def imported(node: ast.AST) -> set[str]:
    """Foveate modules that one statement imports; names inside a module stand for the module."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        names = {name if name in MODULES else str(node.module) for name in names}
    else:
        names = set()
    return {name for name in names if name.split(".")[0] == "foveate"}


def imports(path: Path) -> set[str]:
    """Foveate modules that a file imports, at any depth, those for type checking included."""
    return {name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for name in imported(node)}


def packages_imported(path: Path) -> set[str]:
    return {name.split(".")[1] if name.count(".") else API for name in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_import_is_allowed(path):
    here = package_of(path)
    if here in {API, "__main__"}:  # the public API sees everything, lazily
        return
    allowed = BASE if here in BASE else {here, *BASE, *ALLOWED.get(here, set())}
    if here == "cli":
        allowed = allowed | {API}
    forbidden = packages_imported(path) - allowed
    assert not forbidden, f"{here} may not import {', '.join(sorted(forbidden))}"


def test_every_package_is_in_the_table():
    packages = {package_of(p) for p in FILES} - {API, "__main__"}
    assert packages == BASE | set(ALLOWED)


def test_the_public_api_is_imported_by_the_command_line_alone():
    """Code inside that imported `foveate` could not be imported by it."""
    inside = [str(p.relative_to(ROOT)) for p in FILES if package_of(p) not in {API, "cli"} and "foveate" in imports(p)]
    assert not inside


# Cycles of imports at module level


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported: not those of functions, nor those for type checking alone."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from statements(node.orelse)
            continue
        yield node
        for inner in ("body", "orelse", "finalbody"):
            yield from statements(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def packages(name: str) -> set[str]:
    """A module and the packages around it, which are imported before it."""
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts) + 1)}


def module_level_graph() -> dict[str, set[str]]:
    """Module -> the modules that importing it runs. The packages around a module are already running."""
    graph = {}
    for name, path in MODULES.items():
        direct = {t for node in statements(ast.parse(path.read_text(encoding="utf-8")).body) for t in imported(node)}
        around = {package for target in direct for package in packages(target)} - packages(name)
        graph[name] = direct | around
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module, and modules that import themselves (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph.get(name, ()):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1 or name in graph.get(name, ()):
                found.append(sorted(component))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def test_no_modules_import_each_other():
    assert not cycles(module_level_graph())


def test_a_cycle_would_be_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e"}}) == [["a", "b", "c"], ["e"]]
    assert not cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ntry:\n    import c\nexcept E:\n    import d\n"
    source += "def f():\n    import e\nclass C:\n    import f\n"
    found = [n.names[0].name for n in statements(ast.parse(source).body) if isinstance(n, ast.Import)]
    assert found == ["b", "c", "d", "f"]


def test_a_model_never_imports_another_model():
    registered = re.compile(r"^@model\(", re.MULTILINE)
    models = {module(p) for p in (ROOT / "models").rglob("*.py") if registered.search(p.read_text(encoding="utf-8"))}
    assert len(models) > 15
    for path in (ROOT / "models").rglob("*.py"):
        own = module(path)  # the files of one large model import each other; a folder's models may share a part
        family = own.rsplit(".", 1)[0]
        others = [
            n
            for n in imports(path)
            if n.startswith("foveate.models.")
            and not n.startswith(own)
            and (n in models or n.rsplit(".", 1)[0] in models or not n.startswith(family))
        ]
        assert not others, f"{path.name} imports {others}"


def test_lightning_is_imported_by_the_engine_alone():
    for path in FILES:
        names = [
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        if any(n.split(".")[0] in {"lightning", "pytorch_lightning"} for n in names):
            assert package_of(path) == "engine", path


def test_files_stay_readable():
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 420}
    assert not long, "a file past about 400 lines becomes a folder of the same name"


def test_importing_foveate_and_asking_for_help_loads_nothing_heavy():
    code = (
        "import sys, foveate, foveate.cli; foveate.cli.main(['--help']); "
        "foveate.list_models(); foveate.list_recipes(); "
        "heavy = {'torch', 'numpy', 'PIL', 'lightning', 'timm'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_test_file_has_a_name_of_its_own():
    names = [p.stem for p in Path(__file__).parent.rglob("*.py") if p.stem != "conftest"]
    twice = {name for name in names if names.count(name) > 1}
    assert not twice, "pytest collects only one file of a name"


def documented():
    """(place, docstring) of every module, class and function of the package that has one."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_docstrings_begin_with_a_verb_or_a_noun():
    dialect = ("What ", "Of ", "Where ", "Which ", "How ", "Whether ")
    assert not [f"{place}: {text.splitlines()[0]}" for place, text in documented() if text.startswith(dialect)]


def test_every_recipe_has_a_sentence_of_its_own():
    sentences = {}
    for name, entry in entries("recipe").items():
        assert entry.summary and "{" not in entry.summary, name
        sentences.setdefault(entry.summary, []).append(name)
    assert not [names for names in sentences.values() if len(names) > 1]


def test_a_sentence_says_which_of_several_models_it_is_about():
    """Recipes of one function differ in their preset; the sentence names what differs: Inception-v4, inception_v4."""

    def plain(text):
        return "".join(letter for letter in str(text).lower() if letter.isalnum())

    for name, entry in entries("recipe").items():
        for value in dict(entry.preset).values():
            assert plain(value) in plain(entry.summary), name
