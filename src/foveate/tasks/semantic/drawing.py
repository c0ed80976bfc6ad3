"""Label maps over their images, as `foveate predict` writes them and notebooks show them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from foveate.errors import ConfigError, unknown
from foveate.pictures.fitting import shrink, shrink_factor
from foveate.records import ClassTable
from foveate.visualize.overlay import overlay
from foveate.visualize.sheets import with_legend

if TYPE_CHECKING:
    from foveate.pictures import Windows

LONGEST_OVERLAY = 4096  # pixels; overlays of larger images are scaled down


@dataclass(frozen=True)
class Look:
    """Options of a drawing.

    alpha: opacity of the colours, 0..1.
    colors: class name -> its colour, "#rrggbb" or (red, green, blue) in 0..255; other classes keep their own.
    legend: names and shares of the classes below the image.
    background: also paint the class 0 that is called background.
    """

    alpha: float = 0.55
    colors: Mapping[str, Any] = field(default_factory=dict)
    legend: bool = True
    background: bool = False


def draw_labels(
    windows: Any, mask: np.ndarray, classes: ClassTable, shares: Mapping[str, float], options: Mapping[str, Any]
) -> PIL.Image.Image:
    """Draw labels (H, W) over their image. options: fields of `Look`. Raises ConfigError for others, and their values.

    windows: the image (`pictures.Windows`); one larger than LONGEST_OVERLAY is scaled down.
    """
    known = [f.name for f in dataclasses.fields(Look)]
    for name in options:
        if name not in known:
            raise ConfigError(unknown("option of an overlay", name, known))
    look = Look(**options)
    table = recolored(classes, look.colors)
    image, mask = _reduced(windows, mask)
    drawn = overlay(image, mask, table, look.alpha, background=look.background)
    return with_legend(drawn, table, shares) if look.legend else PIL.Image.fromarray(drawn)


def recolored(classes: ClassTable, colors: Mapping[str, Any]) -> ClassTable:
    """A class table with some colours changed. Raises ConfigError for a class or a colour that there is not."""
    chosen = dict(zip(classes.names, classes.colors, strict=True))
    for name, value in colors.items():
        if name not in chosen:
            raise ConfigError(unknown("class", name, classes.names))
        chosen[name] = _color(value)
    return dataclasses.replace(classes, colors=tuple(chosen.values()))


def _color(value: Any) -> tuple[int, int, int]:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:], 16)
    if isinstance(value, tuple | list) and len(value) == 3 and all(isinstance(v, int) and 0 <= v <= 255 for v in value):
        return int(value[0]), int(value[1]), int(value[2])
    raise ConfigError(f"{value!r} is not a colour; give '#rrggbb' or three whole numbers in 0..255")


def _reduced(windows: Windows, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image and its mask, shrunk by a whole factor until the longest side is at most LONGEST_OVERLAY.

    The image is averaged over f x f pixels; of the mask, one label in f x f is kept.
    """
    factor, small = shrink_factor(windows, LONGEST_OVERLAY), shrink(windows, LONGEST_OVERLAY)
    if factor == 1:
        return small, mask
    middle = factor // 2
    return small, mask[middle::factor, middle::factor][: small.shape[0], : small.shape[1]]
