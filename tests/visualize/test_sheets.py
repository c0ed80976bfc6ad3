from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foveate.errors import DataError
from foveate.records import ClassTable
from foveate.visualize import sheets
from foveate.visualize.sheets import contact_sheet, fitted, percent, with_legend

CLASSES = ClassTable(("ground", "thing", "rare"), ((10, 200, 0), (255, 0, 100), (0, 0, 255)))


def colors_of(picture: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))


def test_the_legend_names_what_is_there_largest_first() -> None:
    shares = {"rare": 0.0004, "ground": 0.25, "thing": 0.7496}
    assert sheets._entries(CLASSES, shares) == [
        ((255, 0, 100), "thing  75.0 %"),
        ((10, 200, 0), "ground  25.0 %"),
        ((0, 0, 255), "rare  <0.1 %"),
    ]
    assert [text for _, text in sheets._entries(CLASSES, {"ground": 1.0, "thing": 0.0})] == ["ground  100.0 %"]
    assert [text for _, text in sheets._entries(CLASSES, None)] == ["ground", "thing", "rare"]
    assert percent(0.0) == "0.0 %"


def test_the_picture_stands_above_its_legend_untouched() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 300, 3), dtype=np.uint8)
    for given in (picture, Image.fromarray(picture)):
        drawn = with_legend(given, CLASSES, {"ground": 0.4, "thing": 0.6})
        assert drawn.width == 300 and drawn.height > 120
        np.testing.assert_array_equal(np.asarray(drawn)[:120], picture)
        legend = colors_of(drawn.crop((0, 120, 300, drawn.height)))
        assert {(10, 200, 0), (255, 0, 100)} <= legend
        assert (0, 0, 255) not in legend


def test_a_tiny_picture_gets_a_legend_that_fits() -> None:
    drawn = with_legend(np.zeros((1, 1, 3), np.uint8), CLASSES, {"thing": 1.0})
    assert drawn.width > 60
    margin = np.asarray(drawn)[1:, -4:]
    assert (margin == 255).all()  # the text ends before the edge


def test_a_share_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(
        DataError, match="a share of 'cow', which is not in the class table; known: ground, thing, rare"
    ):
        with_legend(np.zeros((4, 4, 3), np.uint8), CLASSES, {"cow": 1.0})


def test_a_contact_sheet_holds_every_sample_and_counts_all_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(sheets, "with_legend", lambda sheet, classes, shares: seen.update(shares) or sheet)
    tints = [(200, 10, 10), (10, 200, 250), (240, 240, 10), (90, 0, 160), (0, 70, 0)]
    samples = []
    for i, tint in enumerate(tints):
        image = np.full((20 + 30 * i, 60, 3), tint, np.uint8)
        mask = np.full(image.shape[:2], 255, np.uint8)
        mask[:10] = 0
        mask[10:15] = 1
        samples.append((image, mask, f"a rather long name of a picture, number {i}.png"))
    sheet = contact_sheet(iter(samples), CLASSES, columns=3, thumb=120)
    assert set(tints) <= colors_of(sheet)
    assert sheet.width == 3 * 120 + 4 * 8
    assert seen == pytest.approx({"ground": 2 / 3, "thing": 1 / 3, "rare": 0.0})
    with pytest.raises(DataError, match="no samples for a contact sheet"):
        contact_sheet([], CLASSES)


@pytest.mark.parametrize("size", [(1, 1), (3, 1000), (1000, 3), (50, 70), (700, 500)])
def test_fitting_keeps_labels_and_stays_inside(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image, mask = rng.integers(0, 256, (*size, 3), dtype=np.uint8), rng.choice([0, 3, 250], size).astype(np.uint8)
    small, labels = fitted(image, mask, 96, 64)
    assert small.shape == (*labels.shape, 3)
    assert labels.shape[0] <= 64 and labels.shape[1] <= 96
    assert labels.shape[0] == 64 or labels.shape[1] == 96
    assert set(np.unique(labels)) <= {0, 3, 250} and labels.dtype == np.uint8


def test_doubling_a_mask_repeats_its_labels() -> None:
    mask = np.arange(12).reshape(3, 4)
    _, labels = fitted(np.zeros((3, 4, 3), np.uint8), mask, 8, 6)
    np.testing.assert_array_equal(labels, np.kron(mask, np.ones((2, 2), int)))
