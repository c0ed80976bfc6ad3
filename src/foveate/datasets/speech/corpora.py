"""Corpora of speech as they are published: LibriSpeech, LibriTTS, VCTK and TIMIT, each known by its own folders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

from foveate.datasets.files import require_folder
from foveate.datasets.speech import Line, SpeechSource, Utterance
from foveate.datasets.speech.layouts import LAYOUTS, Group, Layout
from foveate.datasets.splits import SPLIT_ORDER, split_within, stray_folders
from foveate.disk import is_hidden
from foveate.errors import DataError, counted, listed
from foveate.records import Problem
from foveate.registry import dataset


class Corpus(NamedTuple):
    """A corpus that was found. folder: its own. parts: (split, or "" without splits, and the folder of speakers)."""

    folder: Path
    layout: Layout
    parts: list[tuple[str, Path]]


class _Contents(NamedTuple):
    """Contents of a corpus. groups: (split, recordings and transcripts). problems: files that cannot be read."""

    groups: list[tuple[str, Group]]
    problems: list[Problem]


@dataset("speech_corpus")
@dataclass(frozen=True)
class SpeechCorpus(SpeechSource):
    """The folders of LibriSpeech, LibriTTS, VCTK or TIMIT, as they are published.

    The path is that of the corpus, of one of its splits, or of a folder that holds nothing else. Folders whose names
    hold the word train, dev (or val) or test are the splits, and several of one split are joined, as train-clean-100
    and train-other-500. Speakers are the folders called after them. Without val it is drawn from train, by speaker.

    path: the folder.
    rate: samples a second that recordings are resampled to; 0 for the rate of most of them, 16000 at most.
    seed: of the drawn split.
    whole: all recordings are the split test.
    """

    path: str
    rate: int = 0
    seed: int = 0
    whole: bool = False
    draws_val: ClassVar[bool] = True

    @staticmethod
    def recognise(path: Path) -> bool:
        """True for the folders of a corpus that is known."""
        return _corpus_in(path) is not None

    @property
    def title(self) -> str:
        """The name of the corpus, for messages."""
        return f"speech in {self.corpus.layout.name}'s folders"

    @property
    def folder(self) -> Path:
        """The folder of the corpus, which may be inside the path."""
        return self.corpus.folder

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus at the path. Raises DataError if there is none."""
        if (found := _corpus_in(require_folder(self.path))) is None:
            names = ", ".join(layout.name for layout in LAYOUTS)
            raise DataError(f"{self.path}: expected the folders of one of these corpora: {names}")
        return found

    @cached_property
    def _contents(self) -> _Contents:
        problems: list[Problem] = []
        layout = self.corpus.layout
        groups = [(split, group) for split, part in self.corpus.parts for group in layout.groups(part, problems)]
        return _Contents(groups, problems)

    @cached_property
    def _files(self) -> dict[tuple[Path, str], list[Path]]:
        """(file of the text, ID) -> its recordings."""
        return {
            (one.table, one.recording): group.sounds.get(one.recording.lower(), [])
            for _, group in self._contents.groups
            for one in group.transcripts
        }

    def lines(self, problems: list[Problem]) -> list[tuple[Line, Path]]:
        """The transcripts; without those that have no recording, where the corpus is published with such."""
        problems += self._contents.problems
        passed_over = self.corpus.layout.lacks and any(self._files.values())
        return [
            (Line(one.recording, one.text, group.speaker, split), one.table)
            for split, group in self._contents.groups
            for one in group.transcripts
            if self._files[one.table, one.recording] or not passed_over
        ]

    def locate(self, line: Line, table: Path) -> Path | Utterance | None:
        """The first of a line's recordings by name."""
        return next(iter(self._files[table, line.name]), None)

    def unnamed(self, used: set[Path]) -> list[Path]:
        """Recordings without a text; further ones of a text are in a note."""
        named = {file for files in self._files.values() for file in files}
        groups = (group for _, group in self._contents.groups)
        return [file for group in groups for files in group.sounds.values() for file in files if file not in named]

    def notes(self, task: str = "") -> list[str]:
        """The notes of every source, and which of several recordings or texts are read."""
        found = list(super().notes(task))
        if several := [files for files in self._files.values() if len(files) > 1]:
            files = " and ".join(file.name for file in several[0])
            found.append(
                f"{counted(len(several), 'transcript')} with several recordings each, as {files}: the first by name "
                "is read"
            )
        absent = [recording for (_, recording), files in self._files.items() if not files]
        if absent and self.corpus.layout.lacks:
            found.append(f"{listed(absent, 'transcript')} without a recording, left out")
        found += self.corpus.layout.remarks({recording for _, recording in self._files})
        parts = [part for split, part in self.corpus.parts if split]
        return found + (stray_folders(self.folder, parts, self.corpus.layout.is_part) if parts else [])


def _corpus_in(path: Path) -> Corpus | None:
    """The corpus whose folder a path is, or the one in it if it has no other folder."""
    if not path.is_dir():
        return None
    inside = [p for p in path.iterdir() if not is_hidden(p.name) and p.is_dir()]
    return _corpus_at(path) or (_corpus_at(inside[0]) if len(inside) == 1 else None)


def _corpus_at(folder: Path) -> Corpus | None:
    """The corpus of which a folder is a part, or whose splits are the folders in it."""
    inside = [(split_within(p.name), p) for p in sorted(folder.iterdir()) if not is_hidden(p.name) and p.is_dir()]
    inside = [(split, p) for split, p in inside if split in SPLIT_ORDER]
    for layout in LAYOUTS:
        if layout.is_part(folder):
            return Corpus(folder, layout, [("", folder)])
        if parts := [(split, p) for split, p in inside if layout.is_part(p)]:
            return Corpus(folder, layout, parts)
    return None
