"""Files and folders that a system or a tool wrote for itself are passed over by every reader."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from foveate.cli.inputs import plan
from foveate.datasets import recognise
from foveate.datasets.captions.table import CaptionTable
from foveate.datasets.class_folders import ClassFolders
from foveate.engine.inspection import inspect
from foveate.tasks import find_task

HIDDEN = (".ipynb_checkpoints", "__MACOSX", ".DS_Store_folder", "@eaDir")


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 3)).save(folder / name)


@pytest.mark.parametrize("divided", [True, False])
def test_class_folders(tmp_path: Path, divided: bool) -> None:
    roots = [tmp_path / split for split in ("train", "val")] if divided else [tmp_path]
    for root in roots:
        for name in ("_other", "circle", "square"):
            put(root / name, "0.png", "1.png")
            for hidden in HIDDEN:
                put(root / name / hidden, "0-checkpoint.png")
            (root / name / "._0.png").write_bytes(b"\0\5\x16\7")
            (root / name / "Thumbs.db").touch()
        for hidden in HIDDEN:
            put(root / hidden, "0.png")
            put(root / hidden / "circle", "0.png")
    for hidden in HIDDEN:
        put(tmp_path / hidden / "train" / "circle", "0.png")
    source = recognise(tmp_path)
    assert isinstance(source, ClassFolders)
    assert inspect(source).problems == []
    assert source.scan.classes.names == ("_other", "circle", "square")
    assert sum(map(len, source.scan.pairs.values())) == 6 * len(roots)


def test_an_underscored_folder_without_pictures_is_named(tmp_path: Path) -> None:
    for name in ("circle", "square"):
        put(tmp_path / name, "0.png", "1.png")
    (tmp_path / "_cache").mkdir()
    (problem,) = ClassFolders(str(tmp_path)).scan.problems
    assert str(problem) == f"{tmp_path / '_cache'}: a class folder without pictures; add some, or remove it"


def test_captions(tmp_path: Path) -> None:
    put(tmp_path / "photos", "a.jpg", "b.jpg")
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,A dog\nb.jpg,A cat\n")
    (tmp_path / "._captions.csv").write_bytes(b"\0\5\x16\7image,caption")
    (tmp_path / "photos/._a.jpg").write_bytes(b"\0\5\x16\7")
    for hidden in HIDDEN:
        put(tmp_path / hidden, "a.jpg")
        put(tmp_path / "photos" / hidden, "a.jpg", "b.jpg")
        (tmp_path / hidden / "captions.csv").write_text("image,caption\na.jpg,An older caption\n")
    source = recognise(tmp_path)
    assert isinstance(source, CaptionTable)
    assert source.describe().startswith("caption table (captions.csv): 1 train, 1 val pictures, 2 captions")
    assert (source.scan.problems, source.scan.without_captions) == ([], [])


def test_cityscapes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for city in ("ulm", *HIDDEN):
            for prefix in ("", "._"):
                put(tmp_path / "leftImg8bit" / split / city, f"{prefix}{city}_1_leftImg8bit.png")
                folder = tmp_path / "gtFine" / split / city
                folder.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 3)).save(folder / f"{prefix}{city}_1_gtFine_labelTrainIds.png")
    source = recognise(tmp_path)
    assert {split: len(source.open(split)) for split in source.splits()} == {"train": 1, "val": 1}


def test_labelme_xml(tmp_path: Path) -> None:
    put(tmp_path / "Images/users/me", "a.jpg", "b.jpg")
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((0, 0), (3, 0), (3, 2)))
    folder = tmp_path / "Annotations/users/me"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><folder>users/me</folder><object><name>cow</name>"
            f"<deleted>0</deleted><polygon>{points}</polygon></object></annotation>"
        )
    (folder / "._a.xml").write_bytes(b"\0\5\x16\7")
    for hidden in HIDDEN:
        shutil.copytree(folder, tmp_path / "Annotations" / hidden)
        put(tmp_path / "Images" / hidden, "c.jpg")
    assert inspect(recognise(tmp_path)).problems == []


def test_inputs_of_predict(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.jpg", "._a.jpg")
    for hidden in HIDDEN:
        put(tmp_path / "in" / hidden, "b.jpg")
    assert [job.name.name for job in plan([str(tmp_path / "in")], {}, tmp_path / "out", find_task("semantic"))] == ["a"]
