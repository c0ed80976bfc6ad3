"""Augmentation of handwriting: slants and sizes that other writings of the same hand could have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from foveate.errors import ConfigError


@dataclass(frozen=True)
class HandwritingAugment:
    """A random slant and size of every piece.

    shear: largest shift of x as a share of y, e.g. 0.2. scale: largest change of width and of height, e.g. 0.1 for
        factors of 0.9 to 1.1, drawn apart.
    """

    shear: float = 0.2
    scale: float = 0.1

    def __post_init__(self) -> None:
        if self.shear < 0 or not 0 <= self.scale < 1:
            raise ConfigError(f"shear {self.shear} must be 0 or more, scale {self.scale} at least 0 and below 1")

    def build(self, tables: Mapping[str, Any], preprocessing: Any) -> Callable[[Any], Any]:
        """The function that changes a sample."""
        return self._apply

    def _apply(self, sample: Any) -> Any:
        shear, width, height = (2 * torch.rand(3) - 1).tolist()
        x, y, lifted = sample["strokes"].unbind(1)
        x = (x + self.shear * shear * y) * (1 + self.scale * width)
        return sample | {"strokes": torch.stack([x, y * (1 + self.scale * height), lifted], 1)}
