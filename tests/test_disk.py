"""Whole files or none. (`atomic_write` itself is tested where it has lived longest, in test_pictures.py.)"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foveate import disk
from foveate.disk import atomic_write, require_writable, sweep, write_atomically
from foveate.errors import OutputError


def test_text_bytes_and_views_are_written(tmp_path: Path) -> None:
    for content in ("gr\u00fcn", "gr\u00fcn".encode(), memoryview("gr\u00fcn".encode())):
        write_atomically(tmp_path / "new" / "a.txt", content)
        assert (tmp_path / "new" / "a.txt").read_bytes() == "gr\u00fcn".encode()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a.json", "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"cannot write .*a\.json: No space left on device; free some space or choose a"
    ):
        write_atomically(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_without_room_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.touch()
        with Path("/dev/full").open("w") as file:
            file.write("x" * 100)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [".", "", "/"])
def test_a_folder_without_a_name_is_no_file(path: str) -> None:
    with (
        pytest.raises(OutputError, match=r"^cannot write [./]: it is a folder; name a file in it$"),
        atomic_write(path),
    ):
        pass


def test_a_file_in_the_way_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write .*file/a/b\.txt: Not a directory"):
        write_atomically(tmp_path / "file" / "a" / "b.txt", "x")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*folder\.txt: Is a directory"):
        write_atomically(tmp_path / "folder.txt", "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.txt"]


def test_the_longest_name_can_be_written_and_a_longer_one_is_said(tmp_path: Path) -> None:
    name = "\u00fc" * 125 + "x.png"  # 255 bytes; that of the unfinished file is longer unless it is cut
    write_atomically(tmp_path / name, "x")
    assert [p.name for p in tmp_path.iterdir()] == [name]
    with pytest.raises(OutputError, match=r"File name too long; choose a shorter name \(255 bytes at most\)"):
        write_atomically(tmp_path / f"x{name}", "x")


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from foveate.disk import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    target = tmp_path / "run" / "model" / "a.safetensors"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    assert subprocess.run([sys.executable, "-c", code, str(target)]).returncode == -9
    assert len(list(target.parent.iterdir())) == 2
    others = [tmp_path / "run" / name for name in (".hidden", "unfinished.txt", "my.unfinished.txt")]
    for other in others:
        other.touch()
    sweep(tmp_path / "run")
    assert list(target.parent.iterdir()) == [target]
    assert target.read_text() == "old"
    assert all(other.exists() for other in others)
    sweep(tmp_path / "gone")  # nothing there is nothing to do


def test_a_place_is_tried_before_the_work_and_left_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "deeper" / "a.json")
    require_writable(tmp_path / "b.json")
    require_writable(tmp_path / "q" / "deeper" / ".." / "c.json")  # though q is not there
    require_writable(tmp_path / f"{'n' * 250}.json")
    with pytest.raises(OutputError, match="File name too long"):
        require_writable(tmp_path / "new" / ("n" * 300))
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.json").write_text("old")
    require_writable(tmp_path / "old.json")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
    with pytest.raises(OutputError, match=r"cannot write .*old\.json/a\.json: .*old\.json is not a folder; "):
        require_writable(tmp_path / "old.json" / "a.json")
    with pytest.raises(OutputError, match="is a folder; name a file in a folder"):
        require_writable(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe is not a regular file; name a file"):
        require_writable(tmp_path / "pipe")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.json", "pipe"]


def test_a_writer_within_another_names_the_file_that_was_meant(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=rf"cannot write {re.escape(str(tmp_path / 'a.b.png'))}: No space left"),
        disk.atomic_write(tmp_path / "a.b.png") as outer,
        disk.atomic_write(outer),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(disk.fcntl is None, reason="folders cannot be locked here")
def test_a_folder_is_locked_once_and_what_was_made_for_it_goes_again(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with disk.locked_folder(folder) as free:
        assert free and folder.is_dir()
        with disk.locked_folder(folder) as again:
            assert not again
        assert folder.is_dir()
    assert not (tmp_path / "a").exists()
    folder.parent.mkdir()
    with disk.locked_folder(folder):
        (folder / "x").touch()
    with disk.locked_folder(folder.parent) as free:
        assert free
    assert (folder / "x").is_file()
    with disk.locked_folder(folder / "x" / "y") as free:
        assert free, "the first file that is written says that there can be none"
