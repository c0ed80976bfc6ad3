from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foveate.errors import DataError
from foveate.visualize.sheets import class_sheet


def box(picture: Image.Image, color: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of a colour."""
    rows, columns = np.nonzero((np.asarray(picture) == color).all(2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_pictures_stand_over_their_class_and_name() -> None:
    tints = [(200, 10, 10), (10, 200, 250), (240, 240, 10)]
    samples = [(np.full((30 + 10 * i, 30, 3), tint, np.uint8), f"class {i}", "a.png") for i, tint in enumerate(tints)]
    sheet = class_sheet(iter(samples), columns=2, thumb=120)
    assert sheet.width == 2 * 120 + 3 * 8
    assert box(sheet, tints[0]) == (8, 8, 128, 128)
    assert box(sheet, tints[1])[:2] == (136 + 15, 8) and box(sheet, tints[1])[3] == 128  # 90 of 120 wide, in the middle
    assert box(sheet, tints[2])[1] > 128
    rows = np.asarray(sheet.crop((8, 128, 128, box(sheet, tints[2])[1])).convert("L")).min(1)
    written = np.flatnonzero(rows < 200)
    lines = np.split(rows[written], np.flatnonzero(np.diff(written) > 1) + 1)
    assert len(lines) == 2 and lines[0].min() < lines[1].min()  # the class in ink, then the file in grey


def test_grey_and_two_channels() -> None:
    grey = class_sheet([(np.full((10, 10, 1), 77, np.uint8), "a", "b")], thumb=100)
    assert box(grey, (77, 77, 77)) == (8, 8, 108, 108)
    two = np.stack((np.full((20, 20), 50, np.uint8), np.full((20, 20), 90, np.uint8)), 2)
    sheet = class_sheet([(two, "a", "b")], thumb=164)
    left, right = box(sheet, (50, 50, 50)), box(sheet, (90, 90, 90))
    assert left[0] == 10 and right[2] == 10 + 164 and left[2] < right[0]
    assert left[1] == right[1] and left[3] == right[3]


def test_long_names_are_cut_and_no_samples_are_refused() -> None:
    sheet = class_sheet([(np.zeros((9, 9, 3), np.uint8), "x" * 300, "y" * 300)], thumb=100)
    assert sheet.width == 100 + 2 * 8
    assert (np.asarray(sheet)[110:, :8] == 255).all()
    with pytest.raises(DataError, match="no samples for a contact sheet"):
        class_sheet([])
