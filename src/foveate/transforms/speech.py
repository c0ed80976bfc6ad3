"""Random training transforms of recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.records import Sound


@dataclass(frozen=True)
class SpeechAugment:
    """Random speed and noise of a recording; one of features changes its speed alone.

    speed: largest relative change of the speed, 0..0.5, usually 0.1. It moves pitch and resonances with it, but for
        features, whose values stay.
    noise: (low, high), decibels between the recording and white noise that is added, drawn uniformly; usually (10, 40);
        () adds none. Lower is noisier.
    """

    speed: float = 0.1
    noise: tuple[float, ...] = (10.0, 40.0)

    def __post_init__(self) -> None:
        if not 0 <= self.speed <= 0.5:
            raise ConfigError(f"augment.speed is {self.speed}; expected 0..0.5")
        if len(self.noise) not in (0, 2) or (self.noise and self.noise[0] > self.noise[1]):
            raise ConfigError(f"augment.noise is {self.noise}; expected two numbers, low,high in decibels, or none")

    def build(self, tables: Mapping[str, Any], preprocessing: Any) -> Callable[[Any], Any]:
        """Return the transform of one sample.

        tables, preprocessing: not used.
        The transform draws from torch's global generator, which the caller seeds for each sample.
        """
        return self._apply

    def _apply(self, sample: Any) -> Any:
        sound: Sound = sample["audio"]
        values = sound.values
        if self.speed:
            factor = 1 + self.speed * (2 * float(torch.rand(())) - 1)
            size = max(2, round(len(values) / factor))
            rows = values.T if sound.is_features else values[None]  # (D or 1, T)
            rows = F.interpolate(rows[None], size, mode="linear", align_corners=True)[0]
            values = rows.T if sound.is_features else rows[0]
        if self.noise and not sound.is_features:
            low, high = self.noise
            decibels = low + (high - low) * float(torch.rand(()))
            level = values.square().mean().sqrt() * 10 ** (-decibels / 20)
            values = values + level * torch.randn(len(values))
        return {**sample, "audio": dataclasses.replace(sound, values=values)}
