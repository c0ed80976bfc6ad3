"""Videos and pictures of other formats in a folder of inputs are said to be passed over."""

from __future__ import annotations

from pathlib import Path

from foveate.cli.videos import passed_over
from foveate.tasks import find_task


def test_folders_of_inputs(tmp_path: Path) -> None:
    for name in ("a.png", "film.mp4", "sub/phone.HEIC", "a_overlay.mp4", ".cache/b.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0")
    family = find_task("semantic")
    assert passed_over([str(tmp_path), str(tmp_path / "sub")], family) == (
        "2 files (film.mp4, sub/phone.HEIC) not predicted: videos are read where they are named, as FOLDER/*.mp4, and "
        "pictures of these formats have to be converted"
    )
    assert passed_over([str(tmp_path / "a.png"), str(tmp_path / "*.png"), "https://example.org/a.png"], family) == ""
    assert passed_over([str(tmp_path)], find_task("video")) == ""
