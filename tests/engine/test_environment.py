"""What a record says of the code, the versions and the machine it was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from foveate.engine import run


def git(folder: Path, *command: str) -> str:
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *options, *command], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A repository with a package in it, in the place of this one."""
    folder = tmp_path / "src" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("a = 1\n")
    (tmp_path / "results.json").write_text("{}\n")
    git(tmp_path, "init")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "one")
    monkeypatch.setattr(run, "PACKAGE", folder)
    return folder


def test_the_commit_and_whether_the_packages_files_are_its_own(package, tmp_path):
    about = run.environment()
    assert (about["commit"], about["clean"]) == (git(tmp_path, "rev-parse", "HEAD"), True)
    (tmp_path / "results.json").write_text("{1}\n")  # a record that is written is no change of the code
    assert run.environment()["clean"] is True
    (package / "__init__.py").write_text("a = 2\n")
    assert run.environment()["clean"] is False
    git(tmp_path, "commit", "-am", "two")
    assert run.environment()["clean"] is True
    (package / "new.py").write_text("")
    assert run.environment()["clean"] is False


def test_a_package_that_lies_in_another_repository_has_no_commit(package, tmp_path, monkeypatch):
    """An installed package, in a virtual environment in somebody's repository."""
    installed = tmp_path / ".venv/lib/package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(run, "PACKAGE", installed)
    about = run.environment()
    assert about["commit"] is None and about["clean"] is None


def test_without_a_repository_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PACKAGE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run.environment()["commit"] is None
    monkeypatch.setenv("PATH", "")
    assert run.environment()["clean"] is None


def test_the_machine_and_the_versions():
    about = run.environment()
    assert about["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert about["threads"] == torch.get_num_threads()
    assert about["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert about["cpu"] and about["python"]
    assert run.peak_memory() > 100
