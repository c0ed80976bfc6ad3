"""Folders of published corpora of speech: where each keeps recordings, transcripts and speakers.

A part is a folder of speakers: a split, or all of a corpus that has none. Names count in any case, since discs and
copies of them differ in it.

    LibriSpeech   SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt, lines "ID TEXT", and ID.flac beside it
    LibriTTS      SPEAKER/CHAPTER/SPEAKER_CHAPTER.trans.tsv, lines ID, text, normalised text, and ID.wav beside it
    VCTK          txt/SPEAKER/ID.txt and wav48/SPEAKER/ID.wav, or wav48_silence_trimmed/SPEAKER/ID_mic1.flac
    TIMIT         DR1/SPEAKER/ID.TXT, "FIRST LAST TEXT" with the first and last sample, and ID.WAV beside it
"""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

from foveate.datasets.text_files import read_text
from foveate.disk import is_hidden
from foveate.errors import DataError
from foveate.records import Problem
from foveate.sounds import SOUND_SUFFIXES

_TRIED = 20  # folders of speakers that a layout is looked for in
_MICROPHONE = re.compile(r"_mic\d$", re.IGNORECASE)


class Transcript(NamedTuple):
    """A text of a corpus: the ID of its recording, and the file that it stands in."""

    recording: str
    text: str
    table: Path


class Group(NamedTuple):
    """A folder of one speaker's recordings with their transcripts. sounds: ID in small letters -> files, by name."""

    speaker: str
    sounds: dict[str, list[Path]]
    transcripts: list[Transcript]


class Layout(ABC):
    """The folders of a corpus.

    name: of the corpus. lacks: True if it is published with texts of which there is no recording.
    """

    name: ClassVar[str]
    lacks: ClassVar[bool] = False

    @abstractmethod
    def is_part(self, folder: Path) -> bool:
        """True for a folder of speakers; only the first of these are looked into."""

    @abstractmethod
    def groups(self, part: Path, problems: list[Problem]) -> Iterator[Group]:
        """Recordings and transcripts of a part, speaker by speaker. Files that cannot be read are problems."""

    def remarks(self, recordings: Collection[str]) -> list[str]:
        """Sentences on what a user has to know of the texts. recordings: their IDs."""
        return []


class LibriSpeech(Layout):
    """LibriSpeech (Panayotov et al. 2015): a table of transcripts in the folder of each chapter."""

    name = "LibriSpeech"
    ending = ".trans.txt"

    def is_part(self, folder: Path) -> bool:
        """See `Layout.is_part`."""
        return any(
            _named(chapter, self.ending)
            for speaker in itertools.islice(_folders(folder), _TRIED)
            for chapter in itertools.islice(_folders(speaker), _TRIED)
        )

    def groups(self, part: Path, problems: list[Problem]) -> Iterator[Group]:
        """See `Layout.groups`."""
        for speaker in _folders(part):
            for chapter in _folders(speaker):
                transcripts = [
                    one
                    for table in _named(chapter, self.ending)
                    for one in _readable(table, lambda path: list(self.rows(path)), problems)
                ]
                yield Group(speaker.name, _sounds(chapter), transcripts)

    def rows(self, table: Path) -> Iterator[Transcript]:
        """The lines of a table: an ID, a blank, and the text. Raises DataError."""
        for line in filter(None, map(str.strip, read_text(table).split("\n"))):
            recording, *text = line.split(maxsplit=1)
            yield Transcript(recording, "".join(text), table)


class LibriTTS(LibriSpeech):
    """LibriTTS (Zen et al. 2019), and LibriTTS-R: the same with two forms of each text, of which the last is read."""

    name = "LibriTTS"
    ending = ".trans.tsv"

    def remarks(self, recordings: Collection[str]) -> list[str]:
        """See `Layout.remarks`."""
        return ["of the two forms of each text the normalised one is read, with numbers and abbreviations in words"]

    def rows(self, table: Path) -> Iterator[Transcript]:
        """The lines of a table: an ID, the text, and its normalised form, with tabs between them. Raises DataError."""
        for number, line in enumerate(read_text(table).split("\n"), 1):
            cells = [cell.strip() for cell in line.split("\t")]
            if not line.strip():
                continue
            if len(cells) != 3:
                raise DataError(
                    f"{table}: line {number} is not of three cells with tabs between them; expected an ID, its text, "
                    "and the normalised text"
                )
            yield Transcript(cells[0], cells[2], table)


class VCTK(Layout):
    """VCTK (Yamagishi et al. 2019): texts and recordings in folders of their own, each with a folder a speaker."""

    name = "VCTK"
    lacks = True

    def is_part(self, folder: Path) -> bool:
        """See `Layout.is_part`."""
        texts, recordings = self._folders(folder)
        if not texts or not recordings:
            return False
        shared = itertools.islice((p for p in _folders(texts[0]) if p.name.lower() in _by_name(recordings[0])), _TRIED)
        return any(_named(speaker, ".txt") for speaker in shared)

    def groups(self, part: Path, problems: list[Problem]) -> Iterator[Group]:
        """See `Layout.groups`. Raises DataError for several folders of recordings."""
        (texts, *_), recordings = self._folders(part)
        if len(recordings) > 1:
            names = " and ".join(f"{p.name}/" for p in recordings[:2])
            raise DataError(f"{part}: {names} hold recordings of the same texts; move all but one out of the folder")
        spoken, written = _by_name(recordings[0]), _by_name(texts)
        for name in sorted(spoken.keys() | written.keys()):
            files = _named(written[name], ".txt") if name in written else []
            transcripts = [one for file in files for one in _readable(file, _whole, problems)]
            sounds = _sounds(spoken[name]) if name in spoken else {}
            yield Group((spoken | written)[name].name, sounds, transcripts)

    @staticmethod
    def _folders(folder: Path) -> tuple[list[Path], list[Path]]:
        """Folders of texts, and of recordings: wav48, wav48_silence_trimmed, or another rate's."""
        inside = _folders(folder)
        recordings = [p for p in inside if re.fullmatch(r"wav\d*(_silence_trimmed)?", p.name.lower())]
        return [p for p in inside if p.name.lower() == "txt"], recordings


class TIMIT(Layout):
    """TIMIT (Garofolo et al. 1993): a folder a region, a folder a speaker, and texts with the samples they span."""

    name = "TIMIT"

    def is_part(self, folder: Path) -> bool:
        """See `Layout.is_part`."""
        speakers = itertools.islice(self._speakers(folder), _TRIED)
        return any(_sounds(speaker).keys() & {p.stem.lower() for p in _named(speaker, ".txt")} for speaker in speakers)

    def groups(self, part: Path, problems: list[Problem]) -> Iterator[Group]:
        """See `Layout.groups`."""
        for speaker in self._speakers(part):
            files = _named(speaker, ".txt")
            transcripts = [one for file in files for one in _readable(file, self._spanned, problems)]
            yield Group(speaker.name, _sounds(speaker), transcripts)

    def remarks(self, recordings: Collection[str]) -> list[str]:
        """See `Layout.remarks`."""
        if not any(recording.lower() in ("sa1", "sa2") for recording in recordings):
            return []
        return [
            "SA1 and SA2 are the same two sentences of every speaker, in each split, and many published scores are "
            "without them; remove these files to compare with such"
        ]

    @staticmethod
    def _speakers(part: Path) -> Iterator[Path]:
        regions = (p for p in _folders(part) if re.fullmatch(r"dr\d", p.name.lower()))
        return (speaker for region in regions for speaker in _folders(region))

    @staticmethod
    def _spanned(file: Path) -> list[Transcript]:
        """The text of a file behind the numbers of its first and last sample. Raises DataError."""
        match = re.fullmatch(r"\s*\d+\s+\d+\b(.*)", read_text(file), re.DOTALL)
        if match is None:
            raise DataError(f"{file}: expected the numbers of the first and the last sample, and the text")
        return [Transcript(file.stem, match[1].strip(), file)]


LAYOUTS: tuple[Layout, ...] = (LibriSpeech(), LibriTTS(), VCTK(), TIMIT())


def _whole(file: Path) -> list[Transcript]:
    """All that a file holds, as one text. Raises DataError."""
    return [Transcript(file.stem, read_text(file).strip(), file)]


def _readable(file: Path, read: Callable[[Path], list[Transcript]], problems: list[Problem]) -> list[Transcript]:
    """The transcripts of a file; [], and a problem, if it cannot be read."""
    try:
        return read(file)
    except DataError as error:
        problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
        return []


def _folders(folder: Path) -> list[Path]:
    """The folders inside, by name, without hidden ones."""
    return sorted(p for p in folder.iterdir() if not is_hidden(p.name) and p.is_dir()) if folder.is_dir() else []


def _by_name(folder: Path) -> dict[str, Path]:
    """Name in small letters -> folder inside."""
    return {p.name.lower(): p for p in _folders(folder)}


def _named(folder: Path, ending: str) -> list[Path]:
    """The files of a folder whose names end so, in any case, by name."""
    return sorted(p for p in folder.iterdir() if p.name.lower().endswith(ending) and not is_hidden(p.name))


def _sounds(folder: Path) -> dict[str, list[Path]]:
    """ID in small letters -> its files of sound, by name.

    The ID is the name without its endings, of which copies in another coding have two (SA1.WAV.wav), and without that
    of a microphone.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        stem = file
        while stem.suffix.lower() in SOUND_SUFFIXES:
            stem = stem.with_suffix("")
        if stem != file and not is_hidden(file.name):
            found.setdefault(_MICROPHONE.sub("", stem.name.lower()), []).append(file)
    return found
