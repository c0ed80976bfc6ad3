"""Captions in the format of Flickr8k and Flickr30k: lines of an image's name, a number and a sentence.

Hodosh, Young and Hockenmaier, "Framing image description as a ranking task", JAIR 2013; Young et al., "From image
descriptions to visual denotations", TACL 2014.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foveate.datasets.captions import CaptionLine, CaptionScan, CaptionSource, Collector, lines_of
from foveate.datasets.captions.album import nearby
from foveate.datasets.captions.lists import split_lists
from foveate.datasets.files import require_folder
from foveate.records import Problem
from foveate.registry import dataset

_LINE = re.compile(r"(?P<name>.+?)#\w+(?:\s*\t\s*|\s+)(?P<text>.*)|(?P<alone>.+?)#\w+")


@dataset("flickr")
@dataclass(frozen=True)
class Flickr(CaptionSource):
    """Flickr8k, Flickr30k and their like: lines NAME.jpg#0, tab, caption in *.token.txt or *.token.

    The files may be in DATA or in a folder of it (as Flickr8k_text), the images anywhere below. Lists as
    Flickr_8k.trainImages.txt, or train.txt, are the splits (dev is val); images in no list are left out. Without
    lists a split is drawn.

    path: the folder DATA.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a file called *.token.txt or *.token."""
        return bool(token_files(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        files = ", ".join(file.name for file in token_files(Path(self.path)))
        return f"Flickr captions ({files}): {self.scan.counts()}"

    def read(self) -> CaptionScan:
        """Read the captions and find their images. Raises DataError."""
        root = require_folder(self.path)
        collector = Collector(files := token_files(root))
        for file in files:
            for line, place in _lines(file, collector.problems):
                collector.add(line, file, place)
        return collector.scan(root, self.seed, split_lists(root))


def token_files(root: Path) -> list[Path]:
    """The files of captions; those whose words are reduced to their stems are left out."""
    return [p for p in (*nearby(root, "*.token.txt"), *nearby(root, "*.token")) if "lemma" not in p.name.lower()]


def _lines(file: Path, problems: list[Problem]) -> Iterator[tuple[CaptionLine, str]]:
    for number, line in enumerate(lines_of(file), 1):
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(Problem(file, f"line {number}: '{line[:40]}'; expected NAME.jpg#0, a tab and a caption"))
        else:
            yield CaptionLine(match["name"] or match["alone"], match["text"] or ""), f"line {number}"
