"""Base of the readers of speech: transcripts from files, the recordings that they name, and the division of these.

A reader gives `Line`s, the base finds their recordings, reads the headers, and divides them: as a column or the folders
say, else by speaker where there are enough, so that voices of val are not in train, else by recording.
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from foveate.datasets.arrays import read_arrays
from foveate.datasets.checks import equal_notes, label_digest, missing_val_notes
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import ScannedSource, raise_problems
from foveate.datasets.speech.division import divided, with_distinct_names
from foveate.datasets.speech.rates import rate_notes
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.datasets.text_doubts import is_missing, text_notes
from foveate.disk import is_hidden
from foveate.errors import DataError, counted, listed
from foveate.records import Problem, Sound, SpeechSample
from foveate.sounds import SOUND_SUFFIXES, read_sound, resampled, sound_header

MOST_RATE = 16000  # Hz; speech has little above half of it
FEATURE_ARRAYS = "data (frames, values), offsets (recordings + 1) and ids (recordings)"
FEATURE_RATE = 100.0  # frames a second of features whose file does not say it
LONGEST = 30  # seconds of a recording to learn from
FASTEST = 40  # characters a second, above which a transcript cannot be of its recording


class Line(NamedTuple):
    """A transcript in a file: the name of its recording there, and what the file says of it."""

    name: str
    text: str
    speaker: str = ""
    split: str = ""


class Utterance(NamedTuple):
    """A recording with its transcript.

    file: of sound; or a .npz, of which `frames` are the recording's. samples, rate: by the header.
    """

    name: str
    file: Path
    text: str
    speaker: str
    samples: int
    rate: float
    frames: tuple[int, int] | None = None

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.samples / self.rate


@dataclass
class SpeechScan:
    """Contents of a folder of speech, found by headers alone.

    pairs: split -> its utterances. problems: files that cannot be used; `open` raises them. without: files of sound
    without a transcript. drawn: how recordings were divided, if the files did not say.
    """

    pairs: dict[str, list[Utterance]]
    problems: list[Problem]
    without: list[Path]
    features: int = 0
    drawn: Drawn = field(default_factory=Drawn)
    notes: list[str] = field(default_factory=list)

    @property
    def utterances(self) -> list[Utterance]:
        """Those of all splits."""
        return [one for group in self.pairs.values() for one in group]

    def counts(self) -> str:
        """'120 train, 30 val recordings, 12.5 minutes, 7 speakers', and how they were divided."""
        listing = ", ".join(f"{len(group)} {split}" for split, group in self.pairs.items())
        minutes = sum(one.seconds for one in self.utterances) / 60
        speakers = len({one.speaker for one in self.utterances})
        who = f", {speakers} speaker{'s' * (speakers > 1)}" if any(one.speaker for one in self.utterances) else ""
        remarks = [str(self.drawn)] if self.drawn else []
        remarks += [f"{counted(len(self.without), 'recording')} without a transcript left out"] if self.without else []
        return f"{listing} recordings, {minutes:.1f} minutes{who}" + (f" ({'; '.join(remarks)})" if remarks else "")


class SpeechFiles:
    """Recordings in files: a SpeechDataset. Indexing raises DataError, naming a file that cannot be read."""

    def __init__(self, utterances: Sequence[Utterance], rate: float, features: int = 0) -> None:
        self.utterances, self.rate, self.features = list(utterances), rate, features
        self.seconds = [one.seconds for one in self.utterances]

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> SpeechSample:
        one = self.utterances[index]
        sample = SpeechSample(audio=self.sound(index), transcript=one.text, name=one.name)
        return SpeechSample(**sample, speaker=one.speaker) if one.speaker else sample

    def sound(self, index: int) -> Sound:
        """A recording at the set's rate."""
        one = self.utterances[index]
        if one.frames is not None:
            return Sound(torch.from_numpy(_features(one.file)[slice(*one.frames)].astype(np.float32)), one.rate)
        try:
            return resampled(read_sound(one.file), self.rate)
        except MemoryError:
            raise DataError(f"{one.file}: too long to be read at once; cut it into sentences") from None

    def name(self, index: int) -> str:
        """The recording's name, without reading it."""
        return self.utterances[index].name

    def transcript(self, index: int) -> str:
        """The text of a recording, without reading it."""
        return self.utterances[index].text

    def digest(self, index: int) -> str:
        """A digest of the text, without reading the recording."""
        return label_digest(self.utterances[index].text)

    def file_notes(self, index: int, decode: bool = True) -> tuple[str, ...]:
        """Sentences on how a recording is read; without `decode` those that its header tells."""
        one = self.utterances[index]
        if one.frames is not None:
            return ()
        if decode:
            return self.sound(index).notes
        return (f"resampled from {one.rate:g} to {self.rate:g} Hz",) if one.rate != self.rate else ()


class SpeechSource(ScannedSource[SpeechScan]):  # type: ignore[type-var]
    """A data source of recordings with transcripts; a subclass implements `lines`, and `title` for messages.

    rate: samples a second that recordings are resampled to; 0 for the rate of most of them, 16000 at most.
    seed: of the drawn split. whole: all recordings are the split test; it is set for `--split test` (`undivided`).
    """

    tasks: ClassVar[tuple[str, ...]] = ("speech",)
    draws_val: ClassVar[bool] = False  # from train, where the splits lack it

    path: str
    rate: int
    seed: int
    whole: bool

    @property
    @abstractmethod
    def title(self) -> str:
        """The format, for messages."""

    @property
    def folder(self) -> Path:
        """The folder that splits.json lies in."""
        return Path(self.path)

    @abstractmethod
    def lines(self, problems: list[Problem]) -> list[tuple[Line, Path]]:
        """Every transcript, and the file that it stands in."""

    @abstractmethod
    def locate(self, line: Line, table: Path) -> Path | Utterance | None:
        """The file of a line's recording, or the utterance itself; None if it is not there."""

    def unnamed(self, used: set[Path]) -> list[Path]:
        """Files of sound that no line names."""
        return []

    def undivided(self) -> Self | None:
        """The source with all recordings as the split test; None where the files name splits themselves."""
        return dataclasses.replace(self, whole=True) if self.scan.drawn else None  # type: ignore[type-var]

    @cached_property
    def sampling_rate(self) -> float:
        """The rate that recordings are given at."""
        if self.rate or not self.scan.utterances:
            return self.rate or MOST_RATE
        rates = Counter(one.rate for one in self.scan.utterances)
        most = max(rates, key=lambda rate: (rates[rate], rate))
        return most if self.scan.features else min(most, MOST_RATE)

    def readable(self, split: str, task: str = "") -> SpeechFiles:
        """One split of the recordings that can be used."""
        self.serve(task)
        return SpeechFiles(self.scan.pairs[split], self.sampling_rate, self.scan.features)

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        kind = f", {self.scan.features} features a frame" if self.scan.features else f" at {self.sampling_rate:g} Hz"
        return f"{self.title}: {self.scan.counts()}{kind}"

    def notes(self, task: str = "") -> list[str]:
        """Recordings without a transcript, and transcripts too long for their recording."""
        notes = list(self.scan.notes)
        if self.scan.without:
            names = listed([file.name for file in self.scan.without], "recording")
            notes.append(f"{names}: no transcript, left out; add one, or remove the recording")
        fast = [one for one in self.scan.utterances if len(one.text) > FASTEST * one.seconds]
        if fast:
            first, names = fast[0], listed([one.name for one in fast], "recording")
            notes.append(
                f"{names}: {counted(len(first.text), 'character')} in {first.seconds:.2f} s"
                f"{' (the first of these)' if len(fast) > 1 else ''}, faster than anyone speaks; check the sampling "
                "rate in the header, and that the transcript is of this recording"
            )
        long = [one.name for one in self.scan.utterances if one.seconds > LONGEST]
        if long:
            notes.append(
                f"{listed(long, 'recording')}: longer than {LONGEST} s; attention is hard to train on recordings this "
                "long, and they take much memory: cut them into sentences"
            )
        notes += text_notes((one.text for one in self.scan.utterances), "transcript")
        sounds = {split: [one.file for one in own if one.frames is None] for split, own in self.scan.pairs.items()}
        notes += missing_val_notes(self.scan.pairs)
        return notes + rate_notes(self.scan.utterances) + equal_notes(sounds, "recording")

    def remarks(self, task: str = "") -> dict[str, Any]:
        """Recordings without a transcript."""
        return {"without_transcript": [file.name for file in self.scan.without]}

    def read(self) -> SpeechScan:
        """Read transcripts and headers. Raises DataError if nothing can be used."""
        problems: list[Problem] = []
        found: dict[str, list[Utterance]] = {}
        seen: dict[Path | tuple[Path, Any], str] = {}
        used: set[Path] = set()
        features: set[int] = set()
        for line, table in self.lines(problems):
            where = self.locate(line, table)
            if where is None:
                problems.append(Problem(table, f"no recording '{line.name}'; add it, or remove its transcript"))
                continue
            file = where if isinstance(where, Path) else where.file
            used.add(file)
            if not any(c.isalnum() for c in line.text) or is_missing(line.text):
                shown = f"a text without a letter, {line.text!r}," if line.text.strip() else "an empty text"
                problems.append(Problem(table, f"{shown} of '{line.name}'; write what is said, or remove it"))
                continue
            key = where if isinstance(where, Path) else (where.file, where.frames)
            if key in seen:
                problems.append(Problem(table, f"'{line.name}' has a transcript already, as '{seen[key]}'; keep one"))
                continue
            seen[key] = line.name
            try:
                one = self._utterance(line, where)
            except DataError as error:
                problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
                continue
            if one.frames is not None:
                features.add(_features(one.file).shape[1])
            found.setdefault("test" if self.whole else split_called(line.split), []).append(one)
        if not found:
            raise_problems(problems)
            raise DataError(f"{self.path}: no transcripts; expected at least one recording with a text")
        if len(features) > 1 or (features and any(one.frames is None for group in found.values() for one in group)):
            raise DataError(f"{self.path}: features of several sizes, or features beside sound; give one kind")
        pairs, drawn = self._divide(with_distinct_names(found, self.folder), problems)
        return SpeechScan(pairs, problems, sorted(self.unnamed(used)), features.pop() if features else 0, drawn)

    @staticmethod
    def _utterance(line: Line, where: Path | Utterance) -> Utterance:
        text = " ".join(line.text.split())
        if isinstance(where, Utterance):
            if where.samples == 0:
                raise DataError(
                    f"{where.file}: no frames of '{line.name}'; compute them again, or remove its transcript"
                )
            return where._replace(text=text, speaker=line.speaker)
        header = sound_header(where)
        return Utterance(where.name, where, text, line.speaker, header.samples, header.rate)

    def _divide(
        self, found: Mapping[str, list[Utterance]], problems: list[Problem]
    ) -> tuple[dict[str, list[Utterance]], Drawn]:
        """Splits as the files name them, else drawn and kept in splits.json."""
        rest = list(found.get("", []))
        named = {split: list(group) for split, group in found.items() if split}
        if not named:
            return divided(rest, self.folder, self.seed)
        drawn = Drawn()
        if rest:
            problems.append(
                Problem(Path(self.path), f"'{rest[0].name}' is in no split, where others are; name train, val or test")
            )
        elif not self.whole and self.draws_val and "train" in named and "val" not in named:
            parts, drawn = divided(named["train"], self.folder, self.seed, "val of train")
            named |= parts
        if unknown_names := sorted(set(named) - set(SPLIT_ORDER)) if not rest else []:
            problems.append(Problem(Path(self.path), f"split '{unknown_names[0]}'; expected train, val or test"))
        return {split: named[split] for split in SPLIT_ORDER if split in named}, drawn


def files_of_sound(folder: Path) -> list[Path]:
    """Files of sound in a folder and below it, without hidden ones."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in SOUND_SUFFIXES
        and p.is_file()
        and not any(is_hidden(part) for part in p.relative_to(folder).parts)
    )


def _features(file: Path) -> np.ndarray:
    """The frames of a .npz, (F, D); they are read once for each state of the file."""
    return _frames(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _frames(file: Path, changed: int) -> np.ndarray:
    return read_arrays(file, FEATURE_ARRAYS)["data"]


def utterances_of(file: Path) -> dict[str, Utterance]:
    """Name -> utterance without its text, of a .npz of features. Raises DataError."""
    found = read_arrays(file, FEATURE_ARRAYS)
    if not {"data", "offsets", "ids"} <= set(found):
        raise DataError(f"{file}: arrays {', '.join(sorted(found))}; expected {FEATURE_ARRAYS}")
    data, offsets, ids = found["data"], found["offsets"], found["ids"]
    rate = found.get("rate", np.array(FEATURE_RATE))
    kinds = data.dtype.kind in "iuf", offsets.dtype.kind in "iu", ids.dtype.kind in "Uiu", rate.dtype.kind in "iuf"
    if not all(kinds) or (offsets.ndim, ids.ndim, rate.size) != (1, 1, 1):
        raise DataError(
            f"{file}: data {data.dtype}, offsets {offsets.dtype} {offsets.shape}, ids {ids.dtype} {ids.shape} and rate "
            f"{rate.dtype} {rate.shape}; expected numbers, whole numbers (recordings + 1,), text (recordings,) and one "
            "number"
        )
    if not 0 < float(rate.item()) < float("inf"):
        raise DataError(f"{file}: a rate of {rate.item()}; expected frames a second")
    if (
        not len(offsets)
        or data.ndim != 2
        or len(offsets) != len(ids) + 1
        or offsets[0] != 0
        or offsets[-1] != len(data)
    ):
        raise DataError(
            f"{file}: data {data.shape}, {counted(len(offsets), 'offset')} up to "
            f"{offsets[-1] if len(offsets) else 0}, {len(ids)} "
            "ids; expected data (frames, values), and offsets from 0 to the number of frames, one more than ids"
        )
    names = [str(name) for name in ids.tolist()]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(f"{file}: two recordings have the id '{twice}'; give each its own")
    if (offsets[1:] < offsets[:-1]).any() or not np.isfinite(data).all():
        raise DataError(f"{file}: offsets that fall, or features that are not numbers; compute it again")
    return {
        name: Utterance(name, file, "", "", end - start, float(rate.item()), (start, end))
        for name, (start, end) in zip(names, itertools.pairwise(offsets.tolist()), strict=True)
    }
