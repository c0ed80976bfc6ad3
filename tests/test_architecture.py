"""The house: who may import whom, how long a file may be, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import foveate

ROOT = Path(foveate.__file__).parent
BASE = {"errors", "records", "registry", "store", "pictures", "disk", "text", "values"}
# Each folder (or root file) and what it may import besides BASE and itself; see docs/design.md.
ALLOWED = {
    "ops": set(),
    "backbones": {"ops"},
    "models": {"ops", "backbones"},
    "datasets": {"ops"},
    "transforms": {"ops"},
    "metrics": {"ops"},
    "visualize": {"ops"},
    "tasks": {"ops", "metrics", "transforms"},
    "engine": {"ops", "metrics", "transforms", "tasks", "visualize"},
    "predictor": {"ops", "metrics", "transforms", "tasks", "visualize"},
    "recipes": {"models", "datasets", "transforms", "tasks", "engine"},
}
LOWER = set(ALLOWED)
ALLOWED["export"] = LOWER
ALLOWED["claims"] = LOWER | {"export"}
ALLOWED["cli"] = LOWER | {"export", "claims"}
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Foveate modules that a file imports, at any depth, those for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "foveate"}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "foveate":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.count(".")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_import_runs_uphill(path):
    here = room(path)
    if here in {"__init__", "__main__"}:  # the public face sees everything, lazily
        return
    allowed = {here} | BASE | ALLOWED.get(here, set())
    if here in BASE:
        allowed = BASE
    rooms = {r for r in rooms_imported(path) if (ROOT / r).exists() or (ROOT / f"{r}.py").exists()}
    strange = rooms - allowed
    assert not strange, f"{here} may not import {', '.join(sorted(strange))}"


def test_every_room_is_in_the_plan():
    rooms = {room(p) for p in FILES} - {"__init__", "__main__"}
    assert rooms <= BASE | set(ALLOWED)


def test_a_model_never_imports_another_model():
    for path in (ROOT / "models").rglob("*.py"):
        own = ".".join(("foveate", *path.relative_to(ROOT).with_suffix("").parts))
        strange = [n for n in imports(path) if n.startswith("foveate.models.") and not n.startswith(own)]
        assert not strange, f"{path.name} imports {strange}"


def test_lightning_is_imported_by_the_engine_alone():
    for path in FILES:
        names = [
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        if any(n.split(".")[0] in {"lightning", "pytorch_lightning"} for n in names):
            assert room(path) == "engine", path


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
