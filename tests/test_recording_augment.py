"""Augmentation of recordings: speed moves length and pitch together, noise has the deviation that its decibels say."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from foveate.errors import ConfigError
from foveate.records import Sound
from foveate.transforms.speech import SpeechAugment

RATE = 8000
TONE = torch.sin(2 * math.pi * 440 * torch.arange(RATE) / RATE)  # a second


def changed(seed: int, values: Tensor = TONE, **fields: Any) -> Tensor:
    torch.manual_seed(seed)
    sample = {"audio": Sound(values, RATE), "name": "a"}
    found = SpeechAugment(**fields).build({}, None)(sample)
    assert found["name"] == "a" and found["audio"].rate == RATE and sample["audio"].values is values
    return found["audio"].values  # type: ignore[no-any-return]


def pitch(values: Tensor) -> float:
    """Hz of the strongest frequency, to a tenth."""
    spectrum = torch.fft.rfft(values, 10 * RATE).abs()
    return float(spectrum.argmax()) / 10


def test_a_faster_recording_is_shorter_and_higher() -> None:
    factors = []
    for seed in range(60):
        values = changed(seed, speed=0.1, noise=())
        factors.append(RATE / len(values))
        assert pitch(values) == pytest.approx(440 * factors[-1], abs=0.5)
        assert 0.98 < float(values.abs().max()) <= 1  # as loud as before
    assert 0.9 <= min(factors) < 0.92 and 1.08 < max(factors) <= 1.1
    assert sum(factors) / 60 == pytest.approx(1, abs=0.02)


def test_noise_lies_as_far_below_the_recording_as_its_decibels_say() -> None:
    """At 20 decibels a tenth of the recording's root mean square, 1 / sqrt 2 for a tone; normally distributed."""
    noise = changed(0, speed=0.0, noise=(20.0, 20.0)) - TONE
    assert float(noise.std()) == pytest.approx(0.1 * math.sqrt(0.5), rel=0.03)
    assert abs(float(noise.mean())) < 0.003
    assert float((noise / noise.std()).pow(4).mean()) == pytest.approx(3, abs=0.3)
    quiet = changed(0, 0.01 * TONE, speed=0.0, noise=(20.0, 20.0)) - 0.01 * TONE
    torch.testing.assert_close(quiet, 0.01 * noise, rtol=0, atol=1e-6)


def test_decibels_are_drawn_evenly_between_the_two() -> None:
    drawn = []
    for seed in range(200):
        noise = changed(seed, speed=0.0, noise=(10.0, 40.0)) - TONE
        drawn.append(20 * math.log10(math.sqrt(0.5) / float(noise.square().mean().sqrt())))
    assert 9.7 < min(drawn) < 12 and 38 < max(drawn) < 40.3
    assert sum(drawn) / 200 == pytest.approx(25, abs=2)  # deviation of the mean: 0.6
    assert 75 < sum(value < 25 for value in drawn) < 125


def test_without_options_nothing_changes() -> None:
    assert torch.equal(changed(0, speed=0.0, noise=()), TONE)


def test_features_change_their_speed_alone() -> None:
    """A ramp stays one from its first value to its last, over another number of frames."""
    frames = torch.stack([torch.linspace(0, 1, 50), torch.linspace(5, 3, 50)], 1)
    sample = {"audio": Sound(frames, 100), "name": "a"}
    sizes = set()
    for seed in range(20):
        torch.manual_seed(seed)
        values = SpeechAugment(speed=0.2, noise=(0.0, 0.0)).build({}, None)(sample)["audio"].values
        sizes.add(len(values))
        expected = torch.stack([torch.linspace(0, 1, len(values)), torch.linspace(5, 3, len(values))], 1)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-5)
    assert 41 <= min(sizes) < 46 and 55 < max(sizes) <= 63
    assert SpeechAugment(speed=0.0).build({}, None)(sample)["audio"].values is frames


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"speed": 0.6}, r"augment.speed is 0.6; expected 0..0.5"),
        ({"speed": -0.1}, r"augment.speed is -0.1; expected 0..0.5"),
        ({"noise": (40.0, 10.0)}, r"augment.noise is \(40.0, 10.0\); expected two numbers, low,high in decibels, or"),
        ({"noise": (10.0,)}, r"augment.noise is \(10.0,\); expected two numbers"),
    ],
)
def test_values_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpeechAugment(**fields)
