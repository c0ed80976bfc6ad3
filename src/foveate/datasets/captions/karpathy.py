"""Karpathy's file of captions and splits, one JSON for Flickr8k, Flickr30k or COCO.

Karpathy and Fei-Fei, "Deep visual-semantic alignments for generating image descriptions", CVPR 2015: the split that
captioning papers report on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.datasets.captions import CaptionLine, CaptionScan, CaptionSource, Collector
from foveate.datasets.captions.album import nearby
from foveate.datasets.files import require_folder
from foveate.datasets.text_files import read_json
from foveate.errors import DataError
from foveate.records import Problem
from foveate.registry import dataset

_HEAD = 1 << 16


@dataset("karpathy")
@dataclass(frozen=True)
class Karpathy(CaptionSource):
    """Karpathy's split: `dataset_flickr8k.json`, `dataset_flickr30k.json` or `dataset_coco.json`.

    Images are found by filepath and filename anywhere below the folder. COCO's 'restval' counts as train.

    path: the folder.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if a file dataset*.json begins as Karpathy's do."""
        return any(map(_looks_like_karpathy, nearby(path, "dataset*.json")))

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        return f"Karpathy's split ({_file(Path(self.path)).name}): {self.scan.counts()}"

    def read(self) -> CaptionScan:
        """Read the file and find its images. Raises DataError."""
        root = require_folder(self.path)
        file = _file(root)
        collector = Collector([file])
        for line, place in _captions(file, collector.problems):
            collector.add(line, file, place)
        return collector.scan(root, self.seed)


def _looks_like_karpathy(file: Path) -> bool:
    """True if the file begins as Karpathy's do; the rest may be malformed."""
    try:
        with file.open("rb") as stream:
            return b'"sentences"' in stream.read(_HEAD)
    except OSError:
        return False


def _file(root: Path) -> Path:
    """The one file. Raises DataError for none or several."""
    files = [file for file in nearby(root, "dataset*.json") if _looks_like_karpathy(file)]
    if len(files) != 1:
        found = ", ".join(str(file.relative_to(root)) for file in files) or "none"
        raise DataError(f"{root}: expected one file as dataset_flickr8k.json; found {found}")
    return files[0]


def _captions(file: Path, problems: list[Problem]) -> Iterator[tuple[CaptionLine, str]]:
    data = read_json(file)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise DataError(f"{file}: no list 'images'; expected images with filename, split and sentences")
    for number, image in enumerate(data["images"]):
        name, sentences = _parts(image)
        if name is None or sentences is None:
            what = f"image {number}: {image!r:.60}; expected an object with filename, split and sentences"
            problems.append(Problem(file, what))
            continue
        for sentence in sentences:
            if isinstance(sentence, dict) and isinstance(sentence.get("raw"), str):
                yield CaptionLine(name, sentence["raw"], str(image.get("split") or "")), f"image {number}"
            else:
                problems.append(Problem(file, f"image {number}: {sentence!r:.60}; expected a sentence with 'raw'"))


def _parts(image: Any) -> tuple[str | None, list[Any] | None]:
    """(name with its folder, sentences) of an entry; None for a part that is missing."""
    if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
        return None, None
    folder, sentences = image.get("filepath"), image.get("sentences")
    name = f"{folder}/{image['filename']}" if isinstance(folder, str) and folder else image["filename"]
    return name, sentences if isinstance(sentences, list) else None
