"""Words of a synthetic voice, written from a seed as a folder of recordings: for tests, claims and demonstrations.

    write_tone_words(folder, seed=0)     # folder/audio/*.wav and folder/transcripts.tsv, as spoken digits come

It is not speech. Each of ten words is a few stretches of sound: harmonics of a pitch, louder near two resonances;
noise; or silence. Speakers differ in pitch, in the length of the vocal tract, which scales all resonances, and in pace;
takes of a word by one speaker differ a little in all three. What is learned of it says nothing of real recordings.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foveate.errors import ConfigError

RATE = 8000  # samples a second
HIGHEST = 3600.0  # Hz of the highest harmonic
WIDTHS = (90.0, 140.0)  # Hz of the two resonances
GLIDE = 0.025  # seconds in which one stretch goes over into the next


class _Stretch(NamedTuple):
    """A stretch of sound: seconds, loudness of the voice and of the noise, and two resonances in Hz."""

    seconds: float
    voice: float
    noise: float
    resonances: tuple[float, float]


STRETCHES = {
    "a": _Stretch(0.12, 1.0, 0.0, (750, 1250)),
    "e": _Stretch(0.10, 1.0, 0.0, (500, 1850)),
    "i": _Stretch(0.10, 1.0, 0.0, (300, 2400)),
    "o": _Stretch(0.12, 1.0, 0.0, (480, 850)),
    "u": _Stretch(0.10, 0.9, 0.0, (320, 700)),
    "n": _Stretch(0.08, 0.5, 0.0, (250, 1500)),
    "s": _Stretch(0.10, 0.0, 0.35, (300, 1800)),
    "f": _Stretch(0.08, 0.0, 0.12, (300, 1000)),
    "t": _Stretch(0.05, 0.0, 0.0, (300, 1800)),
}
# Named after the digits that they sound a little like.
WORDS = {
    "zero": "sio", "one": "uan", "two": "tu", "three": "fi", "four": "fo", "five": "faif", "six": "sits",
    "seven": "sen", "eight": "eit", "nine": "nain",
}  # fmt: skip


class _Speaker(NamedTuple):
    """pitch in Hz; tract: factor on resonances; pace: factor on durations."""

    pitch: float
    tract: float
    pace: float

    def varied(self, generator: np.random.Generator) -> _Speaker:
        """The speaker in another take."""
        return _Speaker(*(value * generator.uniform(0.95, 1.05) for value in self))


def write_tone_words(folder: Path, seed: int = 0, speakers: int = 6, takes: int = 2) -> Path:
    """Write each of WORDS by each speaker in some takes as WAV, and transcripts.tsv (file, speaker, text).

    Raises ConfigError for fewer than one speaker or take.
    """
    if min(speakers, takes) < 1:
        raise ConfigError(f"speakers {speakers} and takes {takes} must be 1 or more")
    generator = np.random.default_rng(seed)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = ["file\tspeaker\ttext"]
    for number in range(speakers):
        pitch = 90 * 2 ** generator.uniform(0, 1.3)
        speaker = _Speaker(pitch, generator.uniform(0.9, 1.15), generator.uniform(0.85, 1.2))
        for word in WORDS:
            for take in range(takes):
                name = f"{word}_voice{number:02d}_{take}.wav"
                _write(folder / "audio" / name, spoken(word, speaker.varied(generator), generator))
                rows.append(f"{name}\tvoice{number:02d}\t{word}")
    (folder / "transcripts.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def spoken(word: str, speaker: _Speaker, generator: np.random.Generator) -> np.ndarray:
    """The samples of a word, (T,) in -1..1."""
    stretches = [STRETCHES[letter] for letter in WORDS[word]]
    counts = [round(one.seconds * speaker.pace * RATE) for one in stretches]
    tracks = np.array([(one.voice, one.noise, *one.resonances) for one in stretches])
    voice, noise, first, second = _smooth(np.repeat(tracks, counts, axis=0)).T
    # The pitch falls a little over the word.
    pitch = speaker.pitch * np.linspace(1.05, 0.95, len(voice))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(len(voice))
    for harmonic in range(1, int(HIGHEST / pitch.max()) + 1):
        away = [harmonic * pitch - speaker.tract * resonance for resonance in (first, second)]
        near = [1 / (1 + (one / width) ** 2) for one, width in zip(away, WIDTHS, strict=True)]
        sound += (near[0] + 0.5 * near[1]) * np.sin(harmonic * phase)
    hiss = np.diff(generator.normal(0, 1, len(voice) + 1))  # louder at high frequencies
    values: np.ndarray = voice * sound + noise * hiss
    return 0.9 * values / np.abs(values).max()


def _smooth(tracks: np.ndarray) -> np.ndarray:
    """Tracks (T, n) averaged over GLIDE."""
    width = int(GLIDE * RATE)
    padded = np.pad(tracks, ((width // 2, width - 1 - width // 2), (0, 0)), mode="edge")
    sums = np.concatenate([np.zeros((1, tracks.shape[1])), padded.cumsum(0)])
    smooth: np.ndarray = (sums[width:] - sums[:-width]) / width
    return smooth


def _write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
