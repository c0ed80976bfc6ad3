"""The meaning of the pixel values of a set of masks: every encoding that people meet, on files written here.

A scene is a disc (class 1) and a square (class 2) on a background (class 0).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter

from foveate.datasets.classes import ClassList
from foveate.datasets.files import Pair
from foveate.datasets.masks import MaskReader, recognise_masks
from foveate.datasets.masks.evidence import blobs, edges
from foveate.errors import DataError

SIDE, COUNT = 48, 12
ONE, TWO, THREE = ClassList(("rust",)), ClassList(("steel", "rust")), ClassList(("steel", "rust", "rivet"))
STEEL, RUST, RIVET = (0, 0, 0), (250, 50, 83), (52, 209, 183)
PALETTE = np.array([STEEL, RUST, RIVET], np.uint8)
COLORED = ClassList(THREE.names, (STEEL, RUST, RIVET))


def scene(seed: int) -> np.ndarray:
    """(SIDE, SIDE) classes 0..2."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    label = np.zeros((SIDE, SIDE), np.int64)
    label[(rows - rng.integers(10, 20)) ** 2 + (columns - rng.integers(10, 38)) ** 2 < rng.integers(36, 64)] = 1
    left = int(rng.integers(2, 30))
    label[28:40, left : left + 12] = 2
    return label


def disc(seed: int) -> np.ndarray:
    """(SIDE, SIDE) 0 and 1."""
    return (scene(seed) == 1).astype(np.int64)


def cells(seed: int, most: int = 12) -> np.ndarray:
    """(SIDE, SIDE) object numbers without gaps: discs that do not touch, at most 16."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(max(most // 2, 1), most + 1))
    places = rng.permutation(16)[:number]
    label = np.zeros((SIDE, SIDE), np.int64)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for k, place in enumerate(places, 1):
        row, column = place // 4 * 12 + 6, place % 4 * 12 + 6
        label[(rows - row) ** 2 + (columns - column) ** 2 < rng.integers(6, 25)] = k
    return label


def draw(folder: Path, image: Callable[[int], np.ndarray | Image.Image], suffix: str = ".png") -> list[Path]:
    """Write COUNT masks."""
    files = [folder / f"{i:02}{suffix}" for i in range(COUNT)]
    folder.mkdir(parents=True, exist_ok=True)
    for i, file in enumerate(files):
        drawn = image(i)
        (drawn if isinstance(drawn, Image.Image) else Image.fromarray(drawn)).save(file)
    return files


def tiffs(folder: Path, values: Callable[[int], np.ndarray], nodata: str = "") -> list[Path]:
    """Write COUNT TIFFs; nodata: as GDAL's tag declares it."""
    files = [folder / f"{i:02}.tif" for i in range(COUNT)]
    for i, file in enumerate(files):
        tags = [(42113, "s", 0, nodata, True)] if nodata else []
        tifffile.imwrite(file, values(i), extratags=tags, photometric="minisblack")
    return files


def grey(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8)


def read(reader: MaskReader, file: Path) -> np.ndarray:
    return reader(Pair(file, file), SIDE, SIDE)


def assert_reads(reader: MaskReader, files: list[Path], expected: Callable[[int], np.ndarray]) -> None:
    assert reader.refused == ""
    for i, file in enumerate(files):
        np.testing.assert_array_equal(read(reader, file), expected(i), err_msg=file.name)


def unscored(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, 255, values)


class TestTwoHands:
    """0 and 1 from one annotator, 0 and 255 from another."""

    def mixed(self, folder: Path, top: int = 255, kind: type = np.uint8) -> list[Path]:
        return draw(folder, lambda i: (disc(i) * (top if i % 3 == 0 else 1)).astype(kind))

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_both_mean_the_object(self, tmp_path: Path, known: ClassList | None) -> None:
        files = self.mixed(tmp_path)
        reader = recognise_masks(files, known)
        assert reader.kind == "binary" and len(reader.classes) == 2
        assert "0 and 1 in 8 files, 0 and 255 in 4: 1 and 255 are class" in reader.remark
        assert_reads(reader, files, disc)

    def test_in_16_bits(self, tmp_path: Path) -> None:
        files = self.mixed(tmp_path, 65535, np.uint16)
        assert_reads(recognise_masks(files, None), files, disc)

    def test_a_stated_unscored_value_is_unscored(self, tmp_path: Path) -> None:
        files = self.mixed(tmp_path)
        reader = recognise_masks(files, ClassList(TWO.names, (), 255))
        assert reader.kind == "index"
        assert_reads(reader, files, lambda i: disc(i) * (255 if i % 3 == 0 else 1))

    def test_more_classes_leave_a_doubt(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"0 and 1, but 0 and 255 in .*if 255 is not scored, write a line 'ignore: 2"
        ):
            recognise_masks(self.mixed(tmp_path), THREE)

    @pytest.mark.parametrize("known", [None, TWO, ONE])
    def test_both_values_in_one_file_are_a_class_and_an_unscored_border(
        self, tmp_path: Path, known: ClassList | None
    ) -> None:
        def border(i: int) -> np.ndarray:
            return unscored(disc(i), disc(i) != np.roll(disc(i), 1, 0))

        files = draw(tmp_path, lambda i: grey(border(i)))
        reader = recognise_masks(files, known)
        assert reader.kind == "index" and len(reader.classes) == 2
        assert_reads(reader, files, border)


class TestManyHands:
    """One value beside 0 in every file, but another one in the files of each annotator."""

    @pytest.mark.parametrize("marks", [(1, 127, 255), (1, 128), (127, 255), (1, 200, 65535), (100, 200)])
    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_are_refused_whatever_the_list_says(
        self, tmp_path: Path, marks: tuple[int, ...], known: ClassList | None
    ) -> None:
        kind = np.uint16 if max(marks) > 255 else np.uint8
        files = draw(tmp_path, lambda i: (disc(i) * marks[i % len(marks)]).astype(kind))
        listing = ", ".join(f"{mark} in {COUNT // len(marks)} files" for mark in marks)
        with pytest.raises(
            DataError, match=rf"every mask holds one value beside 0, and it is {listing}; .*save masks al"
        ):
            recognise_masks(files, known)

    def test_the_hint_is_never_to_leave_an_object_unscored(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i) if i % 3 else disc(i) * 127))
        refused = recognise_masks(files, THREE).refused
        assert "label value 127 outside" in refused and "ignore: 127" not in refused
        assert "or save masks alike if it is a class that other files number otherwise" in refused

    def test_pictures_of_one_class_each_are_classes(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i) * (1, 2, 5)[i % 3]))
        reader = recognise_masks(files, None)
        assert_reads(reader, files, lambda i: disc(i) * (1, 2, 5)[i % 3])


class TestNamesOfTwoClasses:
    """Masks of two values without a class list have one pair of names, whatever stands for the object."""

    @pytest.mark.parametrize("top", [1, 255])
    @pytest.mark.parametrize("form", ["grey", "palette", "alpha"])
    def test_are_background_and_foreground(self, tmp_path: Path, top: int, form: str) -> None:
        def image(i: int) -> Image.Image:
            values = grey(disc(i) * top)
            if form == "alpha":
                return Image.fromarray(np.dstack([values * 0, values]), "LA")
            drawn = Image.fromarray(values)
            if form == "palette":
                drawn.putpalette([value for k in range(256) for value in (k, 255 - k, 7)])
            return drawn

        files = draw(tmp_path, image)
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("background", "foreground")
        assert f"of 0 and {top}: {top} is class 'foreground'" in reader.remark
        assert_reads(reader, files, disc)

    def test_beside_an_unscored_border(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(unscored(disc(i), disc(i) != np.roll(disc(i), 1, 0))))
        assert recognise_masks(files, None).classes.names == ("background", "foreground")


class TestBinary:
    def test_one_name_for_0_and_1(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i)))
        reader = recognise_masks(files, ONE)
        assert reader.classes.names == ("background", "rust")
        assert reader.remark == "index PNG: 0 is background, 1 is class 'rust'"
        assert_reads(reader, files, disc)
        empty = draw(tmp_path / "empty", lambda i: grey(disc(i) * 0))
        assert recognise_masks(empty, ONE).classes == reader.classes

    def test_65535_is_white_too(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: (disc(i) * 65535).astype(np.uint16))
        reader = recognise_masks(files, None)
        assert "of 0 and 65535: 65535 is class 'foreground'" in reader.remark
        assert_reads(reader, files, disc)

    def test_more_classes_with_a_stated_unscored_255(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i) * 255))
        reader = recognise_masks(files, ClassList(THREE.names, (), 255))
        assert reader.kind == "index"
        assert_reads(reader, files, lambda i: disc(i) * 255)

    def test_two_values_that_are_neither(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(disc(i) * 128))
        assert_reads(recognise_masks(files, TWO), files, disc)
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_0", "class_128")
        assert_reads(reader, files, disc)

    def test_one_bit_and_a_fax_that_stores_white_as_zero(self, tmp_path: Path) -> None:
        files = draw(tmp_path / "png", lambda i: Image.fromarray(grey(disc(i) * 255)).convert("1"))
        assert_reads(recognise_masks(files, TWO), files, disc)
        fax = tmp_path / "fax.tif"
        Image.fromarray(grey(disc(0) * 255)).convert("1").save(fax, compression="group4")
        np.testing.assert_array_equal(read(recognise_masks([fax], TWO), fax), disc(0))


def blurred(radius: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.filter(ImageFilter.GaussianBlur(radius))


def resized(side: int, resample: Image.Resampling) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((side, side), resample).resize((SIDE, SIDE), resample)


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def through(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(io.BytesIO(file.getvalue())).copy()

    return through


SOFT = {
    "blur": blurred(1),
    "strong blur": blurred(2),
    "bilinear": resized(30, Image.Resampling.BILINEAR),
    "bicubic": resized(32, Image.Resampling.BICUBIC),
    "lanczos": resized(75, Image.Resampling.LANCZOS),
    "jpeg 30": jpeg(30),
    "jpeg 75": jpeg(75),
    "jpeg 95": jpeg(95),
}


class TestSmoothedEdges:
    @pytest.mark.parametrize("soften", SOFT.values(), ids=SOFT)
    @pytest.mark.parametrize("known", [None, TWO])
    def test_two_classes_are_told_apart_at_the_middle(
        self, tmp_path: Path, soften: Callable[[Image.Image], Image.Image], known: ClassList | None
    ) -> None:
        def soft(i: int) -> Image.Image:
            return soften(Image.fromarray(grey(disc(i) * 255)))

        files = draw(tmp_path, soft)
        reader = recognise_masks(files, known)
        assert reader.kind == "binary" and len(reader.classes) == 2
        assert "of 0 and 255 with shades along the edges: 128 and more is class" in reader.remark
        assert_reads(reader, files, lambda i: np.asarray(soft(i)) >= 128)
        wrong = np.mean([(read(reader, file) != disc(i)).mean() for i, file in enumerate(files)])
        assert wrong < 0.02

    @pytest.mark.parametrize("known", [None, TWO])
    def test_in_some_files_only(self, tmp_path: Path, known: ClassList | None) -> None:
        """Files that were resized beside those that were not, which hold 0 and 255 alone."""

        def soft(i: int) -> Image.Image:
            image = Image.fromarray(grey(disc(i) * 255))
            return image if i % 4 else blurred(1)(image)

        files = draw(tmp_path, soft)
        reader = recognise_masks(files, known)
        assert "shades along the edges" in reader.remark
        assert_reads(reader, files, lambda i: np.asarray(soft(i)) >= 128)

    def test_grey_in_three_channels(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: blurred(1)(Image.fromarray(grey(disc(i) * 255))).convert("RGB"))
        reader = recognise_masks(files, TWO)
        assert "shades along the edges" in reader.remark

    def test_other_ends_than_0_and_255(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: blurred(1)(Image.fromarray(grey(disc(i) * 100 + 20))))
        reader = recognise_masks(files, TWO)
        assert "of 20 and 120 with shades along the edges: 71 and more is class 'rust'" in reader.remark

    def test_jpeg_files(self, tmp_path: Path) -> None:
        files = draw(tmp_path / "two", lambda i: grey(disc(i) * 255), ".jpg")
        assert_reads(recognise_masks(files, TWO), files, disc)
        with pytest.raises(DataError, match=r"00\.jpg: a JPEG keeps labels only roughly; save masks as PNG"):
            recognise_masks(files, THREE)
        files = draw(tmp_path / "index", lambda i: grey(scene(i)), ".jpg")
        for known in (None, TWO, THREE):
            with pytest.raises(DataError, match=r"00\.jpg: a JPEG keeps labels only roughly"):
                recognise_masks(files, known)
        for third in (100, 200):  # of three greys, the third is no shade of the others
            files = draw(
                tmp_path / str(third), lambda i, t=third: np.array([0, 300 - t, t], np.uint8)[scene(i)], ".jpg"
            )
            with pytest.raises(DataError, match=r"00\.jpg: a JPEG keeps labels only roughly"):
                recognise_masks(files, None)

    @pytest.mark.parametrize("known", [None, THREE])
    def test_more_classes_are_refused(self, tmp_path: Path, known: ClassList | None) -> None:
        files = draw(tmp_path, lambda i: blurred(1)(Image.fromarray(np.array([0, 127, 255], np.uint8)[scene(i)])))
        with pytest.raises(
            DataError, match=r"00\.png: \d+ values, .* only on the edges between others, so the masks w"
        ):
            recognise_masks(files, known)

    @pytest.mark.parametrize("soften", [SOFT["blur"], SOFT["jpeg 75"]])
    @pytest.mark.parametrize("known", [None, THREE, COLORED])
    def test_colours_are_refused(
        self, tmp_path: Path, known: ClassList | None, soften: Callable[[Image.Image], Image.Image]
    ) -> None:
        files = draw(tmp_path, lambda i: soften(Image.fromarray(PALETTE[scene(i)])))
        with pytest.raises(
            DataError, match=r"00\.png: \d+ colours, .* only on the edges between other colours, so the"
        ):
            recognise_masks(files, known)

    def test_a_class_along_edges_is_none(self, tmp_path: Path) -> None:
        """Borders of one pixel between background and disc, numbered between the two."""

        def bordered(i: int) -> np.ndarray:
            inside = np.all([np.roll(disc(i), shift, axis) for shift in (-1, 1) for axis in (0, 1)], axis=0)
            return disc(i) + (disc(i) & inside)

        files = draw(tmp_path / "index", lambda i: grey(bordered(i)))
        assert_reads(recognise_masks(files, None), files, bordered)
        files = draw(tmp_path / "stretched", lambda i: grey(np.array([0, 127, 255])[bordered(i)]))
        assert_reads(recognise_masks(files, THREE), files, bordered)
        with pytest.raises(
            DataError, match=r"greys 0, 127, 255, and 127 fills no region: is it a class, or the edge of"
        ):
            recognise_masks(files, None)

    def test_many_classes_with_an_unscored_border_are_no_shades(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(cells(i), (cells(i) != np.roll(cells(i), 1, 1)) | (np.roll(cells(i), 9) > 0))

        files = draw(tmp_path, lambda i: grey(bordered(i)))
        known = ClassList(tuple(f"c{k}" for k in range(13)))
        assert_reads(recognise_masks(files, known), files, bordered)


def test_masks_of_many_rows_are_compared_across_strips(tmp_path: Path) -> None:
    """An edge that lies on the border of two strips of rows is an edge, and a region there is one region."""
    long = np.zeros((600, 8), np.uint8)
    long[512:] = 255
    soft = np.asarray(blurred(2)(Image.fromarray(long)))
    found = edges([lambda: soft], colored=False)
    whole = dict(zip(found.codes.tolist(), zip(found.inner.tolist(), found.between.tolist(), strict=True), strict=True))
    ramp = [int(v) for v in np.unique(soft) if 0 < v < 255]
    assert len(ramp) > 4 and all(whole[v] == (0, 8 * int((soft[:, 0] == v).sum())) for v in ramp)
    assert whole[0][0] + whole[255][0] == 8 * (int(np.isin(soft[:, 0], (0, 255)).sum()) - 2)
    assert blobs(long, 0).numbers == blobs(long, 0).whole == 1


class TestStretchedGreys:
    @pytest.mark.parametrize("greys", [(0, 127, 255), (0, 128, 255), (0, 126, 254), (0, 100, 200), (10, 60, 240)])
    def test_in_the_order_of_the_class_list(self, tmp_path: Path, greys: tuple[int, ...]) -> None:
        files = draw(tmp_path, lambda i: np.array(greys, np.uint8)[scene(i)])
        reader = recognise_masks(files, THREE)
        assert reader.classes.names == THREE.names
        assert f"stretched greys {', '.join(map(str, greys))} as 3 classes" in reader.remark
        assert_reads(reader, files, scene)

    def test_a_class_that_does_not_occur_leaves_its_place(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([0, 85, 255], np.uint8)[scene(i)])
        four = ClassList((*THREE.names, "nut"))
        assert_reads(recognise_masks(files, four), files, lambda i: np.array([0, 1, 3])[scene(i)])

    def test_without_a_class_list_they_are_named_after_their_values(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([0, 127, 255], np.uint8)[scene(i)])
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_0", "class_127", "class_255")
        assert reader.classes.colors == ((0, 0, 0), (127, 127, 127), (255, 255, 255))
        assert reader.remark.startswith("stretched greys 0, 127, 255; no classes.txt")
        assert_reads(reader, files, scene)

    def test_colours_of_the_list_are_greys(self, tmp_path: Path) -> None:
        known = ClassList(THREE.names, ((0, 0, 0), (200, 200, 200), (100, 100, 100)))
        files = draw(tmp_path, lambda i: np.array([0, 200, 100], np.uint8)[scene(i)])
        assert_reads(recognise_masks(files, known), files, scene)

    def test_two_names_are_too_few(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([0, 127, 255], np.uint8)[scene(i)])
        reader = recognise_masks(files, TWO)
        assert "the masks hold 0, 127, 255; name the class of each" in reader.refused
        assert "ignore: 127" not in reader.refused

    def test_label_numbers_with_gaps_are_classes_each(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([7, 11, 26], np.uint8)[scene(i)])
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_7", "class_11", "class_26")
        assert_reads(reader, files, scene)
        refused = recognise_masks(files, THREE).refused
        assert "label values 7, 11, 26 outside the class table of 3 classes (0..2, ignore 255)" in refused
        assert "save class numbers in the order of classes.txt (such values in 11 more files)" in refused
        assert "ignore: 7" not in refused

    def test_few_labels_beside_an_unscored_255(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([0, 15, 255], np.uint8)[scene(i)])
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_0", "class_15")
        assert_reads(reader, files, lambda i: np.array([0, 1, 255])[scene(i)])

    def test_uneven_greys_up_to_255_leave_a_doubt(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([0, 76, 255], np.uint8)[scene(i)])
        with pytest.raises(DataError, match=r"holds 0, 76 and 255: is that a class, or unscored\?; write classes\.txt"):
            recognise_masks(files, None)


class TestAlpha:
    def rgba(self, color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        return np.dstack([np.broadcast_to(color, (SIDE, SIDE, 3)), alpha]).astype(np.uint8)

    @pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (250, 50, 83)])
    @pytest.mark.parametrize("known", [None, TWO])
    def test_an_object_in_the_alpha_channel(
        self, tmp_path: Path, color: tuple[int, ...], known: ClassList | None
    ) -> None:
        files = draw(tmp_path, lambda i: self.rgba(np.array(color), disc(i) * 255))
        reader = recognise_masks(files, known)
        assert reader.remark.startswith("alpha channel, binary") and len(reader.classes) == 2
        assert_reads(reader, files, disc)

    def test_grey_with_alpha_in_8_and_16_bits(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: Image.fromarray(np.dstack([grey(disc(i) * 0), grey(disc(i) * 255)]), "LA"))
        assert_reads(recognise_masks(files, None), files, disc)
        wide = tmp_path / "wide.png"
        white = np.full((SIDE, SIDE), 65535)
        wide.write_bytes(imagecodecs.png_encode(np.dstack([white, disc(0) * 65535]).astype(np.uint16)))
        np.testing.assert_array_equal(read(recognise_masks([wide], None), wide), disc(0))

    def test_in_a_tiff(self, tmp_path: Path) -> None:
        files = [tmp_path / f"{i}.tif" for i in range(3)]
        for i, file in enumerate(files):
            values = self.rgba(np.zeros(3), disc(i) * 255)
            tifffile.imwrite(file, values, photometric="rgb", extrasamples=["unassalpha"])
        assert_reads(recognise_masks(files, None), files, disc)

    def test_masks_without_any_object_and_with_nothing_else(self, tmp_path: Path) -> None:
        full = {0: np.zeros((SIDE, SIDE)), 1: np.ones((SIDE, SIDE))}
        files = draw(tmp_path, lambda i: self.rgba(np.zeros(3), 255 * full.get(i, disc(i))))
        assert_reads(recognise_masks(files, TWO), files, lambda i: full.get(i, disc(i)))

    def test_smoothed(self, tmp_path: Path) -> None:
        def soft(i: int) -> np.ndarray:
            return np.asarray(blurred(1)(Image.fromarray(grey(disc(i) * 255))))

        files = draw(tmp_path, lambda i: self.rgba(np.zeros(3), soft(i)))
        reader = recognise_masks(files, None)
        assert "alpha channel" in reader.remark and "shades along the edges" in reader.remark
        assert_reads(reader, files, lambda i: soft(i) >= 128)

    def test_a_photograph_that_was_cut_out(self, tmp_path: Path) -> None:
        photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))

        def cut(i: int) -> np.ndarray:
            large = (np.arange(SIDE)[:, None] + 3 * i < 40) & (np.arange(SIDE) > 4)
            return large.astype(np.int64)

        files = draw(tmp_path, lambda i: self.rgba(photo * cut(i)[:, :, None], cut(i) * 255))
        assert_reads(recognise_masks(files, TWO), files, cut)

    def test_a_mask_over_a_whole_photograph(self, tmp_path: Path) -> None:
        """The object may be small and of few colours: the photograph under the transparent pixels is no label."""
        photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))
        photo[10:14, 10:14] = photo[0, 0]

        def small(i: int) -> np.ndarray:
            rows, columns = np.mgrid[:SIDE, :SIDE]
            return ((rows // 4 == 2 + i % 2) & (columns // 4 == 2)).astype(np.int64)

        files = draw(tmp_path, lambda i: self.rgba(photo, small(i) * 255))
        assert_reads(recognise_masks(files, TWO), files, small)

    @pytest.mark.parametrize("alpha", [0, 255])
    def test_a_constant_alpha_says_nothing(self, tmp_path: Path, alpha: int) -> None:
        files = draw(tmp_path, lambda i: self.rgba(PALETTE[scene(i)], np.full((SIDE, SIDE), alpha)))
        assert_reads(recognise_masks(files, COLORED), files, scene)

    def test_a_transparent_background_adds_nothing_to_colours(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: self.rgba(PALETTE[scene(i)], (scene(i) > 0) * 255))
        reader = recognise_masks(files, COLORED)
        assert reader.remark == "RGB colours"
        assert_reads(reader, files, scene)

    def test_colours_and_alpha_that_disagree_are_refused(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: self.rgba(PALETTE[scene(i)], np.roll(scene(i) > 0, 9) * 255))
        with pytest.raises(DataError, match=r"00\.png: colours and transparency both vary, so it is not clear which"):
            recognise_masks(files, COLORED)

    def test_a_mask_without_alpha_beside_them(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: self.rgba(np.zeros(3), disc(i) * 255))
        Image.new("L", (SIDE, SIDE)).save(files[3])
        with pytest.raises(DataError, match=r"03\.png: has no alpha channel, which holds the other masks"):
            recognise_masks(files, TWO)


class TestPalettes:
    def shuffled(self, i: int) -> Image.Image:
        """The scene under a palette whose order differs from file to file."""
        order = np.random.default_rng(i).permutation(3)
        image = Image.fromarray(grey(np.argsort(order)[scene(i)]), "P")
        image.putpalette(PALETTE[order].ravel().tolist())
        return image

    def test_colours_of_the_class_list_win_over_indices(self, tmp_path: Path) -> None:
        files = draw(tmp_path, self.shuffled)
        reader = recognise_masks(files, COLORED)
        assert (reader.kind, reader.remark) == ("rgb", "palette PNG, labels by colour")
        assert_reads(reader, files, scene)

    def test_without_a_class_list_they_are_classes_by_colour(self, tmp_path: Path) -> None:
        files = draw(tmp_path, self.shuffled)
        reader = recognise_masks(files, None)
        assert reader.classes.colors == (STEEL, RIVET, RUST)
        assert "labels by colour since the palettes differ" in reader.remark
        assert_reads(reader, files, lambda i: np.array([0, 2, 1])[scene(i)])

    def test_names_without_colours_leave_a_doubt(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"index 0 of its palette is #......, but in .*; if the colours are the labe"
        ):
            recognise_masks(draw(tmp_path, self.shuffled), THREE)

    def test_one_palette_in_another_order_than_the_list(self, tmp_path: Path) -> None:
        def one(i: int) -> Image.Image:
            image = Image.fromarray(grey(scene(i)), "P")
            image.putpalette(PALETTE.ravel().tolist())
            return image

        files = draw(tmp_path, one)
        reversed_list = ClassList(THREE.names[::-1], COLORED.colors[::-1])
        assert_reads(recognise_masks(files, reversed_list), files, lambda i: 2 - scene(i))
        for known in (None, THREE, COLORED):
            reader = recognise_masks(files, known)
            assert reader.kind == "palette"
            assert_reads(reader, files, scene)

    def test_a_palette_for_show(self, tmp_path: Path) -> None:
        def shown(i: int) -> Image.Image:
            image = Image.fromarray(grey(scene(i)), "P")
            image.putpalette([9, 9, 9, 7, 7, 7, 200, 1, 1])
            return image

        files = draw(tmp_path, shown)
        assert_reads(recognise_masks(files, COLORED), files, scene)

    def test_palettes_may_differ_in_the_colour_of_void(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(scene(i), scene(i) != np.roll(scene(i), 1, 0))

        def image(i: int) -> Image.Image:
            drawn = Image.fromarray(grey(bordered(i)), "P")
            drawn.putpalette([*PALETTE.ravel().tolist(), *[0] * 756, i, i, i])
            return drawn

        files = draw(tmp_path, image)
        for known in (None, THREE, COLORED):
            reader = recognise_masks(files, known)
            assert reader.kind == "palette"
            assert_reads(reader, files, bordered)

    def test_the_colour_of_void_need_not_be_listed(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(scene(i), scene(i) != np.roll(scene(i), 1, 0))

        def image(i: int) -> Image.Image:
            order = np.random.default_rng(i).permutation(3)
            values = np.where(bordered(i) == 255, 255, np.argsort(order)[scene(i)])
            drawn = Image.fromarray(grey(values), "P")
            drawn.putpalette([*PALETTE[order].ravel().tolist(), *[0] * 756, 224, 224, 192])
            return drawn

        files = draw(tmp_path, image)
        assert_reads(recognise_masks(files, COLORED), files, bordered)


class TestObjectNumbers:
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_every_object_is_class_1(self, tmp_path: Path, kind: type, known: ClassList | None) -> None:
        files = tiffs(tmp_path, lambda i: cells(i).astype(kind))
        reader = recognise_masks(files, known)
        assert reader.kind == "objects" and len(reader.classes) == 2
        most = max(int(cells(i).max()) for i in range(COUNT))
        name = reader.classes.names[1]
        assert reader.remark == f"object numbers, up to {most} in a picture: every object is class '{name}'"
        assert_reads(reader, files, lambda i: cells(i) > 0)
        np.testing.assert_array_equal(reader.numbers(cells(0)), cells(0))

    def test_more_than_256_numbers(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: np.where(cells(i) > 0, cells(i) + 100 * i, 0).astype(np.uint16))
        assert_reads(recognise_masks(files, None), files, lambda i: cells(i) > 0)

    def test_an_unscored_border(self, tmp_path: Path) -> None:
        def bordered(i: int) -> np.ndarray:
            return unscored(cells(i), cells(i) != np.roll(cells(i), 1, 0))

        files = draw(tmp_path, lambda i: grey(bordered(i)))
        reader = recognise_masks(files, TWO)
        assert_reads(reader, files, lambda i: np.where(bordered(i) == 255, 255, bordered(i) > 0))
        assert reader.numbers(bordered(0)).max() == cells(0).max()

    def test_objects_with_a_part_behind_others(self, tmp_path: Path) -> None:
        def crossed(i: int) -> np.ndarray:
            numbers = cells(i)
            return np.where((np.arange(SIDE) == 8) & (numbers > 0), numbers.max() + 1, numbers)

        files = draw(tmp_path, lambda i: grey(cells(i) if i % 2 else crossed(i)))
        assert recognise_masks(files, TWO).kind == "objects"

    def test_names_for_more_classes_are_refused(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(cells(i)))
        with pytest.raises(
            DataError, match=r"values run to 1\d and number the objects .* but classes\.txt names 3 class"
        ):
            recognise_masks(files, THREE)

    def test_a_list_that_names_all_values_wins(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(cells(i)))
        known = ClassList(tuple(f"cell {k}" for k in range(13)))
        assert_reads(recognise_masks(files, known), files, cells)

    def test_classes_of_one_region_each_are_no_objects(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        reader = recognise_masks(files, None)
        assert (reader.kind, len(reader.classes), reader.notes) == ("index", 3, ())
        assert_reads(reader, files, scene)

    def test_scattered_classes_are_no_objects(self, tmp_path: Path) -> None:
        def scattered(i: int) -> np.ndarray:
            return np.repeat(np.repeat(np.random.default_rng(i).integers(0, 5 + i % 4, (12, 12)), 4, 0), 4, 1)

        files = draw(tmp_path, lambda i: grey(scattered(i)))
        assert_reads(recognise_masks(files, None), files, scattered)

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_classes_of_several_regions_are_no_objects(self, tmp_path: Path, known: ClassList | None) -> None:
        """Values that run from 1 to another number in each file, but of which six in ten are in several places."""

        def repeated(i: int) -> np.ndarray:
            numbers = 5 + i % 4
            places = np.concatenate([np.arange(1, numbers + 1), np.arange(1, 1 + round(0.6 * numbers))])
            order = np.random.default_rng(i).permutation(16)[: len(places)]
            label = np.zeros((SIDE, SIDE), np.int64)
            for place, number in zip(order, places, strict=True):
                label[place // 4 * 12 + 2 : place // 4 * 12 + 9, place % 4 * 12 + 2 : place % 4 * 12 + 9] = number
            return label

        files = draw(tmp_path, lambda i: grey(repeated(i)))
        reader = recognise_masks(files, known)
        if known is None:
            assert_reads(reader, files, repeated)
        else:
            assert reader.kind == "index" and reader.refused

    @pytest.mark.parametrize("known", [ONE, TWO])
    def test_a_value_below_zero_is_no_number(self, tmp_path: Path, known: ClassList) -> None:
        files = tiffs(tmp_path, lambda i: np.where(np.arange(SIDE) < 2, -1, cells(i)).astype(np.int16))
        refused = recognise_masks(files, known).refused
        assert (
            "label values -1, 2, 3, 4, 5, ... outside the class table" in refused or "label values -1, 1, 2" in refused
        )

    def test_as_many_layers_in_every_file_are_classes(self, tmp_path: Path) -> None:
        def layers(i: int) -> np.ndarray:
            return np.clip((np.arange(SIDE)[:, None] - i % 3) // 8, 0, 5) + np.zeros(SIDE, np.int64)

        files = draw(tmp_path, lambda i: grey(layers(i)))
        reader = recognise_masks(files, None)
        assert "up to 5, are taken for classes" in reader.notes[0]
        assert_reads(reader, files, layers)

    def test_no_data_between_few_objects(self, tmp_path: Path) -> None:
        """Pixels without data are in many places, and are no number."""

        def holed(i: int) -> np.ndarray:
            return np.where((np.arange(SIDE) % 12 == 0) & (np.arange(SIDE)[:, None] % 12 == 0), 200, cells(i, 5))

        files = tiffs(tmp_path, lambda i: grey(holed(i)), "200")
        reader = recognise_masks(files, None)
        assert reader.kind == "objects"
        assert_reads(reader, files, lambda i: np.where(holed(i) == 200, 255, holed(i) > 0))

    def test_a_doubt_is_said(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(cells(i, 3)))
        (note,) = recognise_masks(files, None).notes
        assert "up to 3, are taken for classes" in note
        assert "if they number objects, write classes.txt with the one name" in note
        assert recognise_masks(files, ONE).kind == "objects"

    def parted(self, i: int) -> np.ndarray:
        """Numbers of which the first two objects of a file are in two parts each, behind a bar."""
        numbers = cells(i)
        rows, columns = np.nonzero(np.isin(numbers, (1, 2)))
        for k in (1, 2):
            middle = int(np.median(columns[numbers[rows, columns] == k]))
            numbers[(numbers == k) & (np.arange(SIDE) == middle)] = 0
        return numbers

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_objects_in_two_parts_in_every_file(self, tmp_path: Path, known: ClassList | None) -> None:
        files = draw(tmp_path, lambda i: grey(self.parted(i)))
        whole = sum(blobs(self.parted(i), 0).whole for i in range(COUNT))
        assert whole < 0.85 * sum(blobs(self.parted(i), 0).numbers for i in range(COUNT))
        reader = recognise_masks(files, known)
        assert reader.kind == "objects"
        assert_reads(reader, files, lambda i: self.parted(i) > 0)
        np.testing.assert_array_equal(reader.objects(Pair(files[0], files[0]))[0], self.parted(0))

    def sparse(self, i: int, highest: int, kept: int = 8) -> np.ndarray:
        """Up to `kept` cells that bear numbers out of 1 to `highest`, as after small ones were removed."""
        numbers = np.sort(np.random.default_rng(50 + i).choice(highest, kept, replace=False)) + 1
        order = np.zeros(20, np.int64)
        order[1 : kept + 1] = numbers
        return order[cells(i)]

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_numbers_with_gaps(self, tmp_path: Path, known: ClassList | None) -> None:
        files = draw(tmp_path, lambda i: grey(self.sparse(i, 200)))
        reader = recognise_masks(files, known)
        assert reader.kind == "objects" and len(reader.classes) == 2
        assert_reads(reader, files, lambda i: self.sparse(i, 200) > 0)
        assert (len(reader.notes), "taken for numbers of objects" in "".join(reader.notes)) == {
            None: (1, True), ONE: (0, False), TWO: (1, True),
        }[known]  # fmt: skip

    def test_numbers_with_gaps_that_files_share_leave_a_doubt(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(self.sparse(i, 20)))
        with pytest.raises(
            DataError,
            match=r"\d\d\.png: holds some of 20 values up to 20, most .*: are they classes, or numbers of ob",
        ):
            recognise_masks(files, None)
        assert recognise_masks(files, ONE).kind == "objects"
        named = ClassList(tuple(f"part {k}" for k in range(21)))
        assert_reads(recognise_masks(files, named), files, lambda i: self.sparse(i, 20))

    def tiles(self, i: int) -> np.ndarray:
        """Numbers 1 to 36 of cells that leave no background."""
        return np.arange(SIDE)[:, None] // 8 * 6 + np.arange(SIDE) // 8 + 1 + 0 * i

    def test_objects_without_a_background(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(self.tiles(i)))
        with pytest.raises(DataError, match=r"holds some of 36 values up to 36, .*: are they classes, or numbers of"):
            recognise_masks(files, None)
        reader = recognise_masks(files, ONE)
        assert reader.kind == "objects"
        np.testing.assert_array_equal(reader.objects(Pair(files[0], files[0]))[0], self.tiles(0))

    def test_labels_from_1_with_too_few_names_are_no_objects(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i) + 1))
        assert "label values 2, 3 outside the class table of 2 classes" in recognise_masks(files, TWO).refused

    def test_few_numbers_with_gaps_are_said_and_one_name_overrules(self, tmp_path: Path) -> None:
        values = np.array([0, 2, 5, 9, 11, 14])
        files = draw(tmp_path, lambda i: grey(values[cells(i, 5)]))
        reader = recognise_masks(files, None)
        assert reader.kind == "index" and "are taken for classes" in reader.notes[0]
        assert recognise_masks(files, ONE).kind == "objects"

    def test_layers_are_taken_for_objects_only_with_a_word(self, tmp_path: Path) -> None:
        """Bands of one region each, of which the lower ones leave the picture: a list of their names overrules."""

        def layers(i: int) -> np.ndarray:
            return np.minimum(np.maximum(np.arange(SIDE)[:, None] - 6, 0) // 6, 3 + i % 4) + np.zeros(SIDE, np.int64)

        files = draw(tmp_path, lambda i: grey(layers(i)))
        reader = recognise_masks(files, None)
        assert reader.kind == "objects"
        (note,) = reader.notes
        assert note.startswith(
            "the masks' values, up to 6, are taken for numbers of objects, since most are one region"
        )
        assert note.endswith("if they are classes, as layers are, write classes.txt with the name of each value")
        named = recognise_masks(files, ClassList(tuple(f"layer {k}" for k in range(7))))
        assert named.notes == ()
        assert_reads(named, files, layers)

    def test_zero_as_no_data_is_the_background_of_objects(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: cells(i).astype(np.uint16), "0")
        reader = recognise_masks(files, None)
        assert_reads(reader, files, lambda i: cells(i) > 0)
        assert "declare 0 to be no data, but it is scored as class 'background'" in reader.notes[0]

    @pytest.mark.parametrize("known", [None, ONE, TWO])
    def test_a_colour_for_each_object(self, tmp_path: Path, known: ClassList | None) -> None:
        def colored(i: int) -> np.ndarray:
            colors = np.random.default_rng(100 + i).integers(1, 256, (20, 3)).astype(np.uint8)
            colors[0] = 0
            return colors[cells(i)]

        files = draw(tmp_path, colored)
        reader = recognise_masks(files, known)
        assert reader.remark.startswith("colours of objects, on #000000: every object is class")
        assert_reads(reader, files, lambda i: cells(i) > 0)


class TestOtherTypes:
    @pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint32, np.int32, np.int64, np.float32, np.float64])
    def test_whole_numbers_of_any_type(self, tmp_path: Path, kind: type) -> None:
        files = tiffs(tmp_path, lambda i: scene(i).astype(kind))
        reader = recognise_masks(files, THREE)
        assert reader.remark == "index TIFF"
        assert_reads(reader, files, scene)

    @pytest.mark.parametrize(("kind", "nodata"), [(np.int32, "-9999"), (np.float32, "-9999"), (np.uint8, "200")])
    @pytest.mark.parametrize("known", [None, TWO])
    def test_no_data_is_not_scored(self, tmp_path: Path, kind: type, nodata: str, known: ClassList | None) -> None:
        values = np.array([0, 1, int(nodata)])
        files = tiffs(tmp_path, lambda i: values[scene(i)].astype(kind), nodata)
        reader = recognise_masks(files, known)
        assert len(reader.classes) == 2
        assert_reads(reader, files, lambda i: np.array([0, 1, 255])[scene(i)])

    def test_not_a_number_and_the_least_float_are_no_data(self, tmp_path: Path) -> None:
        for name, value, tag in (
            ("nan", np.nan, "nan"),
            ("least", np.finfo(np.float32).min, "-3.4028234663852886e+38"),
        ):
            (tmp_path / name).mkdir()
            files = tiffs(tmp_path / name, lambda i, v=value: np.array([0, 1, v], np.float32)[scene(i)], tag)
            assert_reads(recognise_masks(files, TWO), files, lambda i: np.array([0, 1, 255])[scene(i)])

    def test_undecided_pixels_are_background_where_the_list_says_so(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: np.array([0, 1, -1])[scene(i)].astype(np.int16), "-1")
        known = ClassList(("rust", "background"), unlabelled="background")
        assert_reads(recognise_masks(files, known), files, lambda i: np.array([0, 1, 1])[scene(i)])

    def test_no_data_that_files_disagree_about_is_refused(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)))
        (tmp_path / "more").mkdir()
        more = tiffs(tmp_path / "more", lambda i: grey(scene(i)), "2")
        with pytest.raises(
            DataError, match=r"more/00\.tif: declares 2 to be no data, but .*00\.tif holds 2 and does no"
        ):
            recognise_masks([*files, more[0]], None)

    def test_zero_as_no_data(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)), "0")
        assert_reads(recognise_masks(files, THREE), files, scene)  # a name for each value
        from_one = lambda i: np.array([255, 0, 1])[scene(i)]  # noqa: E731
        reader = recognise_masks(files, ClassList(("rust", "rivet")))
        assert "names from 1: 0 is not scored" in reader.remark
        assert_reads(reader, files, from_one)
        reader = recognise_masks(files, None)
        assert reader.classes.names == ("class_1", "class_2") and "0 is no data" in reader.remark
        assert_reads(reader, files, from_one)

    @pytest.mark.parametrize(
        ("nodata", "remedy"), [("0", "put a line 'ignore: 0' in place of its name"), ("1", "save it as 255"),
                               ("2", "put a line 'ignore: 2' in place of its name")],
    )  # fmt: skip
    def test_no_data_that_the_list_names_is_scored_and_said(self, tmp_path: Path, nodata: str, remedy: str) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)), nodata)
        reader = recognise_masks(files, THREE)
        assert_reads(reader, files, scene)
        (note,) = reader.notes
        name = THREE.names[int(nodata)]
        assert note.startswith(
            f"the masks declare {nodata} to be no data, but it is scored as class '{name}', as class"
        )
        assert remedy in note

    @pytest.mark.parametrize(("nodata", "kept"), [("0", (255, 0, 1)), ("2", (0, 1, 255))])
    def test_the_remedy_for_scored_no_data(self, tmp_path: Path, nodata: str, kept: tuple[int, ...]) -> None:
        files = tiffs(tmp_path, lambda i: grey(scene(i)), nodata)
        names = tuple(name for k, name in enumerate(THREE.names) if k != int(nodata))
        reader = recognise_masks(files, ClassList(names, (), int(nodata)))
        assert reader.notes == ()
        unscored = reader.classes.ignore_index
        assert_reads(reader, files, lambda i: np.array([unscored if v == 255 else v for v in kept])[scene(i)])

    def test_zero_of_two_values_is_scored_and_said(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(disc(i)), "0")
        reader = recognise_masks(files, None)
        assert_reads(reader, files, disc)
        assert "write classes.txt with a line 'ignore: 0' and the names of the other values" in reader.notes[0]

    def test_no_data_that_leaves_one_value_is_refused(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: grey(disc(i) * 255), "255")
        for known in (None, TWO):
            with pytest.raises(
                DataError, match=r"00\.tif: declares 255 to be no data, and no mask holds a value besides"
            ):
                recognise_masks(files, known)

    def test_fractions_are_no_labels(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: (disc(i) * 0.7).astype(np.float32))
        with pytest.raises(DataError, match=r"00\.tif: holds fractions such as 0\.7, which are no labels \(probabilit"):
            recognise_masks(files, TWO)

    def test_values_below_zero(self, tmp_path: Path) -> None:
        files = tiffs(tmp_path, lambda i: (scene(i) - 1).astype(np.int8))
        assert "or name an unscored value there with a line 'ignore: -1'" in recognise_masks(files, TWO).refused
        with pytest.raises(DataError, match=r"00\.tif: holds the label value -1; write classes\.txt"):
            recognise_masks(files, None)
        assert_reads(
            recognise_masks(files, ClassList(("rust", "rivet"), (), -1)),
            files,
            lambda i: np.array([255, 0, 1])[scene(i)],
        )

    def test_bands_that_differ(self, tmp_path: Path) -> None:
        bands = np.dstack([scene(0) == k for k in range(5)]).astype(np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig")
        with pytest.raises(
            DataError, match=r"a\.tif: 5 channels that differ; a mask has one channel of labels, or three"
        ):
            recognise_masks([tmp_path / "a.tif"], THREE)

    def test_dark_colours_of_16_bits_keep_all_their_bits(self, tmp_path: Path) -> None:
        colors = np.array([(0, 0, 0), (1, 0, 0), (2, 0, 0)], np.uint16)
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colors[scene(0)]))
        known = ClassList(THREE.names, ((0, 0, 0), (1, 0, 0), (2, 0, 0)))
        reader = recognise_masks([tmp_path / "a.png"], known)
        np.testing.assert_array_equal(read(reader, tmp_path / "a.png"), scene(0))


class TestClassesFrom1:
    @pytest.mark.parametrize("offset", [0, 1])
    def test_zero_is_not_scored(self, tmp_path: Path, offset: int) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i) + offset))
        names = THREE.names[1 - offset :]
        reader = recognise_masks(files, ClassList(names, (), 0))
        assert reader.classes.names == names and reader.classes.ignore_index == 255
        assert reader.remark == "index PNG, names from 1: 0 is not scored"
        assert_reads(reader, files, lambda i: scene(i) if offset else np.array([255, 0, 1])[scene(i)])

    def test_the_hint_names_both_ways_out_and_never_the_largest_label(self, tmp_path: Path) -> None:
        files = draw(tmp_path / "zero", lambda i: grey(scene(i)))
        refused = recognise_masks(files, ClassList(("rust", "rivet"))).refused
        assert "label value 2 outside the class table of 2 classes (0..1, ignore 255)" in refused
        assert "name 0 in a first line if it is a class, or write a line 'ignore: 0'" in refused
        assert "ignore: 2" not in refused
        refused = recognise_masks(files, ClassList(("background", "rivet"))).refused  # 0 has a name
        assert refused.endswith("(0..1, ignore 255); add the class to classes.txt (such values in 11 more files)")
        files = draw(tmp_path / "one", lambda i: grey(scene(i) + 1))
        refused = recognise_masks(files, THREE).refused
        assert "if labels count from 1, write a line 'ignore: 0' in classes.txt" in refused
        assert "ignore: 3" not in refused

    def test_a_hint_names_a_file_that_is_read(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        refused = recognise_masks(files, ClassList(("rust", "rivet"), file="labelmap.txt")).refused
        assert "in a classes.txt, in place of labelmap.txt, name 0 in a first line" in refused

    def test_a_stray_value_may_be_unscored(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(np.where((i == 3) & (scene(i) == 2), 77, scene(i))))
        refused = recognise_masks(files, THREE).refused
        assert refused.startswith(f"{files[3]}: label value 77 outside") and "a line 'ignore: 77'" in refused
        both = ClassList(THREE.names, (), 77, (), "", (255,))
        assert_reads(recognise_masks(files, both), files, lambda i: np.where((i == 3) & (scene(i) == 2), 77, scene(i)))

    def test_a_name_of_zero_beside_it_is_refused(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        with pytest.raises(
            DataError, match=r"'ignore: 0', so that its names count from 1, but begins with 'void', and n"
        ):
            recognise_masks(files, ClassList(("void", "rust", "rivet"), (), 0))

    @pytest.mark.parametrize("zero", ["Void", "no data", "no-data", "_background_", "__ignore__", "Unclassified", "bg"])
    def test_names_that_zero_is_usually_given(self, tmp_path: Path, zero: str) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        with pytest.raises(DataError, match=f"begins with '{zero}', and no mask holds 3; leave that name out"):
            recognise_masks(files, ClassList((zero, "rust", "rivet"), (), 0))

    def test_any_other_name_of_zero_is_asked_for(self, tmp_path: Path) -> None:
        """Names count from 1, so that a first name for 0 would put every other one off by one."""
        files = draw(tmp_path, lambda i: grey(scene(i)))
        reader = recognise_masks(files, ClassList(("sky", "rust", "rivet"), (), 0))
        assert reader.notes == (
            "classes.txt says 'ignore: 0', so its names count from 1: 'sky' is 1, and 'rivet' is 3, which no mask holds"
            "; if 'sky' is the name of 0, which is not scored, leave it out",
        )
        assert recognise_masks(files, ClassList(("rust", "rivet"), (), 0)).notes == ()
        assert (
            recognise_masks(files, ClassList(("sky", "rust", "rivet", "nut"), (), 0)).notes[0].endswith("leave it out")
        )

    def test_unlabelled_says_what_zero_is(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: grey(scene(i)))
        ignored = recognise_masks(files, ClassList(("rust", "rivet"), unlabelled="ignore"))
        assert_reads(ignored, files, lambda i: np.array([255, 0, 1])[scene(i)])
        background = recognise_masks(files, ClassList(("rust", "rivet"), unlabelled="background"))
        assert background.classes.names == ("background", "rust", "rivet")
        assert_reads(background, files, scene)

    def test_values_of_a_list_that_gives_them(self, tmp_path: Path) -> None:
        files = draw(tmp_path, lambda i: np.array([1, 4, 9], np.uint8)[scene(i)])
        reader = recognise_masks(files, ClassList(THREE.names, values=(1, 4, 9), file="_classes.csv"))
        assert_reads(reader, files, scene)
