"""Intensities: the values that image files hold, and the window of them that becomes 0 to 1.

A camera of 12 bits writes 0..4095 into files of 16 bits: as a share of 65535 all of it is nearly black, to the eye and
to a network. Its window is learned from the training images instead, a range for each channel:

    x = (value - low) / (high - low), cut to 0..1

Shapes: images (H, W, C) as arrays, (C, H, W) as tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted, listed

LOW, HIGH = 0.1, 99.9  # percentiles of the window that is learned
NUM_IMAGES = 256  # images, spread over the training set, that it is learned from
MAX_VALUES = 2**22  # values of each channel, drawn from these images
Window = tuple[tuple[float, float], ...]


def to_unit(values: np.ndarray, window: Window) -> np.ndarray:
    """Map stored values (H, W, C) by the window of each channel to float32 in 0..1; NaN becomes 0."""
    # float32 holds every value of 16 bits; of 32 bits it would lose some before the subtraction.
    exact = np.float64 if values.dtype.kind in "iu" and values.dtype.itemsize > 2 else np.float32
    bounds: np.ndarray = np.array(window, exact)
    low, high = bounds[:, 0], bounds[:, 1]
    scaled = (values.astype(exact) - low) / (high - low)
    return np.nan_to_num(np.clip(scaled, 0, 1, out=scaled), copy=False).astype(np.float32, copy=False)


def kind_of(values: str) -> str:
    """The types of values that one window may serve, in words: '8 bits', 'more than 8 bits', 'floats'."""
    if values.startswith("float"):
        return "floats"
    return "8 bits" if values.endswith("int8") else "more than 8 bits"


def values_of(image: Tensor) -> str:
    """The type of a tensor's values: 'uint8', 'uint16', 'float32'."""
    return str(image.dtype).removeprefix("torch.")


def parse_window(setting: str) -> tuple[float, float] | None:
    """The (low, high) of a setting 'LOW,HIGH'; None for auto, full and percentiles. Raises ConfigError."""
    if setting in ("auto", "full", "percentiles"):
        return None
    try:
        low, high = (float(part) for part in setting.split(","))
        if not -np.inf < low < high < np.inf:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"window is '{setting}'; expected auto, full, percentiles, or LOW,HIGH in the values of the files, "
            "such as 0,4095"
        ) from None
    return low, high


def choose_window(images: Sequence[Tensor], channels: int, values: str, setting: str) -> tuple[Window, str]:
    """The window of a training set, and the type of values that it is for ('' for any).

    images: (C, H, W) with stored values, decoded when they are asked for. channels: C. values: the type of the first.
    setting: auto takes the full range of 8 bits, and percentiles of everything else; full; percentiles; or LOW,HIGH for
    all channels.
    Returns () for the full range of the type. Raises DataError for types that have none.
    """
    if (given := parse_window(setting)) is not None:
        return (given,) * channels, values
    if setting == "full":
        require_full_range(values)
        return (), ""
    if setting == "auto" and kind_of(values) == "8 bits":
        return (), values
    sample = ValueSample(len(images))
    for index in sample.chosen:
        sample.add(images[index], index)
    return sample.window(), values


def require_full_range(values: str) -> None:
    """Raise DataError for a type of values whose full range is no range of intensities."""
    if values not in ("uint8", "uint16") and not values.startswith("float"):
        raise DataError(
            f"values of type {values} have no full range that runs from black to white; leave --window at auto, or "
            "give it LOW,HIGH"
        )


class ValueSample:
    """Values drawn from a set of images, of each channel.

    total: images of the set. Up to NUM_IMAGES of them, spread over it, give up to MAX_VALUES values of each channel; a
    small set gives all of its values.
    """

    def __init__(self, total: int) -> None:
        self.chosen = sorted({round(i * max(total - 1, 0) / NUM_IMAGES) for i in range(NUM_IMAGES + 1)})
        self.room = MAX_VALUES // len(self.chosen)  # values a channel of one image
        self._parts: list[np.ndarray] = []

    def add(self, image: Tensor, index: int) -> None:
        """Take in one image (C, H, W), the index-th. Raises DataError for another number of channels than before."""
        if index not in self.chosen:
            return
        values = image.detach().cpu().numpy().reshape(image.shape[0], -1)
        if self._parts and len(values) != len(self._parts[0]):
            raise DataError(
                f"images of {len(self._parts[0])} and of {counted(len(values), 'channel')}; keep pictures of "
                f"one kind together"
            )
        if values.shape[1] > self.room:
            values = values[:, np.random.default_rng(index).integers(values.shape[1], size=self.room)]
        self._parts.append(values)

    def window(self) -> Window:
        """The percentiles LOW and HIGH of each channel; a channel of one value gets the range of 1 above it."""
        if not self._parts:
            return ()
        values = np.concatenate(self._parts, axis=1).astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        bounds = [_bounds(channel[~np.isnan(channel)]) for channel in values]
        return tuple(bounds)


def _bounds(values: np.ndarray) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = (float(f"{v:.6g}") for v in np.percentile(values, (LOW, HIGH)))
    return (low, high) if high > low else (low, low + 1.0)


# Values by which programs mark pixels without data, where the file does not declare one.
SENTINELS = (-9999.0, -99999.0, -32768.0, -32767.0, -3.4028234663852886e38, -1e32)


def sentinel_of(low: float) -> float | None:
    """The least value of an image, if it is one by which programs mark pixels without data."""
    return next((value for value in SENTINELS if low == value), None)


def value_range(image: Tensor) -> tuple[float, float]:
    """The least and the largest value of an image, without those that are no number; nan if all are."""
    values = image.detach().cpu().numpy()
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (np.nan, np.nan)


def range_text(values: str, low: float, high: float, count: int, counted: bool = False) -> str:
    """'8 bits, 0..255', '12 bits in uint16, 8..4088', 'float32, 0.1..0.9'. counted: with the number of images."""
    depth = values
    if values.startswith("uint"):
        stored = int(values.removeprefix("uint"))
        used = max(int(high).bit_length(), 1)
        depth = f"{stored} bits" if stored == 8 or used == stored else f"{used} bits in {values}"
    return f"{depth}, {low:g}..{high:g}" + (f" ({count})" if counted else "")


def window_text(window: Window) -> str:
    """'24..3997', or as many ranges as there are channels where they differ, the first eight of them."""
    ranges = [f"{low:g}..{high:g}" for low, high in window]
    if len(set(ranges)) == 1:
        return ranges[0]
    return ", ".join(ranges[:8]) + (", ..." if len(ranges) > 8 else "")


def mixed_depths(found: Mapping[str, Sequence[str]]) -> str:
    """The complaint about a set with values of several kinds: kind -> names of the images."""
    parts = [f"{listed(names)} with {kind}" for kind, names in sorted(found.items(), key=lambda item: -len(item[1]))]
    return (
        f"pictures of several depths: {', '.join(parts)}; their values do not mean the same light: save all with one "
        "depth, or give --window full if each fills the range of its type"
    )
