"""Masks whose values are exchanged, stretched, coloured or declared in some way that one file alone does not tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from mask_scenes import COUNT, SIDE, THREE, TWO, assert_reads, disc, draw, grey, read, scene, tiffs
from PIL import Image, ImageFilter

from foveate.datasets import recognise
from foveate.datasets.classes import ClassList, read_classes
from foveate.datasets.masks import recognise_masks
from foveate.datasets.masks.evidence import surrounding
from foveate.errors import DataError

TURNED = {0, 4, 8}


def exchanged(seed: int, top: int = 255) -> np.ndarray:
    """A disc of `top` on 0, in some masks of 0 on `top`."""
    return grey(top * (disc(seed) if seed not in TURNED else 1 - disc(seed)))


class TestExchanged:
    @pytest.mark.parametrize(
        "image",
        [
            exchanged,
            lambda i: exchanged(i, 1),
            lambda i: Image.fromarray(np.array([[9, 9, 9], [200, 0, 0]], np.uint8)[exchanged(i, 1)]),
            lambda i: Image.fromarray(exchanged(i)).resize((96, 96), Image.Resampling.BILINEAR),
            lambda i: np.dstack([np.zeros((SIDE, SIDE, 3), np.uint8), exchanged(i)]),
        ],
        ids=["0 and 255", "0 and 1", "colours", "smoothed", "alpha"],
    )
    def test_some_masks(self, tmp_path: Path, image: object) -> None:
        (note,) = recognise_masks(draw(tmp_path, image), None).notes  # type: ignore[arg-type]
        assert " in 3 masks (00.png, 04.png, 08.png), and within it in 9; if the two values are exch" in note

    def test_class_names(self, tmp_path: Path) -> None:
        (note,) = recognise_masks(draw(tmp_path, lambda i: exchanged(i, 1)), TWO).notes
        assert note.startswith("class 'rust' lies around 'steel' in 3 masks")

    def test_none(self, tmp_path: Path) -> None:
        assert recognise_masks(draw(tmp_path, lambda i: grey(disc(i) * 255)), None).notes == ()
        # an object that fills the picture up to a corner lies around nothing
        corner = np.full((SIDE, SIDE), 255, np.uint8)
        corner[:6, :6] = 0
        files = draw(tmp_path / "full", lambda i: corner if i in TURNED else grey(disc(i) * 255))
        assert recognise_masks(files, None).notes == ()

    def test_every_mask(self, tmp_path: Path) -> None:
        """Nothing tells whether the object is stored as 0; a list of names does."""
        files = draw(tmp_path, lambda i: grey(255 - disc(i) * 255))
        (note,) = recognise_masks(files, None).notes
        assert note.startswith(
            "class 'foreground' lies around 'background' in 12 masks of 12; if objects are stored as 0"
        )
        assert recognise_masks(files, TWO).notes == ()

    def test_three_classes(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: 2 - grey(scene(i)) if i in TURNED else grey(scene(i)))
        assert not any("lies around" in note for note in recognise_masks(files, None).notes)

    @pytest.mark.parametrize(("high", "expected"), [(1, 0), (0, 1)])
    def test_surrounding(self, high: int, expected: int) -> None:
        plane = np.full((40, 40), 1 - high)
        plane[10:20, 10:20] = high
        assert surrounding(plane) == expected
        plane[:, :12] = high  # half of the border's left side, and the object touches it
        assert surrounding(plane) is None
        assert surrounding(np.zeros((40, 40), int)) is None


def pair(root: Path, split: str, name: str, mask: np.ndarray) -> None:
    for folder, values in (
        ("images", np.random.default_rng(len(name)).integers(0, 255, (SIDE, SIDE, 3))),
        ("labels", mask),
    ):
        path = root / split / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(path)


def test_a_val_of_one_class_is_noted(tmp_path: Path) -> None:
    for i in range(4):
        pair(tmp_path, "train", str(i), disc(i) * 255)
        pair(tmp_path, "val", f"v{i}", disc(i) * 0)
    notes = recognise(tmp_path).notes()
    assert (
        "val's masks hold class 'background' alone, train's 2 classes, so that scores on val say nothing of the others"
        in notes
    )
    pair(tmp_path, "val", "v0", disc(0) * 255)
    assert not any("alone" in note for note in recognise(tmp_path).notes())


class TestNoData:
    """GDAL's file beside a raster, as it writes where the format or the permission lacks a place."""

    @staticmethod
    def declare(files: list[Path], value: str) -> None:
        for file in files:
            file.with_name(f"{file.name}.aux.xml").write_text(
                f'<PAMDataset>\n  <PAMRasterBand band="1">\n    <NoDataValue>{value}</NoDataValue>\n'
                "  </PAMRasterBand>\n</PAMDataset>\n"
            )

    @staticmethod
    def framed(seed: int) -> np.ndarray:
        values = scene(seed)
        values[:6] = 9
        return values

    @pytest.mark.parametrize("form", ["png", "tif", "own tag"])
    def test_is_not_scored(self, tmp_path: Path, form: str) -> None:
        """The value beside comes before the file's own, as in GDAL."""
        if form == "png":
            files = draw(tmp_path, lambda i: grey(self.framed(i)))
        else:
            tmp_path.joinpath("t").mkdir()
            files = tiffs(tmp_path / "t", lambda i: grey(self.framed(i)), "7" if form == "own tag" else "")
        self.declare(files, "9.00000000000000E+00")
        reader = recognise_masks(files, None)
        assert_reads(reader, files, lambda i: np.where(self.framed(i) == 9, 255, self.framed(i)))

    def test_zero(self, tmp_path: Path) -> None:
        """As with GDAL's own tag, names count from 1."""
        files = draw(tmp_path, lambda i: grey(scene(i)))
        self.declare(files, "0")
        reader = recognise_masks(files, ClassList(("rust", "rivet")))
        assert_reads(reader, files, lambda i: np.array([255, 0, 1])[scene(i)])

    @pytest.mark.parametrize("text", ["", "none", "<NoDataValue></NoDataValue>"])
    def test_a_file_that_declares_nothing(self, tmp_path: Path, text: str) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        files[0].with_name("00.png.aux.xml").write_text(f'<PAMRasterBand band="1">{text}</PAMRasterBand>')
        assert_reads(recognise_masks(files, None), files, scene)


class TestStretched:
    @pytest.mark.parametrize("greys", [(0, 32768, 65535), (0, 32767, 65534)])
    def test_over_16_bits(self, tmp_path: Path, greys: tuple[int, int, int]) -> None:
        files = draw(tmp_path, lambda i: np.array(greys, np.uint16)[scene(i)])
        reader = recognise_masks(files, None)
        assert_reads(reader, files, scene)
        assert reader.remark.startswith(f"stretched greys {', '.join(map(str, greys))}")

    def test_multiples_of_256_are_no_guess(self, tmp_path: Path) -> None:
        """Before, these were divided by 255, so that they were labels that no class has."""
        files = draw(tmp_path, lambda i: np.array([0, 256, 512], np.uint16)[scene(i)])
        with pytest.raises(DataError, match="label values run to 512, too many to be guessed"):
            recognise_masks(files, None)
        assert_reads(recognise_masks(files, ClassList(("steel", "rust", "rivet"))), files, scene)


class TestColorMaps:
    VIRIDIS: ClassVar = {2: [[68, 1, 84], [253, 231, 37]], 3: [[68, 1, 84], [33, 145, 140], [253, 231, 37]]}

    def test_stretched_by_file(self, tmp_path: Path) -> None:
        """imsave gives the largest label of each file the last colour, whichever label it is."""

        def image(i: int) -> np.ndarray:
            label = disc(i) if i % 3 == 0 else scene(i)
            return np.array(self.VIRIDIS[len(np.unique(label))], np.uint8)[label]

        with pytest.raises(DataError, match=r"00.png: holds 2 colours and 01.png 3, each from end to end of the colo"):
            recognise_masks(draw(tmp_path, image), None)

    def test_alike_in_every_file(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array(self.VIRIDIS[3], np.uint8)[scene(i)])
        # classes without a list come in the order of their colours
        assert_reads(recognise_masks(files, None), files, lambda i: np.array([1, 0, 2])[scene(i)])


class TestHands:
    """Colours of one object by several annotators, or as many classes."""

    @staticmethod
    def image(*colors: tuple[int, int, int]) -> Callable[[int], np.ndarray]:
        return lambda i: np.array([(0, 0, 0), colors[i % len(colors)]], np.uint8)[disc(i)]

    def test_colours_that_hardly_differ(self, tmp_path: Path) -> None:
        files = draw(tmp_path, self.image((255, 0, 0), (252, 2, 0)))
        with pytest.raises(
            DataError, match=r"00.png: holds #ff0000, and 01.png #fc0200, which hardly differ; if they are"
        ):
            recognise_masks(files, None)
        listed = ClassList(("steel", "rust", "paint"), ((0, 0, 0), (255, 0, 0), (252, 2, 0)))
        assert_reads(recognise_masks(files, listed), files, lambda i: disc(i) * (1 + i % 2))

    def test_colours_of_one_file_are_classes(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([(0, 0, 0), (250, 0, 0), (253, 0, 0)], np.uint8)[scene(i)])
        assert_reads(recognise_masks(files, None), files, scene)

    def test_one_colour_a_mask(self, tmp_path: Path) -> None:
        (note,) = recognise_masks(draw(tmp_path, self.image((255, 0, 0), (0, 255, 0))), None).notes
        assert note.startswith(
            "every mask holds one colour beside #000000, and it is #ff0000 in 6 masks, #00ff00 in 6 m"
        )
        both = draw(tmp_path / "both", lambda i: np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)[scene(i)])
        assert recognise_masks(both, None).notes == ()


class TestNames:
    def write(self, root: Path, names: str) -> list[str]:
        for i in range(4):
            pair(root, "train", str(i), scene(i))
            pair(root, "val", f"v{i}", scene(i))
        (root / "classes.txt").write_text(names)
        return [note for note in recognise(root).notes() if "scored" in note]

    @pytest.mark.parametrize(
        ("names", "remedy"),
        [
            ("steel\nrust\nvoid\n", "write 'ignore: 2' in place of its name in classes.txt"),
            ("Unlabelled\nrust\nrivet\n", "write 'ignore: 0' in place of its name in classes.txt"),
            ("steel\nignored\nrivet\n", "save them as 255"),
            ("steel\nrust\navoided\n", ""),
        ],
    )
    def test_void_as_a_class(self, tmp_path: Path, names: str, remedy: str) -> None:
        notes = self.write(tmp_path, names)
        assert [note.partition("not meant to be, ")[2] for note in notes] == ([remedy] if remedy else [])

    @pytest.mark.parametrize("line", ["rust,250,50,83", "rust (250, 50, 83)", "rust; 250; 50; 83", "rust [250 50 83]"])
    def test_colours_behind_commas(self, tmp_path: Path, line: str) -> None:
        """Before, these were names with numbers in them."""
        (tmp_path / "classes.txt").write_text(f"steel 0 0 0\n{line}\n")
        found = read_classes(tmp_path / "classes.txt")
        assert (found.names, found.colors) == (("steel", "rust"), ((0, 0, 0), (250, 50, 83)))


def test_the_file_with_smoothed_colours_is_named(tmp_path: Path) -> None:
    def image(i: int) -> Image.Image:
        drawn = Image.fromarray(np.array([[0, 0, 0], [250, 50, 83], [52, 209, 183]], np.uint8)[scene(i)])
        return drawn.filter(ImageFilter.GaussianBlur(1)) if i == COUNT - 1 else drawn

    with pytest.raises(DataError, match=rf"{COUNT - 1}.png: \d+ colours, such as"):
        recognise_masks(draw(tmp_path, image), None)


def test_masks_are_read_alike_after_a_note(tmp_path: Path) -> None:
    files = draw(tmp_path, exchanged)
    np.testing.assert_array_equal(read(recognise_masks(files, None), files[4]), 1 - disc(4))


@pytest.mark.parametrize(("names", "noted"), [(("rust", "background"), True), (("background", "rust"), False)])
def test_names_in_another_order_than_the_values(tmp_path: Path, names: tuple[str, str], noted: bool) -> None:
    notes = recognise_masks(draw(tmp_path, lambda i: grey(disc(i) * 255)), ClassList(names)).notes
    expected = (
        "class 'rust' lies around 'background' in 12 masks of 12; if the names are exchanged, write that of what the "
        "lower value is first in classes.txt"
    )
    assert (expected in notes) == noted and len(notes) == noted


def test_three_channels_of_0_and_1_are_no_colours(tmp_path: Path) -> None:
    files = draw(tmp_path, lambda i: np.eye(3, dtype=np.uint8)[scene(i)])
    with pytest.raises(
        DataError, match=r"00.png: 3 channels of 0 and 1, as where each is the mask of a class; save one"
    ):
        recognise_masks(files, None)


@pytest.mark.parametrize(("first", "void"), [("unlabeled", 255), ("sky", 255), ("unlabeled", 0)])
def test_unlabelled_at_0_and_at_255(tmp_path: Path, first: str, void: int) -> None:
    """COCO-Stuff's list counts from 'unlabeled', and its maps from the name after it."""
    known = ClassList((first, "rust", "rivet", "hole"), file="labels.txt")
    files = draw(tmp_path, lambda i: np.where(np.eye(SIDE) > 0, void, scene(i)).astype(np.uint8))
    found = [note for note in recognise_masks(files, known).notes if "COCO-Stuff" in note]
    assert len(found) == (first == "unlabeled" and void == 255)
    full = ClassList((first, "rust", "rivet"), file="labels.txt")  # the last one occurs, so that nothing is shifted
    assert not [note for note in recognise_masks(files, full).notes if "COCO-Stuff" in note]


@pytest.mark.parametrize("under", [[0, 255], [0, 0], [255, 255]])
def test_colours_under_transparency_are_no_classes(tmp_path: Path, under: list[int]) -> None:
    """Programs leave black or white there; of one colour it is the background."""

    def image(seed: int) -> np.ndarray:
        ground = (*[under[seed % 2]] * 3, 0)
        return np.array([ground, (250, 50, 83, 255), (52, 209, 183, 255)], np.uint8)[scene(seed)]

    files = draw(tmp_path, image)
    if under[0] == under[1]:
        assert len(recognise_masks(files, None).classes) == 3
        return
    with pytest.raises(DataError) as caught:
        recognise_masks(files, None)
    assert "00.png: transparent pixels bear #000000 and, in 01.png #ffffff, each of which would be" in str(caught.value)


@pytest.mark.parametrize(
    ("colors", "greys"),
    [
        (((0, 0, 0), (0, 128, 0), (128, 0, 0)), (0, 75, 38)),
        (((0, 0, 0), (128, 0, 0), (0, 128, 0)), (0, 38, 75)),
        (((255, 0, 0), (0, 0, 255), (0, 255, 0)), (76, 29, 150)),
        (((0, 0, 128), (0, 0, 0), (128, 128, 0)), (15, 0, 113)),
    ],
)  # fmt: skip
def test_colours_that_became_greys_are_told_by_their_luminance(
    tmp_path: Path, colors: tuple[tuple[int, int, int], ...], greys: tuple[int, ...]
) -> None:
    """The greys rise in another order than the list."""
    pixels = np.array(colors, np.uint8)
    files = draw(tmp_path, lambda i: Image.fromarray(pixels[scene(i)]).convert("L"))
    assert {int(v) for v in np.unique(np.asarray(Image.open(files[0])))} == set(greys)
    reader = recognise_masks(files, ClassList(THREE.names, colors))
    assert_reads(reader, files, scene)
    assert "the luminances of the colours of classes.txt" in reader.remark
