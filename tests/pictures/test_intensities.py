"""The window of intensities: the values that become 0 and 1, as computed by hand and by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError, DataError
from foveate.pictures.intensities import (
    MAX_VALUES,
    NUM_IMAGES,
    ValueSample,
    choose_window,
    kind_of,
    mixed_depths,
    range_text,
    to_unit,
    window_text,
)


def images(count: int, dtype: str = "uint16", channels: int = 3, top: int = 4096) -> list[torch.Tensor]:
    random = np.random.default_rng(5)
    return [torch.from_numpy(random.integers(0, top, (channels, 9, 11)).astype(dtype)) for _ in range(count)]


class TestScaling:
    def test_by_hand(self) -> None:
        values = np.array([[[100], [2100], [4100], [5000], [0]]], np.uint16)
        assert to_unit(values, ((100, 4100),)).ravel().tolist() == [0.0, 0.5, 1.0, 1.0, 0.0]

    def test_each_channel_has_its_own_window(self) -> None:
        pixel = np.array([[[50, 50, 50]]], np.uint8)
        scaled = to_unit(pixel, ((0, 100), (0, 200), (25, 75)))
        assert scaled.dtype == np.float32
        np.testing.assert_allclose(scaled.ravel(), (0.5, 0.25, 0.5))

    def test_what_is_no_number_is_black(self) -> None:
        values = np.array([[[np.nan], [np.inf], [-np.inf], [0.25]]], np.float32)
        assert to_unit(values, ((0, 0.5),)).ravel().tolist() == [0.0, 1.0, 0.0, 0.5]

    def test_32_bits_are_subtracted_before_they_are_rounded(self) -> None:
        # 2**30 + 1 is no float32.
        values = np.array([[[2**30], [2**30 + 1], [2**30 + 2]]], np.int32)
        assert to_unit(values, ((2**30, 2**30 + 2),)).ravel().tolist() == [0.0, 0.5, 1.0]


class TestChoice:
    def test_8_bits_keep_their_full_range(self) -> None:
        assert choose_window(images(3, "uint8", top=256), 3, "uint8", "auto") == ((), "uint8")

    @pytest.mark.parametrize("setting", ["auto", "percentiles"])
    @pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
    def test_percentiles_of_each_channel_over_all_images(self, dtype: str, setting: str) -> None:
        found = images(7, dtype)
        found[2][1] = found[2][1] * 3  # a channel that is brighter than the others
        window, values = choose_window(found, 3, dtype, setting)
        assert values == dtype
        pooled = np.stack([image.numpy() for image in found], 1).reshape(3, -1).astype(np.float64)
        np.testing.assert_allclose(window, np.percentile(pooled, (0.1, 99.9), axis=1).T, rtol=1e-5)
        assert window[1][1] > 1.2 * window[0][1]

    def test_percentiles_of_8_bits_if_asked_for(self) -> None:
        ((low, high),), values = choose_window(images(2, "uint8", 1, 50), 1, "uint8", "percentiles")
        assert (low, values) == (0, "uint8") and 45 < high <= 49

    def test_values_that_are_no_number_do_not_count(self) -> None:
        image = torch.linspace(0, 1, 1001).reshape(1, 7, 143)
        holes = image.clone()
        holes[0, 3] = torch.nan
        ((low, high),), _ = choose_window([holes], 1, "float32", "auto")
        kept = np.delete(image.numpy(), 3, axis=1)
        np.testing.assert_allclose((low, high), np.percentile(kept, (0.1, 99.9)), rtol=1e-5)

    def test_full_and_given(self) -> None:
        assert choose_window(images(1), 3, "uint16", "full") == ((), "")
        assert choose_window(images(1), 3, "uint16", "0,4095") == (((0.0, 4095.0),) * 3, "uint16")

    def test_a_channel_of_one_value(self) -> None:
        assert choose_window([torch.full((1, 4, 4), 7.0)], 1, "float32", "auto")[0] == ((7.0, 8.0),)
        assert choose_window([torch.full((1, 4, 4), torch.nan)], 1, "float32", "auto")[0] == ((0.0, 1.0),)

    def test_signed_values_have_no_full_range(self) -> None:
        with pytest.raises(DataError, match=r"values of type int16 have no full range .* leave --window at auto"):
            choose_window(images(1, "int16"), 3, "int16", "full")

    @pytest.mark.parametrize("setting", ["best", "5", "1,2,3", "9,3", "3,3", "nan,2", "0,inf", ""])
    def test_settings_that_there_are_not(self, setting: str) -> None:
        with pytest.raises(ConfigError, match=f"window is '{setting}'; expected auto, full, percentiles, or LOW,HIGH"):
            choose_window(images(1), 3, "uint16", setting)

    def test_images_of_several_numbers_of_channels(self) -> None:
        with pytest.raises(DataError, match="images of 3 and of 1 channel"):
            choose_window([*images(1), *images(1, channels=1)], 3, "uint16", "auto")


class TestSample:
    def test_a_large_set_is_sampled_from_its_first_to_its_last_image(self) -> None:
        sample = ValueSample(100_000)
        assert len(sample.chosen) <= NUM_IMAGES + 1
        assert (sample.chosen[0], sample.chosen[-1]) == (0, 99_999)
        assert np.diff(sample.chosen).max() < 400
        assert sample.room * NUM_IMAGES <= MAX_VALUES

    def test_large_images_are_sampled_alike_each_time(self) -> None:
        image = torch.from_numpy(np.random.default_rng(0).integers(0, 4096, (1, 60, 50)).astype(np.uint16))
        windows = []
        for _ in range(2):
            sample = ValueSample(2)
            sample.room = 500
            sample.add(image, 0)
            sample.add(image, 1)
            windows.append(sample.window())
        assert windows[0] == windows[1]
        assert windows[0][0][1] > 4000


def test_words() -> None:
    assert [kind_of(v) for v in ("uint8", "uint16", "int16", "int32", "float32")] == [
        "8 bits",
        "more than 8 bits",
        "more than 8 bits",
        "more than 8 bits",
        "floats",
    ]
    assert range_text("uint8", 3, 251, 4) == "8 bits, 3..251"
    assert range_text("uint16", 8, 4088, 4) == "12 bits in uint16, 8..4088"
    assert range_text("uint16", 0, 1023, 4) == "10 bits in uint16, 0..1023"
    assert range_text("uint16", 0, 16383, 4, counted=True) == "14 bits in uint16, 0..16383 (4)"
    assert range_text("uint16", 0, 65535, 4) == "16 bits, 0..65535"
    assert range_text("float32", 0.25, 0.5, 4) == "float32, 0.25..0.5"
    assert window_text(((1, 2), (1, 2))) == "1..2"
    assert window_text(((1, 2), (1.5, 3))) == "1..2, 1.5..3"
    message = mixed_depths({"8 bits": ["a"], "floats": ["b", "c", "d", "e"]})
    assert "4 pictures (b, c, d, ...) with floats, 1 picture (a) with 8 bits" in message
