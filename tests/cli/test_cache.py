"""`foveate cache`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from foveate import cli
from foveate.cli.cache import shown_size


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    for name, size in (
        ("features/aa/1.st", 3000),
        ("features/aa/2.st", 1000),
        ("features/bb/1.st", 5),
        ("regions/x.npz", 7),
    ):
        file = tmp_path / "cache" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
    (tmp_path / "cache" / "features" / "aa" / "about.txt").write_text("features of vgg16 for ShowAndTell\n")
    old = time.time() - 10 * 86_400
    os.utime(tmp_path / "cache" / "features" / "bb" / "1.st", (old, old))
    return tmp_path / "cache"


def parts(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, int]]:
    capsys.readouterr()
    assert cli.main(["cache", "--format", "json"]) == 0
    return {one["name"]: (one["files"], one["bytes"]) for one in json.loads(capsys.readouterr().out)["parts"]}


def test_parts_are_listed_and_cleared(
    cache: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    assert parts(capsys) == {"features/aa": (2, 4000), "features/bb": (1, 5), "regions": (1, 7)}
    assert cli.main(["cache", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{cache}: 4 kB"
    today, before = (time.strftime("%Y-%m-%d", time.localtime(time.time() - days * 86_400)) for days in (0, 10))
    assert [" ".join(line.split()) for line in lines[1:]] == [
        f"features/aa 2 files 4 kB {today}, 0 days old", "features of vgg16 for ShowAndTell",
        f"features/bb 1 file 0 kB {before}, 10 days old", "written by an earlier version, which did not note of what",
        f"regions 1 file 0 kB {today}, 0 days old",
        "regions of images that selective search proposes",
    ]  # fmt: skip
    assert cli.main(["cache", "clear", "--older", "5"]) == 0
    assert capsys.readouterr().out == "cleared: 1 part, 0 kB\n"
    assert set(parts(capsys)) == {"features/aa", "regions"}
    assert complaint("cache", "clear", "region") == "unknown part of the cache 'region'; the nearest is 'regions'"
    assert complaint("cache", "list", "regions").startswith("names and --older are for foveate cache clear")
    assert cli.main(["cache", "clear", "regions"]) == 0
    assert set(parts(capsys)) == {"features/aa"}
    assert cli.main(["cache", "clear"]) == 0
    assert parts(capsys) == {} and cache.exists()


def test_no_cache_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "none"))
    assert parts(capsys) == {}
    assert [shown_size(n) for n in (0, 1536, 3 * 2**19, 2**30)] == ["0 kB", "2 kB", "1.5 MB", "1.0 GB"]
