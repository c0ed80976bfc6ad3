"""Files that are meant and not read are said, and a folder of no known format is answered by what is in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mask_scenes import SIDE, disc, scene
from PIL import Image

from foveate.datasets import recognise
from foveate.errors import DataError


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def picture(path: Path, seed: int = 0) -> None:
    save(path, np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3)))


def masks(root: Path, count: int = 6) -> None:
    for i in range(count):
        picture(root / "images" / f"{i}.png", i)
        save(root / "labels" / f"{i}.png", scene(i))


class TestNotes:
    @pytest.mark.parametrize("name", ["codes.txt", "id2label.json", "classes.csv", "data.yaml", "label_map.json"])
    def test_class_lists_of_other_names(self, tmp_path: Path, name: str) -> None:
        masks(tmp_path)
        (tmp_path / name).write_text("steel\nrust\nrivet\n")
        (note,) = [note for note in recognise(tmp_path).notes() if name in note]
        assert note == (
            f"1 file ({name}) not read; if meant to name the classes, write classes.txt, one name a line in the order "
            "of the label values"
        )
        (tmp_path / "classes.txt").write_text("steel\nrust\nrivet\n")
        assert not any(name in note for note in recognise(tmp_path).notes())

    def test_names_in_the_files_beside_rasters(self, tmp_path: Path) -> None:
        masks(tmp_path)
        band = '<PAMRasterBand band="1"><CategoryNames><Category>a &amp; b</Category><Category>rust</Category>'
        (tmp_path / "labels/0.png.aux.xml").write_text(
            f"<PAMDataset>{band}</CategoryNames></PAMRasterBand></PAMDataset>"
        )
        expected = (
            "0.png.aux.xml names the values from 0 ('a & b', 'rust'), which is not read; write classes.txt with these "
            "names, one a line"
        )
        assert expected in recognise(tmp_path).notes()
        (tmp_path / "classes.txt").write_text("steel\nrust\nrivet\n")
        assert expected not in recognise(tmp_path).notes()

    @pytest.mark.parametrize("name", ["split.csv", "folds.json", "train.csv", "train_ids.tsv", "val-list.xlsx"])
    def test_tables_of_splits(self, tmp_path: Path, name: str) -> None:
        masks(tmp_path)
        (tmp_path / name).write_text("image,split\n0.png,train\n")
        (note,) = [note for note in recognise(tmp_path).notes() if name in note]
        assert note.startswith(
            f"1 file ({name}) not read; if meant to divide the pictures, write train.txt and val.txt"
        )
        (tmp_path / "train.txt").write_text("0\n1\n2\n")
        (tmp_path / "val.txt").write_text("3\n4\n5\n")
        assert not any(name in note for note in recognise(tmp_path).notes())

    @pytest.mark.parametrize("name", ["readme.txt", "training.log", "metadata.csv", "recipe.json", "strainer.json"])
    def test_other_files(self, tmp_path: Path, name: str) -> None:
        masks(tmp_path)
        (tmp_path / name).write_text("steel\nrust\n")
        assert not any(name in note for note in recognise(tmp_path).notes())

    def test_videos_and_pictures_of_other_formats(self, tmp_path: Path) -> None:
        masks(tmp_path)
        for name in ("film.MP4", "phone.heic", ".hidden.mov"):
            (tmp_path / "images" / name).write_bytes(b"\0")
        (note,) = [note for note in recognise(tmp_path).notes() if "film" in note]
        assert note.startswith("2 files (film.MP4, phone.heic) beside the pictures not read; convert videos to frames")

    def test_a_problem_is_no_note_as_well(self, tmp_path: Path) -> None:
        for name in ("cat", "dog"):
            picture(tmp_path / name / "0.png")
            picture(tmp_path / name / "1.png", 1)
        (tmp_path / "cat" / "film.mp4").write_bytes(b"\0")
        source = recognise(tmp_path)
        assert [problem.file.name for problem in source.problems()] == ["film.mp4"]
        assert not any("film" in note for note in source.notes())


class TestClassFolders:
    def folders(self, root: Path) -> None:
        for k, name in enumerate(("cat", "dog")):
            for i in range(6):
                picture(root / name / f"{i}.png", 10 * k + i)

    def test_lists_divide_them(self, tmp_path: Path) -> None:
        self.folders(tmp_path)
        for split, numbers in (("train", range(4)), ("val", (4, 5))):
            lines = [f"{name}/{i}.png {k}" for k, name in enumerate(("cat", "dog")) for i in numbers]
            (tmp_path / f"{split}.txt").write_text("\n".join(lines))
        source = recognise(tmp_path)
        found = {
            split: {source.open(split).name(i) for i in range(len(source.open(split)))} for split in source.splits()
        }
        assert found["val"] == {"cat/4.png", "cat/5.png", "dog/4.png", "dog/5.png"}
        assert len(found["train"]) == 8
        assert "drawn" not in source.describe()

    def test_lists_that_leave_out(self, tmp_path: Path) -> None:
        self.folders(tmp_path)
        (tmp_path / "train.txt").write_text("cat/0.png\ncat/1.png\ndog/0.png\ndog/1.png\ncow/9.png\n")
        source = recognise(tmp_path)
        assert [str(p) for p in source.problems()] == [
            f"{tmp_path / 'train.txt'}: names '9', but there is no labelled picture of that name"
        ]
        assert "8 pictures in no list and left out (cat/2.png, cat/3.png, cat/4.png, ...)" in source.notes()

    def test_lists_of_other_things(self, tmp_path: Path) -> None:
        self.folders(tmp_path)
        (tmp_path / "train.txt").write_text("epoch 1: loss 0.3\n")
        source = recognise(tmp_path)
        assert "train.txt is not read, since it names none of the pictures" in source.notes()
        assert "split drawn from seed 0" in source.describe()

    def test_masks_of_other_names(self, tmp_path: Path) -> None:
        """STARE's im0001.ppm and im0001.ah.ppm, and Potsdam's _RGB and _label."""
        for i in range(5):
            picture(tmp_path / "2_Ortho_RGB" / f"top_{i}_RGB.png", i)
            save(tmp_path / "5_Labels_all" / f"top_{i}_label_all.png", 255 * disc(i))
        (note,) = [note for note in recognise(tmp_path).notes() if "as masks do" in note]
        assert note.startswith(
            "2_Ortho_RGB/ and 5_Labels_all/ hold pictures of the same number and sizes, and those of 5_"
        )
        picture(tmp_path / "2_Ortho_RGB" / "another.png")
        assert not any("as masks do" in note for note in recognise(tmp_path).notes())


class TestNearest:
    def answer(self, root: Path, task: str = "") -> str:
        with pytest.raises(DataError) as error:
            recognise(root, task)
        return str(error.value)

    def test_classes_too_deep(self, tmp_path: Path) -> None:
        for name in ("cat", "dog"):
            for year in (2019, 2020):
                picture(tmp_path / name / str(year) / "0.png")
        assert "if cat and dog are classes, move their pictures into cat/ and dog/" in self.answer(tmp_path)

    def test_a_table_of_classes(self, tmp_path: Path) -> None:
        picture(tmp_path / "images" / "0.png")
        (tmp_path / "labels.csv").write_text("image,label\n0.png,cat\n")
        answer = self.answer(tmp_path)
        assert "as class folders it has labels.csv, in which each picture has a class" in answer
        assert "as video table" not in answer and "as parallel text" not in answer

    @pytest.mark.parametrize(
        ("name", "table"),
        [("metadata.csv", "file_name,label\n0.png,cat\n"), ("_classes.csv", "filename, cat, dog\n0.png, 1, 0\n")],
    )
    def test_a_table_of_classes_in_each_split(self, tmp_path: Path, name: str, table: str) -> None:
        for split in ("train", "valid"):
            picture(tmp_path / split / "0.png")
            (tmp_path / split / name).write_text(table)
        answer = self.answer(tmp_path, "classification")
        assert (
            f"has train/{name}, in which each picture has a class, and which is not read; sort the pictures" in answer
        )

    @pytest.mark.parametrize(
        ("name", "content", "answer"),
        [
            ("ann/0.png.json", '{"objects": [{"classTitle": "rust"}]}', "is Supervisely's JSON; export it there as"),
            ("project.json", '[{"result": [{"value": {"brushlabels": ["rust"]}}]}]', "is Label Studio's own JSON"),
            (
                "project.json",
                '[{"result": [{"value": {"format": "rle", "rle": [%s], "brushlabels": ["rust"]}}]}]' % ("0, " * 40000),
                "is Label Studio's own JSON of brush strokes in its short form (JSON-MIN), without annotations, or in",
            ),
            ("a.xml", "<annotations><track id='0'/></annotations>", "is CVAT's XML of tracks"),
            (
                "panoptic_val2017.json",
                '{"images": [], "annotations": [{"segments_info": []}]}',
                "is COCO's panoptic JSON",
            ),
            ("train.csv", "ImageId,EncodedPixels\n0.png,1 5\n", "is a table of run lengths, as Kaggle has them"),
            ("via.csv", "filename,region_shape_attributes\n0.png,{}\n", "is a project of VGG's annotator (VIA)"),
            ("min.json", '[{"image": "0.png", "label": [{"polygonlabels": ["a"]}]}]', "in its short form (JSON-MIN)"),
            ("a.xml", "<annotation><object><bndbox></bndbox></object></annotation>", "is Pascal VOC's XML of boxes"),
        ],
    )
    def test_labels_of_tools(self, tmp_path: Path, name: str, content: str, answer: str) -> None:
        picture(tmp_path / "ds" / "img" / "0.png")
        path = tmp_path / "ds" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        assert answer in self.answer(tmp_path)

    @pytest.mark.parametrize(
        "content",
        [{"0.png": "a cow"}, {"0.png": ["a cow", "cows"]}, [{"image": "0.png", "caption": "a cow"}]],
        ids=["text", "texts", "entries"],
    )
    def test_captions_in_json(self, tmp_path: Path, content: object) -> None:
        picture(tmp_path / "images" / "0.png")
        (tmp_path / "captions.json").write_text(json.dumps(content))
        assert "captions in JSON of a form that is not read; write captions.jsonl" in self.answer(tmp_path)

    def test_a_text_beside_each_picture(self, tmp_path: Path) -> None:
        for i in range(3):
            picture(tmp_path / f"{i}.png")
            (tmp_path / f"{i}.txt").write_text("a cow")
        answer = self.answer(tmp_path)
        assert "as caption table it needs a table of captions: a text beside each picture (0.txt, ...)" in answer
        assert "language" not in answer
