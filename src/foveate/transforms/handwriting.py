"""Augmentation of handwriting: slants, sizes and samplings that other recordings of the same hand could have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foveate.errors import ConfigError


@dataclass(frozen=True)
class HandwritingAugment:
    """A random slant, size and beginning of every piece.

    shear: largest shift of x as a share of y, e.g. 0.2.
    scale: largest change of width and of height, e.g. 0.1 for factors of 0.9 to 1.1, drawn apart.
    skip: largest number of points left out at the beginning, within the first stroke; k - 1 for a model that keeps
        every k-th point, which then sees all of them in the course of training.
    """

    shear: float = 0.2
    scale: float = 0.1
    skip: int = 0

    def __post_init__(self) -> None:
        if self.shear < 0 or not 0 <= self.scale < 1 or self.skip < 0:
            raise ConfigError(
                f"shear {self.shear} and skip {self.skip} must be 0 or more, scale {self.scale} at least 0 and below 1"
            )

    def build(self, tables: Mapping[str, Any], preprocessing: Any) -> Callable[[Any], Any]:
        """The function that changes a sample."""
        return self._apply

    def _apply(self, sample: Any) -> Any:
        shear, width, height = (2 * torch.rand(3) - 1).tolist()
        x, y, lifted = self._skipped(sample["strokes"]).unbind(1)
        x = (x + self.shear * shear * y) * (1 + self.scale * width)
        return sample | {"strokes": torch.stack([x, y * (1 + self.scale * height), lifted], 1)}

    def _skipped(self, strokes: Tensor) -> Tensor:
        """Without some points at the beginning; two points and the first stroke's last stay."""
        lifted = strokes[:, 2].nonzero()
        room = min(len(strokes) - 2, int(lifted[0]) if len(lifted) else len(strokes))
        most = max(0, min(self.skip, room))
        return strokes[int(torch.randint(most + 1, ())) :] if most else strokes
