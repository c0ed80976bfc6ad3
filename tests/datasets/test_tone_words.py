"""Words of a synthetic voice: files as recordings come, and sounds with their speaker's pitch and resonances."""

from __future__ import annotations

import numpy as np
import pytest

from foveate.datasets import recognise, tone_words
from foveate.datasets.tone_words import RATE, WORDS, _Speaker, spoken, write_tone_words
from foveate.errors import ConfigError


def spectrum(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz, and the power at each."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    return np.fft.rfftfreq(len(samples), 1 / RATE), power


def test_a_folder_of_them_is_read_as_recordings_of_single_words(tmp_path) -> None:
    source = recognise(str(write_tone_words(tmp_path / "words", seed=3, speakers=3, takes=2)), "speech")
    utterances = source.scan.utterances
    assert len(utterances) == 3 * 2 * len(WORDS) and {one.text for one in utterances} == set(WORDS)
    assert {one.speaker for one in utterances} == {"voice00", "voice01", "voice02"}
    assert source.sampling_rate == RATE and not source.problems() and not source.notes()


def test_a_seed_decides_every_sample(tmp_path) -> None:
    folders = [write_tone_words(tmp_path / str(i), seed, 1, 1) for i, seed in enumerate((0, 0, 1))]
    first, again, other = (sorted((folder / "audio").iterdir()) for folder in folders)
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in again]
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("pitch", [100.0, 200.0])
def test_the_voice_has_the_pitch_and_its_harmonics(pitch: float) -> None:
    """The vowel at the end of 'four' lies within 6 % of the pitch, and at every multiple of it."""
    samples = spoken("four", _Speaker(pitch, 1.0, 2.0), np.random.default_rng(0))
    frequencies, power = spectrum(samples[len(samples) // 2 :])
    peaks = [frequencies[near(frequencies, number * pitch)][power[near(frequencies, number * pitch)].argmax()]
             for number in (2, 3, 4)]  # fmt: skip
    assert [peak / number / peaks[0] * 2 for peak, number in zip(peaks, (2, 3, 4), strict=True)] == pytest.approx(
        [1.0] * 3, abs=0.03
    )
    assert peaks[0] / 2 == pytest.approx(pitch, rel=0.06)


def near(frequencies: np.ndarray, centre: float) -> np.ndarray:
    return np.abs(frequencies - centre) < 0.2 * centre / 2


@pytest.mark.parametrize("tract", [0.9, 1.0, 1.15])
def test_resonances_scale_with_the_tract(tract: float) -> None:
    """The mean frequency of the first resonance of 'a' in 'five', 750 Hz, moves with the length of the tract."""
    samples = spoken("five", _Speaker(60.0, tract, 3.0), np.random.default_rng(0))
    start, length = (round(3.0 * RATE * seconds) for seconds in (0.08 + 0.04, 0.06))  # the middle of the vowel
    frequencies, power = spectrum(samples[start : start + length])
    low = (frequencies > 550 * tract) & (frequencies < 950 * tract)
    mean = float((frequencies * power)[low].sum() / power[low].sum())
    assert mean == pytest.approx(750 * tract, rel=0.05)


def test_pace_stretches_a_word_and_stops_are_silent() -> None:
    slow, fast = (spoken("eight", _Speaker(120.0, 1.0, pace), np.random.default_rng(0)) for pace in (2.0, 1.0))
    assert len(slow) == 2 * len(fast) == 2 * round(RATE * (0.10 + 0.10 + 0.05))
    assert np.abs(fast).max() == pytest.approx(0.9) and np.abs(fast[-int(0.03 * RATE) :]).max() < 1e-6
    hiss = spoken("six", _Speaker(120.0, 1.0, 1.0), np.random.default_rng(0))[: int(0.08 * RATE)]
    frequencies, power = spectrum(hiss)
    assert power[frequencies > 2000].sum() > 3 * power[frequencies < 2000].sum()


def test_there_has_to_be_a_speaker(tmp_path) -> None:
    with pytest.raises(ConfigError, match="speakers 0 and takes 2 must be 1 or more"):
        write_tone_words(tmp_path, speakers=0)
    assert not list(tmp_path.iterdir())


def test_words_are_told_apart_by_their_stretches() -> None:
    assert len(set(WORDS.values())) == len(WORDS)
    assert set("".join(WORDS.values())) == set(tone_words.STRETCHES)
