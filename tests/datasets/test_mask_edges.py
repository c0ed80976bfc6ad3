"""The meaning of the values of masks with smoothed edges or stretched greys."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mask_scenes import (
    COLORED,
    COUNT,
    PALETTE,
    SIDE,
    THREE,
    TWO,
    assert_reads,
    blurred,
    cells,
    disc,
    draw,
    grey,
    read,
    scene,
    unscored,
)
from PIL import Image

from foveate import pictures
from foveate.datasets.classes import ClassList
from foveate.datasets.masks import recognise_masks
from foveate.datasets.masks.evidence import blobs, edges
from foveate.errors import DataError


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

    @pytest.mark.parametrize("quality", [50, 80, 95])
    def test_lossy_webp_files(self, tmp_path: Path, quality: int) -> None:
        def webp(folder: str, values: Callable[[int], np.ndarray], **settings: object) -> list[Path]:
            (tmp_path / folder).mkdir()
            files = [tmp_path / folder / f"{i:02}.webp" for i in range(COUNT)]
            for i, file in enumerate(files):
                Image.fromarray(values(i)).save(file, **{"quality": quality, **settings})
            return files

        roughly = r"00\.webp: a lossy WebP keeps labels only roughly; save masks as PNG"
        files = webp("two", lambda i: grey(disc(i) * 255))
        for known in (None, TWO):
            if quality == 95:
                assert_reads(recognise_masks(files, known), files, disc)
            else:  # the codec's noise inside regions may be a label
                with pytest.raises(DataError, match=roughly):
                    recognise_masks(files, known)
        files = webp(
            "see-through", lambda i: np.dstack([grey(disc(i) * 255)] * 3 + [np.full((SIDE, SIDE), 200 + i, "u1")])
        )
        assert all(pictures.read_raw(file).lossy for file in files)  # in the extended form of the file
        with pytest.raises(DataError, match=roughly):
            recognise_masks(webp("index", lambda i: grey(scene(i))), None)
        flat = webp("colours", lambda i: np.full((SIDE, SIDE, 3), (250, 50, 80 + i), np.uint8))
        with pytest.raises(DataError, match=roughly):
            recognise_masks(flat, None)
        for name, values in (("kept", scene), ("alpha", lambda i: np.dstack([PALETTE[scene(i)], grey(disc(i) + 254)]))):
            files = webp(name, lambda i, v=values: grey(v(i)), lossless=True, exact=True)
            assert not any(pictures.read_raw(file).lossy for file in files)
        files = webp("exact", lambda i: grey(scene(i)), lossless=True)
        reader = recognise_masks(files, THREE)
        assert reader.kind == "index"
        assert_reads(reader, files, scene)

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
