"""Class lists of other tools, and the names of published corpora, in whole data sets that are written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveate.datasets import recognise
from foveate.datasets.class_files import find_classes, read_cvat, read_names, read_roboflow
from foveate.datasets.classes import ClassList
from foveate.datasets.voc import NAMES, voc_color
from foveate.engine.inspection import inspect
from foveate.errors import ConfigError, DataError
from foveate.records import ClassTable
from foveate.tasks.classes import require_same_classes

SIDE = 16
CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nrust:250,50,83::\nrivet:52,209,183::\n"
COLORS = ((0, 0, 0), (250, 50, 83), (52, 209, 183))


def label(seed: int) -> np.ndarray:
    """(SIDE, SIDE) 0, 1 and 2: 208, 32 and 16 pixels."""
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[1:5, 2:10] = 1
    values[8:12, seed % 8 : seed % 8 + 4] = 2
    return values


def save(path: Path, image: np.ndarray, palette: tuple[tuple[int, int, int], ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = Image.fromarray(image)
    if palette:
        drawn.putpalette([value for color in palette for value in color])
    drawn.save(path)


def picture(path: Path) -> None:
    save(path, np.full((SIDE, SIDE, 3), 90, np.uint8))


def voc_tree(root: Path, values=label, colors=None, palette=(), stem: str = "frame_{:03}", count: int = 10) -> Path:
    """A tree as annotation tools write it; colors: of RGB masks."""
    for i in range(count):
        name = stem.format(i)
        picture(root / "JPEGImages" / f"{name}.png")
        mask = values(i)
        save(root / "SegmentationClass" / f"{name}.png", np.array(colors, np.uint8)[mask] if colors else mask, palette)
    return root


def test_colours_of_other_tools(tmp_path: Path) -> None:
    """CVAT's label_colors.txt and Kaggle's class_dict.csv: names by colour, whatever the order of the lines."""
    colors = ((9, 9, 9), (0, 0, 200), (200, 0, 0))  # in another order than their numbers
    lines = {
        "label_colors.txt": "9 9 9 back ground\n0 0 200 rust\n200 0 0 rivet\n",
        "class_dict.csv": "name,r,g,b\nback ground,9,9,9\nrust,0,0,200\nrivet,200,0,0\n",
    }
    for file, text in lines.items():
        root = tmp_path / file.partition(".")[0]
        for i in range(4):
            picture(root / "images" / f"{i}.png")
            save(root / "masks" / f"{i}.png", np.array(colors, np.uint8)[label(i)])
        (root / file).write_text(text)
        source = recognise(root)
        assert f"names of {file}" in source.describe()
        train = source.open("train")
        assert train.classes.names == ("back ground", "rust", "rivet")
        number = int(Path(train.name(0)).stem)
        assert (train[0]["mask"].numpy() == label(number)).all()


def test_colours_say_nothing_of_masks_without_colours(tmp_path: Path) -> None:
    """The order of such a list is no order of labels."""
    for i in range(4):
        picture(tmp_path / "images" / f"{i}.png")
        save(tmp_path / "masks" / f"{i}.png", label(i))
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nzinc,1,1,1\nrust,2,2,2\nsteel,3,3,3\n")
    source = recognise(tmp_path)
    assert source.open("train").classes.names == ("class_0", "class_1", "class_2")
    assert any(note.startswith("class_dict.csv gives the classes of colours") for note in source.notes())


def test_numbers_and_capitals(tmp_path: Path) -> None:
    """Numbers in a labels.txt are label values, as in classes.txt; a Classes.txt is found."""
    (tmp_path / "labels.txt").write_text("1 rust\n2 rivet\n0 steel\n")
    assert find_classes(tmp_path) == ClassList(("steel", "rust", "rivet"))
    (tmp_path / "Classes.TXT").write_text("a\nb\n")
    assert find_classes(tmp_path) == ClassList(("a", "b"))


def split_tree(root: Path, values=label, images: str = "{}/images", labels: str = "{}/labels") -> Path:
    for split, numbers in (("train", range(8)), ("val", range(8, 12))):
        for i in numbers:
            picture(root / images.format(split) / f"{i:03}.png")
            save(root / labels.format(split) / f"{i:03}.png", values(i))
    return root


def segnet_tree(root: Path, values=label) -> Path:
    return split_tree(root, values, "{}", "{}annot")


def names(root: Path) -> tuple[str, ...]:
    return recognise(root).open("train", "semantic").classes.names


def shares(root: Path) -> dict[str, float]:
    found = inspect(recognise(root), "semantic")
    assert found.problems == []
    return {name: round(share, 4) for name, share in found.shares().items()}


SHARES = (0.8125, 0.125, 0.0625)


class TestCVAT:
    @pytest.mark.parametrize("colors", [COLORS, ((0, 0, 0), (128, 0, 0), (0, 128, 0))])
    def test_names_and_colours_of_its_labelmap(self, tmp_path: Path, colors: tuple) -> None:
        voc_tree(tmp_path, colors=colors)
        lines = [f"{n}:{','.join(map(str, c))}::" for n, c in zip(("background", "rust", "rivet"), colors, strict=True)]
        (tmp_path / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]))
        assert shares(tmp_path) == dict(zip(("background", "rust", "rivet"), SHARES, strict=True))
        assert recognise(tmp_path).open("train").classes.colors == colors
        assert "3 classes (RGB colours, names of labelmap.txt)" in recognise(tmp_path).describe()

    def test_the_order_of_the_file_is_that_of_the_labels(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, colors=COLORS)
        (tmp_path / "labelmap.txt").write_text("rivet:52,209,183::\nbackground:0,0,0::\nrust:250,50,83::\n")
        assert shares(tmp_path) == {"rivet": 0.0625, "background": 0.8125, "rust": 0.125}

    def test_lines(self, tmp_path: Path) -> None:
        file = tmp_path / "labelmap.txt"
        file.write_text("background:0,0,0::\nstop sign:1,2,3:pole,plate:moving\nignored:224,224,192::\n")
        assert read_cvat(file) == ClassList(
            ("background", "stop sign"), ((0, 0, 0), (1, 2, 3)), ignore_colors=((224, 224, 192),)
        )
        file.write_text("background:::\nrust:::\n")
        assert read_cvat(file) == ClassList(("background", "rust"))
        file.write_text("item { id: 1 name: 'rust' }\n")  # another tool's
        assert read_cvat(file) is None
        file.write_text("background:0,0,0::\nrust 1,2,3\n")
        with pytest.raises(
            DataError, match=r"labelmap\.txt, line 2: 'rust 1,2,3'; expected 'name:r,g,b:parts:actions'"
        ):
            read_cvat(file)
        file.write_text("background:0,0,300::\n")
        with pytest.raises(DataError, match=r"labelmap\.txt, line 1: "):
            read_cvat(file)

    def test_unlisted_colour_names_the_file(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, colors=COLORS)
        (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nrust:250,50,83::\n")
        with pytest.raises(
            DataError, match=r"colour #34d1b7 is no class's; .* add it to labelmap\.txt, with a name \(s"
        ):
            recognise(tmp_path).open("train")


class TestLabelMe2VOC:
    def test_class_names(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, palette=tuple(map(voc_color, range(256))))
        (tmp_path / "class_names.txt").write_text("_background_\nrust\nrivet\n")
        assert shares(tmp_path) == dict(zip(("_background_", "rust", "rivet"), SHARES, strict=True))
        assert "names of class_names.txt" in recognise(tmp_path).describe()

    @pytest.mark.parametrize("place", [".", "..", "SegmentationClass"])
    def test_labels_txt_in_the_folder_one_level_up_or_down(self, tmp_path: Path, place: str) -> None:
        root = voc_tree(tmp_path / "data_dataset_voc", palette=tuple(map(voc_color, range(256))))
        (root / place / "labels.txt").write_text("__ignore__\n_background_\nrust\nrivet\n")
        assert names(root) == ("_background_", "rust", "rivet")

    def test_another_labels_txt_is_no_class_list(self, tmp_path: Path) -> None:
        root = split_tree(tmp_path / "data")
        (tmp_path / "labels.txt").write_text("cat\ndog\n")  # above: nothing says that it is LabelMe's
        (root / "labels.txt").write_text("train/images/000.png train/labels/000.png\n")
        assert names(root) == ("class_0", "class_1", "class_2")
        (root / "labels.txt").write_text("1\n0\n1\n")
        assert find_classes(root) is None

    def test_lists_of_names(self, tmp_path: Path) -> None:
        (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nrust\n")
        assert read_names(tmp_path / "class_names.txt") == ClassList(("_background_", "rust"))
        (tmp_path / "class_names.txt").write_text("rust\nrust\n")
        with pytest.raises(DataError, match=r"class_names\.txt: class names must differ; repeated: rust"):
            read_names(tmp_path / "class_names.txt")


class TestRoboflow:
    CSV = "Pixel Value, Class\n0, background\n1, rust\n2, rivet\n"

    def test_classes_csv_in_each_split(self, tmp_path: Path) -> None:
        split_tree(tmp_path)
        for split in ("train", "val"):
            (tmp_path / split / "_classes.csv").write_text(self.CSV)
        assert shares(tmp_path) == dict(zip(("background", "rust", "rivet"), SHARES, strict=True))
        (tmp_path / "val" / "_classes.csv").write_text(self.CSV.replace("rivet", "nut"))
        with pytest.raises(
            DataError, match=r"the files _classes\.csv in its folders differ; write one classes\.txt in"
        ):
            names(tmp_path)

    def test_values_with_gaps(self, tmp_path: Path) -> None:
        split_tree(tmp_path, lambda i: np.array([0, 3, 7], np.uint8)[label(i)])
        (tmp_path / "_classes.csv").write_text("Pixel Value,Class\n7,rivet\n0,background\n3,rust\n")
        assert shares(tmp_path) == dict(zip(("background", "rust", "rivet"), SHARES, strict=True))

    def test_tables_of_other_things(self, tmp_path: Path) -> None:
        file = tmp_path / "_classes.csv"
        file.write_text("filename, cat, dog\na.jpg, 1, 0\n")
        assert read_roboflow(file) is None
        file.write_text("Pixel Value, Class\n0, a\n0, b\n")
        with pytest.raises(DataError, match=r"_classes\.csv: row '0, b'; expected a pixel value, once, and the name"):
            read_roboflow(file)


class TestOrder:
    def test_classes_txt_wins(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, palette=tuple(map(voc_color, range(256))))
        (tmp_path / "labelmap.txt").write_text(CVAT)
        (tmp_path / "class_names.txt").write_text("a\nb\nc\n")
        (tmp_path / "classes.txt").write_text("steel\niron\ncopper\n")
        assert names(tmp_path) == ("steel", "iron", "copper")
        assert "(palette PNG)" in recognise(tmp_path).describe()

    def test_a_list_above(self, tmp_path: Path) -> None:
        root = split_tree(tmp_path / "data")
        (tmp_path / "classes.txt").write_text("steel\niron\ncopper\n")
        assert names(root) == ("steel", "iron", "copper")
        assert "(index PNG, names of ../classes.txt)" in recognise(root).describe()


class TestOwnNames:
    """Names of a published corpus are used only where the labels are that corpus's."""

    def test_0_and_255_in_a_voc_tree_are_two_classes(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, lambda i: (label(i) == 1).astype(np.uint8) * 255)
        assert shares(tmp_path) == {"background": 0.875, "foreground": 0.125}
        assert "binary index PNG of 0 and 255: 255 is class 'foreground'" in recognise(tmp_path).describe()

    def test_0_and_255_in_a_voc_tree_with_a_palette(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, lambda i: (label(i) == 1).astype(np.uint8) * 255, palette=tuple(map(voc_color, range(256))))
        (tmp_path / "classes.txt").write_text("rust\n")
        assert shares(tmp_path) == {"background": 0.875, "rust": 0.125}

    def test_an_index_without_a_palette_says_nothing(self, tmp_path: Path) -> None:
        assert names(voc_tree(tmp_path)) == ("class_0", "class_1", "class_2")
        assert "no classes.txt, so classes are named after the label values" in recognise(tmp_path).describe()

    def test_colours_that_are_not_vocs(self, tmp_path: Path) -> None:
        assert names(voc_tree(tmp_path / "palette", palette=COLORS)) == ("class_0", "class_1", "class_2")
        assert names(voc_tree(tmp_path / "rgb", colors=COLORS)) == ("class_0", "class_1", "class_2")

    @pytest.mark.parametrize("form", ["palette", "rgb"])
    def test_vocs_colours_give_vocs_names_and_it_is_said(self, tmp_path: Path, form: str) -> None:
        colors = tuple(map(voc_color, range(256)))
        voc_tree(tmp_path, **({"palette": colors} if form == "palette" else {"colors": colors}))
        assert names(tmp_path) == NAMES
        if form == "palette":
            assert "palette PNG, Pascal VOC's colours and so its names" in recognise(tmp_path).describe()

    def test_vocs_file_names_do_too(self, tmp_path: Path) -> None:
        voc_tree(tmp_path, stem="2007_{:06}")
        assert names(tmp_path) == NAMES
        assert "21 classes (index PNG), ignore 255" in recognise(tmp_path).describe()

    def test_values_beyond_vocs(self, tmp_path: Path) -> None:
        colors = tuple(map(voc_color, range(256)))
        voc_tree(tmp_path, lambda i: np.array([0, 20, 33], np.uint8)[label(i)], palette=colors)
        assert names(tmp_path) == ("class_0", "class_20", "class_33")

    def test_segnets_layout_around_other_classes(self, tmp_path: Path) -> None:
        root = segnet_tree(tmp_path)
        assert names(root) == ("class_0", "class_1", "class_2")
        assert (
            recognise(root)
            .describe()
            .startswith("Folders in CamVid's SegNet layout: 8 train, 4 val pictures, 3 classes")
        )
        (root / "classes.txt").write_text("steel\nrust\nrivet\n")
        assert shares(root) == dict(zip(("steel", "rust", "rivet"), SHARES, strict=True))

    def test_0_and_255_in_segnets_layout(self, tmp_path: Path) -> None:
        root = segnet_tree(tmp_path, lambda i: (label(i) == 1).astype(np.uint8) * 255)
        assert shares(root) == {"background": 0.875, "foreground": 0.125}

    def test_camvids_values_among_them_void(self, tmp_path: Path) -> None:
        root = segnet_tree(tmp_path, lambda i: (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 12).astype(np.uint8))
        assert names(root)[:2] == ("sky", "building")
        assert "CamVid's values and so its names), ignore 11" in recognise(root).describe()


class TestGuessedNames:
    RGB = (((0, 0, 0), (255, 0, 0), (0, 255, 0)), ((0, 0, 0), (255, 0, 0), (0, 0, 255)))

    def table(self, root: Path, colors: tuple) -> ClassTable:
        split_tree(root, lambda i: np.array(colors, np.uint8)[label(i)])
        return recognise(root).open("val").classes

    def test_are_compared_by_colour(self, tmp_path: Path) -> None:
        first, second = (self.table(tmp_path / str(i), colors) for i, colors in enumerate(self.RGB))
        assert first.names == second.names == ("class_0", "class_1", "class_2")
        require_same_classes(first, self.table(tmp_path / "again", self.RGB[0]), "runs/a")
        with pytest.raises(
            ConfigError, match=r"runs/a was trained on .* guessed .*'class_1' is #00ff00 .* and #0000ff in"
        ):
            require_same_classes(first, second, "runs/a")

    def test_names_that_were_given_are_not(self) -> None:
        require_same_classes(ClassTable(("a", "b"), self.RGB[0][:2]), ClassTable(("a", "b"), self.RGB[1][1:]), "runs/a")

    def test_the_pair_of_an_earlier_version_is_todays(self) -> None:
        today, before = ClassTable(("background", "foreground")), ClassTable(("class_0", "class_1"))
        require_same_classes(before, today, "runs/a")
        assert today.earlier == before and before.earlier == before
        assert ClassTable(("background", "rust")).earlier.names == ("background", "rust")
        with pytest.raises(ConfigError, match="first difference: class_0"):
            require_same_classes(today, before, "runs/a")  # no data is named so today
        with pytest.raises(ConfigError, match="first difference: background"):
            require_same_classes(ClassTable(before.names, ((255, 0, 0), (255, 255, 255))), today, "runs/a")

    def test_colours_that_were_made_up_say_nothing(self) -> None:
        table = ClassTable(("class_0", "class_1"))
        require_same_classes(table, ClassTable(table.names, self.RGB[0][:2]), "runs/a")
        assert not table.has_own_colors and table.is_guessed


def test_values_without_a_label_are_refused_before_training(tmp_path: Path) -> None:
    split_tree(tmp_path, lambda i: np.where((i == 9) & (label(i) == 2), 9, label(i)).astype(np.uint8))
    (tmp_path / "classes.txt").write_text("steel\nrust\nrivet\n")
    with pytest.raises(DataError, match=r"val.labels.009\.png: label value 9 outside the class table of 3 classes"):
        recognise(tmp_path).open("train")
    found = inspect(recognise(tmp_path))
    assert [(problem.file.name, found.counts["val"]) for problem in found.problems] == [("009.png", 3)]
