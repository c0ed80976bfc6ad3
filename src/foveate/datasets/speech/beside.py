"""Transcripts beside their recordings: name.wav and name.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from foveate.datasets.files import require_folder
from foveate.datasets.speech import Line, SpeechSource, Utterance, files_of_sound
from foveate.datasets.splits import SPLIT_ORDER, split_called
from foveate.datasets.text_files import read_text
from foveate.disk import is_hidden
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset
from foveate.sounds import SOUND_SUFFIXES

_TIMES = re.compile(r"\s*(\d+(?:\.\d+)?)[\s,;]+(\d+(?:\.\d+)?)[\s,;]+[^\W\d]")


@dataset("speech_files")
@dataclass(frozen=True)
class SpeechBeside(SpeechSource):
    """Recordings with a text file beside each: name.wav (or .flac, .ogg, .mp3) and name.txt.

    Folders train, val and test are the splits; without them one is drawn.

    path: the folder.
    rate: samples a second that recordings are resampled to; 0 for the rate of most of them, 16000 at most.
    seed: of the drawn split.
    whole: all recordings are the split test.
    """

    path: str
    rate: int = 0
    seed: int = 0
    whole: bool = False
    title = "speech with a text beside each recording"

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a recording with a text beside it, at most two folders deep."""
        return any(
            sound.with_suffix(".txt").is_file() for pattern in ("*", "*/*", "*/*/*") for sound in _sounds(path, pattern)
        )

    @cached_property
    def _files(self) -> list[Path]:
        return files_of_sound(require_folder(self.path))

    def lines(self, problems: list[Problem]) -> list[tuple[Line, Path]]:
        """The text of every recording; texts without a recording are problems."""
        root = Path(self.path)
        found = []
        texts = {file.with_suffix(".txt") for file in self._files}
        for file in self._files:
            text = file.with_suffix(".txt")
            if not text.is_file():
                continue
            try:
                content = read_text(text)
            except DataError as error:
                problems.append(Problem(text, str(error).removeprefix(f"{text}: ")))
                continue
            folders = (split_called(part) for part in file.relative_to(root).parent.parts)
            split = next((name for name in folders if name in SPLIT_ORDER), "")
            found.append((Line(file.relative_to(root).as_posix(), content, "", split), text))
        if timed := [pair for pair in found if _has_times(pair[0].text)]:
            what = "begins with two numbers, as times of a label track do, or holds subtitles; write the text alone"
            if len(timed) == len(found) or any("-->" in line.text for line, _ in timed):
                problems += [Problem(text, what) for _, text in timed]
        holding = {file.parent for file in self._files}
        for text in sorted(p for folder in holding for p in folder.glob("*.txt") if p not in texts):
            if not is_hidden(text.name) and text.stem.lower() not in ("readme", "license", "licence"):
                problems.append(Problem(text, "a transcript without a recording; add it, or remove the text"))
        return found

    def locate(self, line: Line, table: Path) -> Path | Utterance | None:
        """The recording itself."""
        return Path(self.path) / line.name

    def unnamed(self, used: set[Path]) -> list[Path]:
        """Recordings without a text."""
        return [file for file in self._files if file not in used and not file.with_suffix(".txt").is_file()]


def _has_times(text: str) -> bool:
    """True for subtitles, and for lines that begin with two rising numbers before a word."""
    if "-->" in text:
        return True
    match = _TIMES.match(text)
    return match is not None and float(match[1]) < float(match[2])


def _sounds(root: Path, pattern: str) -> list[Path]:
    return [p for p in root.glob(pattern) if p.suffix.lower() in SOUND_SUFFIXES] if root.is_dir() else []
