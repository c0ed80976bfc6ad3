from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from foveate.datasets import LAST, ORDER, candidates, recognise
from foveate.datasets.camvid import CLASSES, CamVid
from foveate.datasets.cityscapes import Cityscapes
from foveate.datasets.folders import Folders
from foveate.errors import DataError
from foveate.registry import entries


def put(folder: Path, stem: str = "a") -> None:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3), 1).save(folder / name / f"{stem}.png")


def test_plain_folders(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    assert recognise(tmp_path) == Folders(str(tmp_path))


def test_the_more_telling_layout_wins(tmp_path: Path) -> None:
    put(tmp_path / "train")
    put(tmp_path / "val")
    assert isinstance(recognise(tmp_path), Folders)
    (tmp_path / "classes.txt").write_text("\n".join([*CLASSES.names, "ignore: 11"]))
    assert isinstance(recognise(tmp_path), CamVid)
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name).mkdir()
    assert isinstance(recognise(tmp_path), Cityscapes)


def test_every_registered_format_is_asked_once_and_plain_folders_last() -> None:
    names = [entry.name for entry in candidates()]
    assert sorted(names) == sorted(entries("dataset"))
    assert names[-1] == LAST
    assert [n for n in names if n in ORDER] == [n for n in ORDER if n in names]


def test_missing_and_empty_folders_have_their_own_messages(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such folder; check the path"):
        recognise(tmp_path / "gone")
    with pytest.raises(DataError, match="the folder is empty; expected labelled data in it"):
        recognise(tmp_path)


def test_message_says_what_is_there_and_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(
        DataError, match=r"no known data format \(it holds notes\.md, sub/\); looked for Cityscapes: "
    ) as e:
        recognise(tmp_path)
    assert "DATA/{images,labels}" in str(e.value)
    assert "\n" not in str(e.value)


def test_pictures_alone_lack_labels(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="1 pictures without labels"):
        recognise(tmp_path)


def headless(folder: Path) -> None:
    (folder / "captions.txt").write_text("a.jpg,A cow.\n")
    (folder / "a.jpg").touch()


def lonely(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split / "square").mkdir(parents=True)
        (folder / split / "square" / "a.png").touch()


@pytest.mark.parametrize(
    ("write", "task", "name", "reason"),
    [
        (
            headless,
            "captioning",
            "caption table",
            "needs column names: captions.txt begins with 'a.jpg,A cow.', not with the names of its columns; write the "
            "line image,caption above the captions",
        ),
        (
            lonely,
            "classification",
            "class folders",
            "holds one class, 'square'; a classifier needs two or more, a folder each",
        ),
    ],
)
def test_a_near_miss_says_what_is_missing(
    tmp_path: Path, write: Callable[[Path], None], task: str, name: str, reason: str
) -> None:
    """For its own family it is the reason, without a family a hint, and for another family nothing."""
    write(tmp_path)
    with pytest.raises(DataError) as own:
        recognise(tmp_path, task)
    assert str(own.value) == f"{tmp_path}: {reason}"
    with pytest.raises(DataError, match="no known data format") as any_family:
        recognise(tmp_path)
    assert str(any_family.value).partition("; looked for Cityscapes, ")[0].endswith(f"; as {name} it {reason}")
    with pytest.raises(DataError, match="no known data format") as other:
        recognise(tmp_path, "semantic")
    assert reason not in str(other.value)
