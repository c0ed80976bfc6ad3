"""Kaldi's lists of recordings and texts: wav.scp and text, and utt2spk if it is there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foveate.datasets.files import require_folder
from foveate.datasets.speech import Line, SpeechSource, Utterance
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.datasets.text_files import read_text
from foveate.disk import is_file
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

_RECORDINGS, _TEXT, _SPEAKERS, _SEGMENTS = "wav.scp", "text", "utt2spk", "segments"
_ABOVE = 4  # folders above the list that file names may be relative to


@dataset("kaldi")
@dataclass(frozen=True)
class Kaldi(SpeechSource):
    """Kaldi's data folder: wav.scp (ID FILE), text (ID WORDS), and utt2spk (ID SPEAKER) if there is one.

    Folders train, dev (or val) and test with a wav.scp each are the splits. Files are looked for from the folder of the
    list, and from those above it, since Kaldi names them from where it is run.

    path: the folder.
    rate: samples a second that recordings are resampled to; 0 for the rate of most of them, 16000 at most.
    seed: of the drawn split.
    whole: all recordings are the split test.
    """

    path: str
    rate: int = 0
    seed: int = 0
    whole: bool = False
    title = "speech as Kaldi lists it"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are wav.scp and text, or folders of splits with both."""
        return bool(_folders(path))

    @staticmethod
    def near_miss(path: Path) -> str:
        """A wav.scp without text."""
        if (path / _RECORDINGS).is_file():
            return "has wav.scp, but no file text; add it, with a line ID WORDS a recording"
        return ""

    @cached_property
    def _named(self) -> dict[Path, dict[str, str]]:
        """Folder -> ID -> what wav.scp says. Raises DataError for commands and segments."""
        found = {}
        for _, folder in _folders(require_folder(self.path)):
            if (folder / _SEGMENTS).is_file():
                raise DataError(
                    f"{folder / _SEGMENTS}: recordings with several utterances each are not read; write one file an "
                    "utterance (Kaldi's extract-segments does), and remove it"
                )
            entries = dict(_entries(folder / _RECORDINGS))
            for name, file in entries.items():
                if file.endswith("|"):
                    raise DataError(
                        f"{folder / _RECORDINGS}: '{name}' is a command, which is not run: '{file[:50]}'; write its "
                        "output into a file, and name that"
                    )
            found[folder] = entries
        return found

    def lines(self, problems: list[Problem]) -> list[tuple[Line, Path]]:
        """The lines of text."""
        found = []
        for split, folder in _folders(Path(self.path)):
            speakers = dict(_entries(folder / _SPEAKERS)) if (folder / _SPEAKERS).is_file() else {}
            for name, text in _entries(folder / _TEXT):
                found.append((Line(name, text, speakers.get(name, ""), split), folder / _TEXT))
            texts = {line.name for line, _ in found}
            for name in self._named[folder]:
                if name not in texts:
                    problems.append(Problem(folder / _TEXT, f"no text of '{name}'; add it, or remove it from wav.scp"))
        return found

    def locate(self, line: Line, table: Path) -> Path | Utterance | None:
        """The file that wav.scp names."""
        name = self._named[table.parent].get(line.name)
        if name is None:
            return None
        above = [table.parent, *table.parent.parents[:_ABOVE]]
        return next((folder / name for folder in above if is_file(folder / name)), None)


def _folders(root: Path) -> list[tuple[str, Path]]:
    """(split, folder) of the lists."""
    if not root.is_dir():
        return []
    if _is_kaldi(root):
        return [("", root)]
    named = [(split_called(p.name), p) for p in sorted(root.iterdir()) if p.is_dir()]
    return [(split, p) for split, p in named if split in SPLIT_ORDER and _is_kaldi(p)]


def _is_kaldi(folder: Path) -> bool:
    return (folder / _RECORDINGS).is_file() and (folder / _TEXT).is_file()


def _entries(file: Path) -> list[tuple[str, str]]:
    """(ID, rest) of every line."""
    lines = (line.strip().partition(" ") for line in read_text(file).replace("\t", " ").splitlines() if line.strip())
    return [(name, rest.strip()) for name, _, rest in lines]
