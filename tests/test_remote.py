"""Inputs and results at URLs, on fsspec's memory file system and on paths written as URLs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate import remote
from foveate.cli import main
from foveate.cli.inputs import plan
from foveate.errors import ConfigError, DataError, OutputError
from foveate.records import ClassTable
from foveate.remote import RemoteFile, RemoteFolder, find_files, is_url
from foveate.store import save_model
from foveate.tasks import find_task

CLASSES = ClassTable(("sky", "grass", "cow"), ((10, 20, 30), (40, 50, 60), (70, 80, 90)))


@pytest.fixture(autouse=True)
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """The memory file system, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    folder = tmp_path_factory.mktemp("runs") / "first"
    save_model(folder / "model", model, "fcn32s", {"classes": CLASSES}, "semantic")
    return folder


@pytest.fixture
def put(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> Callable[..., Path]:
    """Writes a photo to a local file, and to a path of the memory file system."""

    def write(name: str, seed: int = 0) -> Path:
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
        memory.makedirs("/in", exist_ok=True)
        memory.put_file(str(path), f"/in/{name}")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [("s3://b/x.png", True), ("memory://x", True), ("file:///x", False), ("a/b.png", False), ("C:\\x", False),
     ("x://y", False), ("https://h/x.png", True)],
)  # fmt: skip
def test_a_url_is_told_from_a_path(text: str, expected: bool) -> None:
    assert is_url(text) is expected


def test_folders_and_globs_find_the_files_that_they_would_on_a_disk(memory: fsspec.AbstractFileSystem) -> None:
    for name in ("a.png", "deep/b.PNG", "deep/.hidden.png", "notes.txt", ".thumbs/c.png"):
        memory.pipe_file(f"/in/{name}", b"x")
    suffixes = frozenset({".png"})
    assert find_files("memory://in", suffixes, "pictures") == [
        (RemoteFile("memory:///in/a.png"), Path("a.png")), (RemoteFile("memory:///in/deep/b.PNG"), Path("deep/b.PNG")),
    ]  # fmt: skip
    assert find_files("memory://in/*/*.PNG", suffixes, "pictures") == [
        (RemoteFile("memory:///in/deep/b.PNG"), Path("deep/b.PNG"))
    ]
    assert find_files("memory://in/a.png", suffixes, "pictures") == [(RemoteFile("memory://in/a.png"), Path("a.png"))]
    with pytest.raises(DataError, match=r"no pictures at memory://in/\.thumbs/; expected files ending in .jpg"):
        find_files("memory://in/.thumbs/", frozenset({".jpg"}), "pictures")
    with pytest.raises(DataError, match=r"memory://nowhere/x.png: no such file"):
        RemoteFile("memory://nowhere/x.png").state()


def test_predictions_of_urls_are_those_of_files(
    run: Path, put: Callable[..., Path], tmp_path: Path, memory: fsspec.AbstractFileSystem,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    local = put("a.png").parent
    put("b.png", 1)
    assert main(["predict", str(run), str(local), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    memory.pipe_file("/in/broken.png", b"no picture")
    assert main(["predict", str(run), "memory://in", "--out", "memory://results/first", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "memory:///in/broken.png: not a picture in a known format" in said.err
    assert "foveate-" not in said.err + said.out  # no temporary folder
    assert said.out.rstrip().endswith("-> memory://results/first")
    expected = json.loads((tmp_path / "out" / "predictions.json").read_text())
    found = json.loads(memory.cat_file("/results/first/predictions.json"))
    assert [r["file"] for r in found["pictures"]] == ["memory:///in/a.png", "memory:///in/b.png"]
    assert [r["file"] for r in found["failed"]] == ["memory:///in/broken.png"]
    for mine, theirs in zip(found["pictures"], expected["pictures"], strict=True):
        assert mine["mask"] == theirs["mask"]
        assert memory.cat_file(f"/results/first/{mine['mask']}") == (tmp_path / "out" / theirs["mask"]).read_bytes()
    names = {f"/results/first/{r[key]}" for r in found["pictures"] for key in ("mask", "overlay")}
    assert set(memory.find("/results")) == names | {"/results/first/predictions.json"}


def test_other_results_at_a_url_are_left_as_they_are(
    run: Path, put: Callable[..., Path], memory: fsspec.AbstractFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    put("a.png")
    memory.pipe_file("/results/a.png", b"mine")
    assert main(["predict", str(run), "memory://in/a.png", "--out", "memory://results", "--device", "cpu"]) == 0
    assert memory.cat_file("/results/a.png") == b"mine"
    assert json.loads(memory.cat_file("/results/predictions.json"))["pictures"][0]["mask"] == "a_png.png"
    summary = json.loads(memory.cat_file("/results/predictions.json"))
    memory.pipe_file("/results/predictions.json", json.dumps(summary | {"seconds": 1e9}).encode())
    assert main(["predict", str(run), "memory://in/a.png", "--out", "memory://results", "--device", "cpu"]) == 0
    again = json.loads(memory.cat_file("/results/predictions.json"))
    assert again["seconds"] < 1e9 and again["pictures"][0]["mask"] == "a_png.png"  # the same names once more
    capsys.readouterr()
    put("b.png")
    assert main(["predict", str(run), "memory://in/b.png", "--out", "memory://results", "--device", "cpu"]) == 1
    assert capsys.readouterr().err == (
        "foveate: memory://results holds results of 1 other input (memory://in/a.png), which would be lost; choose "
        "another --out, or move them away\n"
    )


def test_a_file_url_is_a_path(run: Path, put: Callable[..., Path], tmp_path: Path) -> None:
    source = put("a.png")
    words = ["predict", str(run), source.as_uri(), "--out", (tmp_path / "out").as_uri(), "--device", "cpu"]
    assert main(words) == 0
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["pictures"][0]["file"] == str(source)


def test_python_takes_urls_too(run: Path, put: Callable[..., Path]) -> None:
    predictor = foveate.load(run, device="cpu")
    sources = [put("a.png"), put("b.png", 1)]
    expected = [predictor.predict(source).mask for source in sources]
    assert (predictor.predict(sources[0].as_uri()).mask == expected[0]).all()
    one = predictor.predict("memory://in/a.png")
    assert (one.mask == expected[0]).all() and one.name == "a.png"
    for given in ("memory://in", "memory://in/*.png", str(sources[0].parent), sources[0].parent.as_uri()):
        found = list(predictor.predict_many(given))
        assert [p.name for p in found] == ["a.png", "b.png"]
        assert all((p.mask == mask).all() for p, mask in zip(found, expected, strict=True))
        assert found[1].overlay(legend=False).size == (30, 20)  # it is opened again
    with pytest.raises(DataError, match=r"^memory://in/c.png: no such file or folder; check the URL$"):
        predictor.predict("memory://in/c.png")


def test_a_table_names_urls(put: Callable[..., Path], tmp_path: Path) -> None:
    put("a.png")
    (tmp_path / "t.csv").write_text("image,question\nmemory://in/a.png,is it red\n")
    (job,) = plan([str(tmp_path / "t.csv")], {}, tmp_path / "out", find_task("questions"))
    assert job.given == {"image": RemoteFile("memory://in/a.png"), "question": "is it red"}
    local = job.local()["image"]
    assert isinstance(local, Path) and local.read_bytes() == put("a.png").read_bytes()
    job.release()
    assert not local.exists()
    with pytest.raises(DataError, match=r"memory://t.csv: a table is read from a local file"):
        plan(["memory://t.csv"], {}, tmp_path / "out", find_task("questions"))


def test_a_missing_package_is_one_clear_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    assert main(["predict", str(run), "s3://bucket/photos", "--out", str(tmp_path / "out")]) == 1
    line = capsys.readouterr().err
    assert line.startswith("foveate: s3://bucket/photos: s3:// needs a package that is not installed: ")
    assert "s3fs" in line and line.count("\n") == 1
    with pytest.raises(ConfigError, match=r"nosuch://x: .*nosuch.*; expected a path, or a URL such as s3://"):
        find_files("nosuch://x", frozenset({".png"}), "pictures")


def test_a_host_that_there_is_not_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(url: str) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(remote, "_open", nowhere)
    told = r"^ftp://h/a\.png: cannot be read \(Name or service not known\); check the URL and the rights to read it$"
    with pytest.raises(DataError, match=told):
        find_files("ftp://h/a.png", frozenset({".png"}), "pictures")
    with pytest.raises(OutputError, match=r"^cannot write ftp://h/a \(Name or service not known\); check the URL"):
        RemoteFolder("ftp://h").write("x", "a")


def test_a_file_is_moved_into_place_where_a_copy_shows_before_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    (tmp_path / "x").write_text("whole")
    monkeypatch.setattr(remote, "_WHOLE", frozenset())
    seen: list[list[str]] = []
    move = type(memory).mv
    monkeypatch.setattr(type(memory), "mv", lambda self, a, b: (seen.append(self.find("/f")), move(self, a, b)))
    RemoteFolder("memory://f").put(tmp_path / "x", "y")
    assert seen == [["/f/y.unfinished"]]
    assert memory.cat_file("/f/y") == b"whole" and memory.find("/f") == ["/f/y"]


def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    run: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, memory: fsspec.AbstractFileSystem,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    put("a.png")

    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    assert main(["predict", str(run), "memory://in", "--out", "memory://results", "--device", "cpu"]) == 1
    assert (
        "cannot write memory://results/.foveate-parts/probe (PermissionError: AccessDenied)" in capsys.readouterr().err
    )
    with pytest.raises(OutputError, match="cannot write memory://f/y"):
        RemoteFolder("memory://f").write("x", "y")
