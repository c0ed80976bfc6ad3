from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foveate.errors import ConfigError, DataError, OutputError
from foveate.records import ClassTable
from foveate.visualize import pixels
from foveate.visualize.overlay import (
    ERROR_COLORS,
    RIGHT,
    UNSCORED,
    VOID_COLOR,
    WRONG_FAR,
    WRONG_NEAR,
    error_kinds,
    error_map,
    index_png,
    overlay,
)

CLASSES = ClassTable(("ground", "thing"), ((10, 200, 0), (255, 0, 100)))


def test_a_pixel_is_blended_as_computed_by_hand() -> None:
    image = np.full((4, 4, 3), (100, 50, 201), np.uint8)
    mask = np.ones((4, 4), np.uint8)
    drawn = overlay(image, mask, CLASSES, alpha=0.55)
    # 0.45 * (100, 50, 201) + 0.55 * (255, 0, 100) = (185.25, 22.5, 145.45); 22.5 rounds to the even 22
    assert drawn.dtype == np.uint8
    assert np.unique(drawn.reshape(-1, 3), axis=0).tolist() == [[185, 22, 145]]


def test_pixels_without_a_class_show_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    mask = np.full((5, 6), 255, np.uint8)
    mask[:, 3:] = 7  # in neither the table nor its ignore value
    np.testing.assert_array_equal(overlay(image, mask, CLASSES, outlines=True), image)


def test_alpha_of_nothing_and_of_all() -> None:
    rng = np.random.default_rng(1)
    image, mask = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), rng.integers(0, 2, (9, 7))
    np.testing.assert_array_equal(overlay(image, mask, CLASSES, alpha=0.0, outlines=False), image)
    np.testing.assert_array_equal(overlay(image, mask, CLASSES, alpha=1.0), np.array(CLASSES.colors)[mask])
    with pytest.raises(ConfigError, match=r"alpha is 1\.5; give a share from 0"):
        overlay(image, mask, CLASSES, alpha=1.5)


def test_outlines_are_the_inner_rim_in_the_full_colour() -> None:
    image = np.zeros((3, 4, 3), np.uint8)
    mask = np.array([[0, 0, 1, 1]] * 3)
    drawn = overlay(image, mask, CLASSES, alpha=0.5)
    assert drawn[1].tolist() == [[5, 100, 0], [10, 200, 0], [128, 0, 50], [128, 0, 50]]


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    image, mask = rng.integers(0, 256, (37, 23, 3), dtype=np.uint8), rng.integers(0, 3, (37, 23))
    target = np.kron(rng.integers(0, 3, (8, 5)), np.ones((5, 5), int))[:37, :23]
    whole = (
        overlay(image, mask, CLASSES),
        error_map(mask, target, CLASSES, image),
        error_kinds(mask, target, CLASSES, 4),
    )
    monkeypatch.setattr(pixels, "STRIP_PIXELS", 70)  # three rows
    cut = overlay(image, mask, CLASSES), error_map(mask, target, CLASSES, image), error_kinds(mask, target, CLASSES, 4)
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 1, 3), (1, 900, 3), (3, 2, 2), (2, 3, 7)])
def test_any_size_and_any_number_of_channels(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    drawn = overlay(image, np.zeros(shape[:2], np.uint8), CLASSES, alpha=0.0)
    shown = image.reshape(*shape[:2], -1)
    shown = shown[..., :3] if shown.shape[2] >= 3 else np.repeat(shown[..., :1], 3, axis=2)
    np.testing.assert_array_equal(drawn, shown)


def test_sixteen_bits_and_fractions_are_shown_as_eight_bits() -> None:
    mask = np.full((1, 3), 255)
    sixteen = np.array([[0, 0x8040, 0xFFFF]], np.uint16)
    assert overlay(sixteen, mask, CLASSES)[0, :, 0].tolist() == [0, 0x80, 255]
    assert overlay(np.array([[0.0, 0.5, 1.0]], np.float32), mask, CLASSES)[0, :, 0].tolist() == [0, 128, 255]


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"mask of shape \(4, 5\) does not fit a picture of 4x6 pixels"):
        overlay(np.zeros((4, 6, 3), np.uint8), np.zeros((4, 5), np.uint8), CLASSES)
    with pytest.raises(DataError, match="cannot be drawn"):
        overlay(np.zeros((0, 6, 3), np.uint8), np.zeros((0, 6), np.uint8), CLASSES)


def test_error_kinds_counted_by_hand() -> None:
    target = np.zeros((6, 10), np.uint8)
    target[:, 5:] = 1
    target[0] = 255
    mask = target.copy()
    mask[0] = 0
    mask[1:, 5] = 0  # five pixels beside the contour
    mask[3, 0] = mask[4, 9] = 7  # two far from it; a label outside the table is wrong, too
    counts = np.bincount(error_kinds(mask, target, CLASSES, reach=1).ravel(), minlength=4)
    assert counts[[RIGHT, WRONG_NEAR, WRONG_FAR, UNSCORED]].tolist() == [43, 5, 2, 10]
    assert np.bincount(error_kinds(mask, target, CLASSES, reach=9).ravel(), minlength=4).tolist() == [43, 7, 0, 10]


def test_error_map_shows_the_kinds() -> None:
    target = np.zeros((6, 10), np.uint8)
    target[:, 5:] = 1
    target[0] = 255
    mask = target.copy()
    mask[1:, 5] = 0
    mask[3, 0] = 1
    for image in (None, np.full((6, 10, 3), 90, np.uint8)):
        drawn = error_map(mask, target, CLASSES, image)
        kinds = error_kinds(mask, target, CLASSES)
        for kind in (WRONG_NEAR, WRONG_FAR, UNSCORED):
            np.testing.assert_array_equal((drawn == ERROR_COLORS[kind]).all(axis=2), kinds == kind)
    assert error_map(mask, target, CLASSES)[3, 2].tolist() == list(ERROR_COLORS[RIGHT])
    assert drawn[3, 2].tolist() == [174] * 3  # 140 + 90 * 99 / 255 = 174.9: faded
    assert drawn[3, 4].tolist() == [87] * 3  # beside the contour: half as light


def test_palette_png_keeps_labels_and_colours(tmp_path) -> None:
    mask = np.random.default_rng(5).choice([0, 1, 255], (13, 17)).astype(np.int32)
    index_png(mask, CLASSES, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as read:
        assert read.mode == "P"
        np.testing.assert_array_equal(np.asarray(read), mask)
        colors = np.asarray(read.convert("RGB"))
    assert colors[mask == 1].tolist() == [[255, 0, 100]] * int((mask == 1).sum())
    assert set(map(tuple, colors[mask == 255].tolist())) == {VOID_COLOR}


@pytest.mark.parametrize("classes", [CLASSES, ClassTable(tuple(str(i) for i in range(400)), ignore_index=65535)])
def test_labels_beyond_a_byte_become_sixteen_bits(classes: ClassTable, tmp_path) -> None:
    mask = np.array([[0, 1, 399], [256, 65535, 255]])
    index_png(mask, classes, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as read:
        assert read.mode.startswith("I;16")
        np.testing.assert_array_equal(np.asarray(read), mask)
    index_png(mask % 2, classes, tmp_path / "low.png")  # the table decides, so that all masks of a run are alike
    with Image.open(tmp_path / "low.png") as read:
        assert (read.mode == "P") == (len(classes) <= 256)


def test_masks_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(DataError, match=r"labels -1\.\.3 do not fit into .*m\.png; a PNG holds 0\.\.65535"):
        index_png(np.array([[-1, 3]]), CLASSES, tmp_path / "m.png")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*taken"):
        index_png(np.array([[0, 1]]), CLASSES, tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]  # no half-written file stays


def test_an_overlay_holds_one_copy_of_a_large_picture() -> None:
    import tracemalloc

    image, mask = np.zeros((3000, 4000, 3), np.uint8), np.zeros((3000, 4000), np.uint8)
    tracemalloc.start()
    overlay(image, mask, CLASSES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes + 64 * 1024 * 1024


def test_background_is_not_painted_unless_asked_for():
    table = ClassTable(("background", "nucleus"), ((0, 0, 0), (255, 0, 0)))
    image, mask = np.full((4, 6, 3), 200, np.uint8), np.zeros((4, 6), np.uint8)
    mask[:, 3:] = 1
    drawn = overlay(image, mask, table, alpha=0.5)
    assert (drawn[:, :3] == 200).all()  # neither blended nor outlined
    assert (drawn[:, 3:] == (228, 100, 100)).all()
    assert (overlay(image, mask, table, alpha=0.5, outlines=False, background=True)[:, :3] == 100).all()
    other = ClassTable(("sky", "nucleus"), table.colors)
    assert (overlay(image, mask, other, alpha=0.5, outlines=False)[:, :3] == 100).all()


def test_dark_images_are_brightened_and_others_stay():
    table = ClassTable(("_background_", "cell"), ((0, 0, 0), (255, 0, 0)))
    mask = np.zeros((20, 20), np.uint8)
    image = np.zeros((20, 20, 3), np.uint8)
    image[5:15, 5:15] = 23
    drawn = overlay(image, mask, table)
    assert (drawn[5:15, 5:15] == 230).all()
    assert (drawn[:5] == 0).all()
    image[5:15, 5:15] = 64  # bright enough
    assert np.array_equal(overlay(image, mask, table), image)
