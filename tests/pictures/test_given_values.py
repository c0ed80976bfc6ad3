"""Pictures for a model: luminance, channels and intensities, as computed by hand; the same from a data set's sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from foveate.errors import DataError
from foveate.pictures.given import as_windows, note_of, open_for, read_all, suit
from foveate.records import Preprocessing

GREY, COLOUR = Preprocessing((0.0,), (1.0,)), Preprocessing((0.0,) * 3, (1.0,) * 3)
TWELVE = Preprocessing((0.0,) * 3, (1.0,) * 3, window=((100, 4100),) * 3, values="uint16")
PIXEL = (10, 20, 30)  # 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 2.99 + 11.74 + 3.42 = 18.15


def picture(values: Any, dtype: str = "uint8") -> np.ndarray:
    """2x2 pixels of one colour."""
    return np.broadcast_to(np.array(values, dtype), (2, 2, len(values))).copy()


def seen(given: Any, preprocessing: Preprocessing) -> list[float]:
    """The channels of one pixel, as a model gets them before its mean and std."""
    windows = open_for(given, preprocessing, "fcn8s")
    assert windows.read(0, 0, 1, 1).shape == (1, 1, len(preprocessing.mean)) == (1, 1, windows.channels)
    whole = read_all(windows)
    windows.close()
    assert whole.shape == (len(preprocessing.mean), 2, 2)
    return (whole[:, 0, 0].float() / (255 if whole.dtype == torch.uint8 else 1)).tolist()


def from_set(array: np.ndarray, preprocessing: Preprocessing) -> list[float]:
    """The same of a data set's sample."""
    image, _ = suit(torch.from_numpy(array).permute(2, 0, 1), preprocessing, "fcn8s", "a.png")
    return (image[:, 0, 0].float() / (255 if image.dtype == torch.uint8 else 1)).tolist()


@pytest.fixture(params=["array", "file", "sample"])
def look(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """look(array, preprocessing): channels of a pixel, given as an array, as a file, or by a data set."""

    def through(array: np.ndarray, preprocessing: Preprocessing) -> list[float]:
        if request.param == "sample":
            return from_set(array, preprocessing)
        if request.param == "array":
            return seen(array, preprocessing)
        options: dict[str, Any] = {"planarconfig": "contig"} if array.shape[2] > 1 else {}
        colour = "rgb" if array.shape[2] == 3 else "minisblack"
        tifffile.imwrite(tmp_path / "a.tif", array, photometric=colour, **options)
        return seen(tmp_path / "a.tif", preprocessing)

    return through


def test_a_model_of_grey_images_takes_the_luminance(look: Any) -> None:
    assert look(picture(PIXEL), GREY) == pytest.approx([18 / 255])
    assert look(picture([100 * v for v in PIXEL], "uint16"), GREY) == pytest.approx([1815 / 65535])
    assert look(picture([v / 100 for v in PIXEL], "float32"), GREY) == pytest.approx([0.1815])


def test_the_luminance_of_white_is_white_and_of_grey_is_grey(look: Any) -> None:
    assert look(picture((255, 255, 255)), GREY) == [1.0]
    assert look(picture((77, 77, 77)), GREY) == pytest.approx([77 / 255])


def test_the_window_applies_to_the_luminance(look: Any) -> None:
    model = Preprocessing((0.0,), (1.0,), window=((1000, 3000),), values="uint16")
    assert look(picture((1000, 2000, 3000), "uint16"), model) == pytest.approx([(1815 - 1000) / 2000])


def test_the_window_of_each_channel(look: Any) -> None:
    model = Preprocessing((0.0,) * 3, (1.0,) * 3, window=((0, 4000), (1000, 2000), (0, 100)), values="uint16")
    assert look(picture((1000, 1250, 3000), "uint16"), model) == pytest.approx([0.25, 0.25, 1.0])


def test_the_window_of_floats(look: Any) -> None:
    model = Preprocessing((0.0,) * 3, (1.0,) * 3, window=((-1, 3),) * 3, values="float32")
    assert look(picture((0, 2, 9), "float32"), model) == pytest.approx([0.25, 0.75, 1.0])
    assert look(picture((np.nan, -5, 0), "float32"), model) == pytest.approx([0.0, 0.0, 0.25])


def test_other_types_of_more_than_8_bits_share_a_window(look: Any) -> None:
    for dtype in ("uint16", "int16", "int32", "uint32"):
        assert look(picture((100, 2100, 4100), dtype), TWELVE) == [0.0, 0.5, 1.0]


def test_a_grey_sample_becomes_three_equal_channels() -> None:
    assert from_set(picture((51,)), COLOUR) == pytest.approx([0.2, 0.2, 0.2])
    assert seen(picture((51,)), COLOUR) == pytest.approx([0.2, 0.2, 0.2])


def test_without_a_window_each_type_has_its_full_range(look: Any) -> None:
    assert look(picture((0, 51, 255)), COLOUR) == pytest.approx([0, 0.2, 1])
    assert look(picture((0, 13107, 65535), "uint16"), COLOUR) == pytest.approx([0, 0.2, 1])
    assert look(picture((0, 0.2, 1), "float32"), COLOUR) == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize(
    ("array", "preprocessing", "message"),
    [
        (
            picture(PIXEL),
            TWELVE,
            r"holds 8 bits \(uint8\); fcn8s was trained on more than 8 bits \(uint16\), .*100..4100",
        ),
        (picture((0.1, 0.2, 0.3), "float32"), TWELVE, r"holds floats \(float32\); fcn8s was trained on more than 8"),
        (picture((1, 2, 3), "int16"), COLOUR, "values of type int16; fcn8s takes 8 or 16 bits, unsigned"),
        (picture((1, 2, 3, 4)), COLOUR, "has 4 channels; fcn8s was trained on 3"),
        (picture((1, 2)), GREY, "has 2 channels; fcn8s was trained on 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    array: np.ndarray, preprocessing: Preprocessing, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        from_set(array, preprocessing)
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    with pytest.raises(DataError, match=message):
        open_for(tmp_path / "a.tif", preprocessing, "fcn8s")


@pytest.mark.parametrize("low", [-0.5, np.nan])
def test_floats_beyond_0_to_1_need_a_window(tmp_path: Path, low: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture((low, 2, 500), "float32"), photometric="rgb")
    with pytest.raises(DataError, match=r"a\.tif holds floats of .*; fcn8s takes the full range of a type"):
        seen(tmp_path / "a.tif", COLOUR)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_frames_of_an_animation_that_are_not_read_are_noted(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 6), (60 * k, 0, 0)) for k in range(3)]
    several, one = tmp_path / f"several.{suffix}", tmp_path / f"one.{suffix}"
    frames[0].save(several, save_all=True, append_images=frames[1:])
    frames[0].save(one)
    opened = open_for(several, Preprocessing(), "fcn8s")
    assert note_of(opened) == "it has 3 frames, of which the first is read; save each as a picture of its own"
    assert read_all(opened).max() < 30  # the first, which is black
    assert note_of(open_for(one, Preprocessing(), "fcn8s")) == ""


def test_another_depth_is_noted(tmp_path: Path) -> None:
    eight = Preprocessing(values="uint8")
    tifffile.imwrite(tmp_path / "a.tif", picture((1, 2, 3), "uint16"), photometric="rgb")
    windows = open_for(tmp_path / "a.tif", eight, "fcn8s")
    assert note_of(windows).startswith("more than 8 bits (uint16), but fcn8s was trained on 8 bits: the full range")
    assert suit(torch.zeros(3, 2, 2, dtype=torch.uint16), eight, "fcn8s", "a")[1] == note_of(windows)
    windows.close()
    assert note_of(open_for(picture(PIXEL), eight, "fcn8s")) == ""
    assert note_of(open_for(picture((0.1, 0.2, 0.3), "float32"), eight, "fcn8s")) == ""
    # Models of before there were windows say nothing of what they were trained on.
    assert note_of(open_for(picture(PIXEL, "uint16"), Preprocessing(), "fcn8s")) == ""


def test_a_sample_that_fits_stays_the_same_tensor() -> None:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert suit(image, COLOUR, "fcn8s", "a")[0] is image


def test_pil_images(tmp_path: Path) -> None:
    sixteen = Image.fromarray(np.full((2, 2), 2100, np.uint16))
    assert seen(sixteen, TWELVE) == [0.5, 0.5, 0.5]
    assert seen(sixteen.convert("I"), TWELVE) == [0.5, 0.5, 0.5]
    floats = Image.fromarray(np.full((2, 2), 0.25, np.float32))
    assert seen(floats, COLOUR) == [0.25, 0.25, 0.25]
    turned = Image.fromarray(np.zeros((2, 5, 3), np.uint8))
    turned.getexif()[0x0112] = 6
    assert open_for(turned, COLOUR, "fcn8s").height == 5


def test_tensors_become_windows_again() -> None:
    image: Tensor = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    assert torch.equal(read_all(as_windows(image)), image)
