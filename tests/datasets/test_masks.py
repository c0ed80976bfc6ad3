from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from foveate import pictures
from foveate.datasets.classes import ClassList, read_classes
from foveate.datasets.files import Pair
from foveate.datasets.masks import MaskReader, recognise_masks
from foveate.errors import DataError

RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
NAMES = ClassList(("sky", "road", "cow"))
COLORED = ClassList(("sky", "road"), (RED, GREEN), None, (BLACK,))


def grey(path: Path, rows: list[list[int]], kind: type = np.uint8) -> Path:
    Image.fromarray(np.array(rows, kind)).save(path)
    return path


def palette(path: Path, rows: list[list[int]]) -> Path:
    image = Image.fromarray(np.array(rows, np.uint8), "P")
    image.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    image.save(path)
    return path


def colours(path: Path, rows: list[list[tuple[int, int, int]]]) -> Path:
    Image.fromarray(np.array(rows, np.uint8)).save(path)
    return path


def labels(reader: MaskReader, path: Path) -> list[list[int]]:
    return reader(Pair(path.with_suffix(".jpg"), path), 0, 0).tolist()


class TestIndices:
    def test_index_png(self, tmp_path: Path) -> None:
        path = grey(tmp_path / "a.png", [[0, 1], [2, 255]])
        reader = recognise_masks([path], NAMES)
        assert (reader.kind, reader.remark) == ("index", "index PNG")
        assert reader.classes.ignore_index == 255
        assert labels(reader, path) == [[0, 1], [2, 255]]

    def test_palette_png_gives_indices_and_names_its_kind(self, tmp_path: Path) -> None:
        path = palette(tmp_path / "a.png", [[0, 2], [255, 1]])
        reader = recognise_masks([path], NAMES)
        assert (reader.kind, reader.remark) == ("palette", "palette PNG")
        assert labels(reader, path) == [[0, 2], [255, 1]]

    def test_16_bit_index(self, tmp_path: Path) -> None:
        path = grey(tmp_path / "a.png", [[0, 299], [65535, 1]], np.uint16)
        reader = recognise_masks([path], ClassList(tuple(f"c{i}" for i in range(300))))
        assert labels(reader, path) == [[0, 299], [65535, 1]]
        assert reader.classes.ignore_index == 65535

    def test_grey_saved_as_colour_is_an_index(self, tmp_path: Path) -> None:
        path = colours(tmp_path / "a.png", [[(1, 1, 1), (2, 2, 2)]])
        assert labels(recognise_masks([path], NAMES), path) == [[1, 2]]

    def test_16_bit_grey_saved_as_colour(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(imagecodecs.png_encode(np.full((2, 2, 3), 2, np.uint16)))
        assert labels(recognise_masks([path], NAMES), path) == [[2, 2], [2, 2]]

    def test_a_file_is_decoded_once_for_the_decision(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = [grey(tmp_path / f"{i}.png", [[0, 1 + i % 2]]) for i in range(5)]
        decoded = []

        def read_raw(path: Path) -> pictures.RawPicture:
            decoded.append(path)
            return original(path)

        original = pictures.read_raw
        monkeypatch.setattr(pictures, "read_raw", read_raw)
        for _ in range(2):  # a second source of the same files decodes none
            assert recognise_masks(files, NAMES).kind == "index"
        assert decoded == files
        labels(recognise_masks(files, NAMES), files[0])
        assert decoded == [*files, files[0]]

    def test_a_changed_file_is_decoded_again(self, tmp_path: Path) -> None:
        path = grey(tmp_path / "a.png", [[0, 1]])
        assert len(recognise_masks([path], None).classes) == 2
        grey(path, [[0, 1, 2, 3]])
        assert len(recognise_masks([path], None).classes) == 4

    def test_tiff_masks_are_called_so(self, tmp_path: Path) -> None:
        assert recognise_masks([grey(tmp_path / "a.tif", [[1]])], NAMES).remark == "index TIFF"


class TestGuessedClasses:
    def test_from_values_of_all_masks_but_255(self, tmp_path: Path) -> None:
        files = [grey(tmp_path / "a.png", [[0, 1]]), grey(tmp_path / "b.png", [[3, 255]])]
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_0", "class_1", "class_2", "class_3")
        assert reader.classes.ignore_index == 255
        assert reader.remark == "index PNG; no classes.txt, so classes are named after the label values"

    def test_palette_colours_become_class_colours(self, tmp_path: Path) -> None:
        reader = recognise_masks([palette(tmp_path / "a.png", [[0, 2]])], None)
        assert reader.classes.colors == ((0, 255, 7), (1, 254, 7), (2, 253, 7))

    def test_from_colours(self, tmp_path: Path) -> None:
        files = [colours(tmp_path / "a.png", [[RED, GREEN]]), colours(tmp_path / "b.png", [[BLACK, BLACK]])]
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_0", "class_1", "class_2")
        assert reader.classes.colors == (BLACK, GREEN, RED)
        assert labels(reader, files[0]) == [[2, 1]]
        assert labels(reader, files[1]) == [[0, 0]]

    def test_object_numbers_are_no_classes(self, tmp_path: Path) -> None:
        files = [grey(tmp_path / "a.png", [[1]], np.uint16), grey(tmp_path / "b.png", [[375]], np.uint16)]
        with pytest.raises(DataError, match=r"b\.png: label values run to 375, .*object numbers.*write classes\.txt"):
            recognise_masks(files, None)

    def test_photographs_are_no_masks(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "a.png")
        with pytest.raises(DataError, match=r"a\.png: more than 256 colours in the masks"):
            recognise_masks([tmp_path / "a.png"], None)


class TestBinary:
    @pytest.mark.parametrize("write", [grey, palette])
    def test_255_is_class_1_and_it_is_said(self, tmp_path: Path, write) -> None:
        path = write(tmp_path / "a.png", [[0, 255], [255, 0]])
        reader = recognise_masks([path], None)
        assert reader.kind == "binary"
        assert reader.classes.names == ("background", "foreground")
        assert labels(reader, path) == [[0, 1], [1, 0]]
        assert "of 0 and 255: 255 is class 'foreground'" in reader.remark

    def test_saved_as_colour(self, tmp_path: Path) -> None:
        path = colours(tmp_path / "a.png", [[(0, 0, 0), (255, 255, 255)]])
        assert labels(recognise_masks([path], None), path) == [[0, 1]]

    def test_two_names_of_the_class_list(self, tmp_path: Path) -> None:
        path = grey(tmp_path / "a.png", [[0, 255]])
        assert recognise_masks([path], ClassList(("soil", "root"))).classes.names == ("soil", "root")
        assert recognise_masks([path], ClassList(("root",))).classes.names == ("background", "root")

    def test_even_where_the_list_ignores_255(self, tmp_path: Path) -> None:
        path = grey(tmp_path / "a.png", [[0, 255]])
        reader = recognise_masks([path], ClassList(("soil", "root"), (), 255))
        assert labels(reader, path) == [[0, 1]]
        assert "although classes.txt says 'ignore: 255'" in reader.remark

    def test_more_names_do_not_fit(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"only 0 and 255, so two classes, but classes\.txt names 3"):
            recognise_masks([grey(tmp_path / "a.png", [[0, 255]])], NAMES)

    @pytest.mark.parametrize("known", [None, ClassList(("soil", "root"))])
    def test_the_whole_set_decides(self, tmp_path: Path, known: ClassList | None) -> None:
        """255 beside 0 alone, and beside other labels: an object in one hand's files, unscored in the other's?"""
        files = [grey(tmp_path / "a.png", [[0, 255]]), grey(tmp_path / "b.png", [[1, 255]])]
        with pytest.raises(DataError, match=r"a\.png: only 0 and 255 \(so in 1 file\), but other labels in .*b\.png"):
            recognise_masks(files, known)
        three = [grey(tmp_path / "c.png", [[0, 255]]), grey(tmp_path / "d.png", [[1, 2]])]  # 255 in the one file alone
        with pytest.raises(DataError, match="if 255 is not scored, write a line"):
            recognise_masks(three, known and ClassList(("soil", "root", "stone")))
        stated = ClassList(("soil", "root"), ignore=255)
        assert labels(recognise_masks(files, stated), files[0]) == [[0, 255]]

    def test_only_zeros_are_indices(self, tmp_path: Path) -> None:
        assert recognise_masks([grey(tmp_path / "a.png", [[0, 0]])], NAMES).kind == "index"


class TestColours:
    def test_through_the_class_list(self, tmp_path: Path) -> None:
        path = colours(tmp_path / "a.png", [[RED, GREEN], [BLACK, RED]])
        reader = recognise_masks([path], COLORED)
        assert (reader.kind, reader.remark) == ("rgb", "RGB colours")
        assert labels(reader, path) == [[0, 1], [255, 0]]

    def test_a_grey_colour_of_the_list_is_a_colour(self, tmp_path: Path) -> None:
        known = ClassList(("void", "wall"), (BLACK, (255, 255, 255)))
        path = colours(tmp_path / "a.png", [[(255, 255, 255), BLACK]])
        assert labels(recognise_masks([path], known), path) == [[1, 0]]

    def test_unknown_colour_names_the_nearest(self, tmp_path: Path) -> None:
        good = colours(tmp_path / "a.png", [[RED, GREEN]])
        bad = colours(tmp_path / "b.png", [[RED, (250, 10, 0)]])
        reader = recognise_masks([good, bad], COLORED)
        with pytest.raises(
            DataError, match=r"b\.png: colour #fa0a00 is no class's; the nearest is 'sky' #ff0000; add it"
        ):
            labels(reader, bad)

    def test_names_without_colours(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"a\.png: holds colours \(#00ff00, #ff0000\), but classes\.txt has names without colours"
        ):
            recognise_masks([colours(tmp_path / "a.png", [[RED, GREEN]])], NAMES)

    def test_kinds_do_not_mix(self, tmp_path: Path) -> None:
        colour, index = colours(tmp_path / "a.png", [[RED, GREEN]]), grey(tmp_path / "b.png", [[1, 0]])
        with pytest.raises(DataError, match=r"b\.png: holds indices, but the other masks hold colours"):
            labels(recognise_masks([colour], COLORED), index)
        with pytest.raises(DataError, match=r"a\.png: holds colours, but the other masks hold indices"):
            labels(recognise_masks([index], NAMES), colour)

    def test_kinds_do_not_mix_where_classes_are_guessed(self, tmp_path: Path) -> None:
        colour, index = colours(tmp_path / "a.png", [[RED, GREEN]]), grey(tmp_path / "b.png", [[1, 0]])
        with pytest.raises(
            DataError, match=r"b\.png: holds indices, but a\.png and others hold colours; save all mask"
        ):
            recognise_masks([colour, index], None)
        black = grey(tmp_path / "b.png", [[0, 0]])
        assert labels(recognise_masks([colour, black], None), black) == [[0, 0]]


class TestBadFiles:
    def test_jpeg(self, tmp_path: Path) -> None:
        Image.new("L", (8, 8)).save(tmp_path / "a.jpg")
        with pytest.raises(DataError, match=r"a\.jpg: a JPEG keeps labels only roughly; save masks as PNG"):
            recognise_masks([tmp_path / "a.jpg"], NAMES)

    def test_a_damaged_mask_does_not_settle_the_kind(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(b"no picture")
        good = grey(tmp_path / "b.png", [[1, 2]])
        assert recognise_masks([tmp_path / "a.png", good], NAMES).kind == "index"
        with pytest.raises(DataError, match=r"a\.png: not a picture"):
            recognise_masks([tmp_path / "a.png"], NAMES)


@pytest.mark.parametrize("inverted", [1, 2])
def test_tiffs_of_imagejs_inverting_lut_hold_the_labels_as_stored(tmp_path: Path, inverted: int) -> None:
    values = np.array([[0, 0, 0], [0, 255, 0]], np.uint8)
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for place, file in enumerate(files):
        tifffile.imwrite(file, values, photometric="miniswhite" if place < inverted else "minisblack")
    reader = recognise_masks(files, None)
    assert [labels(reader, file) for file in files] == [[[0, 0, 0], [0, 1, 0]]] * 2
    assert len(reader.notes) == 1 and "of 2 (a.tif" in reader.notes[0]
    assert ("as those of the others are" in reader.notes[0]) == (inverted == 1)
    shown = pictures.read_picture(files[0])[:, :, 0]
    assert shown.tolist() == (255 - values).tolist()  # a picture stays as it is displayed


def test_tiffs_of_black_as_zero_are_read_without_a_note(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 255]], np.uint8), photometric="minisblack")
    assert recognise_masks([tmp_path / "a.tif"], None).notes == ()


def test_numbers_of_a_class_list_are_the_values_of_the_masks(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("2 cow\n1 road\n")
    listed = read_classes(tmp_path / "classes.txt")
    path = grey(tmp_path / "a.png", [[1, 2], [2, 255]])
    reader = recognise_masks([path], listed)
    assert reader.classes.names == ("road", "cow") and labels(reader, path) == [[0, 1], [1, 255]]
    zero = recognise_masks([grey(tmp_path / "b.png", [[0, 1, 2]])], listed)
    assert "label value 0 outside the class table" in zero.refused
