"""Strings of words composed from recordings of single words, such as spoken digits: "three one seven".

A string has 1 to `longest` words of one speaker, each with a pause before it, at a loudness of its own, and all of it
at one speed and in noise. The true span of every word is known.

The words of val are those of a speaker that train does not have, as long as there are two speakers: scores are then
of an unseen voice. Training strings are drawn again each epoch, others once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from foveate.datasets.speech import SpeechFiles, SpeechSource, Utterance
from foveate.datasets.splits import SPLIT_ORDER
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.records import DataSource, Problem, Sound, SpeechSample
from foveate.registry import dataset

# Of every string, in training and elsewhere.
PAUSE = (0.02, 0.25)  # seconds before a word
TAIL = 0.05  # seconds after the last word
LOUDNESS = (0.3, 1.0)  # largest sample of a word
NOISE = (-4.0, -2.0)  # log10 of the noise's deviation
SPEED = 0.1  # largest relative change of the speed of val and test


@dataset("word_strings")
@dataclass(frozen=True)
class WordStrings(DataSource):
    """Strings of 1 to 7 words composed from recordings of single words, as of spoken digits.

    path: the folder of recordings, of any format for speech, each of one word; "" until `made_from` says it.
    held: the speaker of val; "" for the last by name. Of a single speaker a fifth of the recordings are held.
    longest: the most words of a string.
    seed: of all that is drawn; 0 to 2**32 - 1.
    train, val, test: strings of each split. There is a test for `whole` alone.
    speed: largest relative change of the speed of training strings, which moves pitch and resonances with it; that of
        val and test is 0.1.
    ramp: epochs in which the longest string of train grows from one word to `longest`; 0 for none.
    whole: all recordings are for the split test, whoever speaks; it is set for `--split test` (`undivided`).
    """

    path: str = ""
    held: str = ""
    longest: int = 7
    seed: int = 0
    train: int = 4000
    val: int = 400
    test: int = 1000
    speed: float = 0.1
    ramp: int = 0
    whole: bool = False
    tasks: ClassVar[tuple[str, ...]] = ("speech",)

    def __post_init__(self) -> None:
        for name in ("longest", "train", "val", "test"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if not 0 <= self.speed <= 0.5:
            raise ConfigError(f"speed is {self.speed}; expected 0..0.5")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"word strings with seed {self.seed}; expected 0..4294967295")

    def made_from(self, path: Path) -> WordStrings | None:
        """This source on the recordings in another folder (`--data`); None if these are of several words already."""
        found = replace(self, path=str(path))
        try:
            several = any(len(one.text.split()) > 1 for one in found.source.scan.utterances)
        except DataError:  # which opening it reports
            several = False
        return None if several else found

    def undivided(self) -> WordStrings:
        """The source with a test that is composed of all recordings."""
        return replace(self, whole=True)

    @cached_property
    def source(self) -> SpeechSource:
        """The recordings that strings are composed of. Raises ConfigError without a path, DataError for others."""
        if not self.path:
            raise ConfigError("word strings are composed of recordings of single words: name a folder with --data PATH")
        from foveate.datasets import recognise

        found = recognise(self.path, self.tasks[0])
        if not isinstance(found, SpeechSource):
            raise DataError(f"{self.path}: not a folder of recordings with transcripts")
        return found

    @cached_property
    def words(self) -> list[Utterance]:
        """All recordings, in the files' order. Raises DataError for one of several words, or features."""
        if self.source.scan.features:
            raise DataError(f"{self.path}: features; strings are composed of sound")
        if problems := self.source.problems():
            raise DataError(str(problems[0]))
        found = sorted(self.source.scan.utterances, key=lambda one: one.name)
        for one in found:
            if len(one.text.split()) > 1:
                raise DataError(
                    f"{one.file}: '{one.text[:40]}' is several words; strings are composed of recordings of single "
                    "words: train another recipe on these as they are"
                )
        return found

    @cached_property
    def speakers(self) -> list[str]:
        """Speakers by name."""
        return sorted({one.speaker for one in self.words})

    def _held(self) -> set[str]:
        """Names of the recordings of val."""
        if self.held and self.held not in self.speakers:
            raise ConfigError(unknown("speaker to hold out", self.held, self.speakers))
        if len(self.speakers) == 1:
            if len(self.words) < 2:
                raise DataError(f"{self.path}: one recording; expected at least two, to train on and to validate on")
            order = np.random.default_rng(self.seed).permutation(len(self.words))
            return {self.words[i].name for i in order[: max(1, len(order) // 5)]}
        held = self.held or self.speakers[-1]
        return {one.name for one in self.words if one.speaker == held}

    def splits(self) -> tuple[str, ...]:
        """Train and val; of `whole`, test."""
        return SPLIT_ORDER[2:] if self.whole else SPLIT_ORDER[:2]

    def open(self, split: str, task: str = "") -> StringDataset:
        """One split. Raises ConfigError, DataError."""
        self.serve(task)
        if split not in self.splits():
            raise ConfigError(unknown("split", split, self.splits()))
        held = self._held() if split != "test" else set()
        words = [one for one in self.words if split == "test" or (one.name in held) == (split == "val")]
        return StringDataset(self, split, SpeechFiles(words, self.source.sampling_rate))

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return self.source.problems(task)

    def notes(self, task: str = "") -> list[str]:
        """Those of the recordings."""
        return self.source.notes(task)

    def describe(self, task: str = "") -> str:
        """The number of strings, their seed, and the recordings that they are composed of, in one line."""
        rate = f"{self.source.sampling_rate:g} Hz"
        by = counted(len(self.speakers), "speaker")
        composed = f"composed of {counted(len(self.words), 'recording')} of {self._kinds} by {by} at {rate}"
        if self.whole:
            return f"strings of 1 to {self.longest} words: {self.test} test, seed {self.seed}, {composed}"
        alone = f"speaker '{self.held or self.speakers[-1]}'" if len(self.speakers) > 1 else "a fifth of the recordings"
        counts = f"{self.train} train, {self.val} val"
        return f"strings of 1 to {self.longest} words: {counts}, seed {self.seed}, {composed} ({alone} in val alone)"

    @property
    def _kinds(self) -> str:
        return counted(len({one.text for one in self.words}), "word")


class StringDataset:
    """One split of composed strings: a SpeechDataset. Recordings are read once and kept."""

    features = 0

    def __init__(self, source: WordStrings, split: str, words: SpeechFiles) -> None:
        self.source, self.split, self.words = source, split, words
        self.rate = words.rate
        self.count: int = getattr(source, split)
        self._by_speaker: dict[str, dict[str, list[int]]] = {}
        for index, one in enumerate(words.utterances):
            self._by_speaker.setdefault(one.speaker, {}).setdefault(one.text, []).append(index)
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> SpeechSample:
        return self.draw([(0, index)])[0]

    def draw(self, keys: Sequence[tuple[int, int]]) -> list[SpeechSample]:
        """The strings of (epoch, index); val and test know no epochs."""
        return [self._draw(epoch if self.split == "train" else 0, self._checked(index)) for epoch, index in keys]

    def name(self, index: int) -> str:
        """'test/00123'."""
        return f"{self.split}/{self._checked(index):05d}"

    def digest(self, index: int) -> str:
        """A digest of what a string is drawn from."""
        return f"{self.source.seed}-{len(self.words)}-{self._checked(index)}"

    def transcript(self, index: int) -> str:
        """The text of a string of the first epoch after the ramp, without reading recordings.

        Tables of characters are learned from it; strings within the ramp may have no blank.
        """
        epoch = self.source.ramp if self.split == "train" else 0
        return " ".join(self._chosen(self._generator(epoch, index), epoch, index)[1])

    @property
    def seconds(self) -> list[float]:
        """A number a string that grows with its duration: that of its words."""
        return [float(self._many(index)) for index in range(len(self))]

    def file_notes(self, index: int, decode: bool = True) -> tuple[str, ...]:
        """None: the notes on recordings are the source's."""
        return ()

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"string {index} of {self.split}, which has {len(self)}")
        return index % len(self)

    def _many(self, index: int) -> int:
        """Words of a string, before the ramp: 1 to `longest`, each equally often."""
        return 1 + index % self.source.longest

    def _generator(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng((self.source.seed, SPLIT_ORDER.index(self.split), epoch, index))

    def _chosen(self, generator: np.random.Generator, epoch: int, index: int) -> tuple[str, list[str]]:
        """The speaker, and the words."""
        source = self.source
        longest = source.longest
        if self.split == "train" and source.ramp:
            longest = min(longest, 1 + (longest - 1) * (epoch + 1) // source.ramp)
        speaker = sorted(self._by_speaker)[int(generator.integers(len(self._by_speaker)))]
        known = sorted(self._by_speaker[speaker])
        count = -(-self._many(index) * longest // source.longest)
        return speaker, [known[int(generator.integers(len(known)))] for _ in range(count)]

    def _draw(self, epoch: int, index: int) -> SpeechSample:
        generator = self._generator(epoch, index)
        speaker, words = self._chosen(generator, epoch, index)
        rate = self.rate
        parts: list[np.ndarray] = []
        spans: list[tuple[int, int]] = []
        at = 0
        for word in words:
            choices = self._by_speaker[speaker][word]
            recording = self._recording(choices[int(generator.integers(len(choices)))])
            pause = int(generator.uniform(*PAUSE) * rate)
            parts += [np.zeros(pause, np.float32), recording * generator.uniform(*LOUDNESS)]
            spans.append((at + pause, at + pause + len(recording)))
            at += pause + len(recording)
        parts.append(np.zeros(int(TAIL * rate), np.float32))
        whole = np.concatenate(parts)
        most = self.source.speed if self.split == "train" else SPEED
        factor = generator.uniform(1 - most, 1 + most)
        places = np.arange(0, len(whole) - 1, factor)
        heard = np.interp(places, np.arange(len(whole)), whole)
        heard = heard + generator.normal(0, 10 ** generator.uniform(*NOISE), len(heard))
        seconds = tuple((start / factor / rate, end / factor / rate) for start, end in spans)
        sound = Sound(torch.from_numpy(heard.astype(np.float32)), rate)
        return SpeechSample(
            audio=sound, transcript=" ".join(words), speaker=speaker, spans=seconds, name=self.name(index)
        )

    def _recording(self, index: int) -> np.ndarray:
        """A recording of a word, its largest sample 1."""
        if index not in self._kept:
            values: Any = self.words.sound(index).values.numpy()
            self._kept[index] = values / float(np.abs(values).max())
        return self._kept[index]
