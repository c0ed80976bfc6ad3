"""COCO's captions.

Chen et al., "Microsoft COCO Captions: data collection and evaluation server", 2015; the format of
cocodataset.org/#format-data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foveate.datasets.captions import CaptionLine, CaptionScan, CaptionSource, Collector
from foveate.datasets.captions.album import nearby
from foveate.datasets.coco_files import plain_id
from foveate.datasets.files import require_folder
from foveate.datasets.splits import SPLIT_NAMES
from foveate.datasets.text_files import read_json
from foveate.errors import ConfigError, DataError, unknown
from foveate.records import Problem
from foveate.registry import dataset

_FILE = re.compile(r"captions(_(?P<split>.+?)(?P<year>\d{4})?)?\.json")
_KEYS = (b'"images"', b'"annotations"', b'"image_id"', b'"caption"')  # of a file whose name alone does not tell it


@dataset("coco_captions")
@dataclass(frozen=True)
class COCOCaptions(CaptionSource):
    """COCO captions: `captions_<split><year>.json`, one file a split, or `captions.json`, here or in `annotations/`.

    Images are found by their file_name anywhere below the folder; where several are called so, the one in
    `<split><year>` is taken. Of a single file a split is drawn.

    path: the folder.
    year: '2014' or another, if there are several; '' is the latest.
    seed: of the drawn split; any integer, used only if a split is missing.
    """

    path: str
    year: str = ""
    seed: int = 0

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there are files called captions_*.json, or a captions.json of COCO's form."""
        return bool(_caption_files(path))

    def describe(self, task: str = "") -> str:
        """The recognised format, and its counts, in one line."""
        files = ", ".join(file.name for file in self._files(Path(self.path)).values())
        return f"COCO captions ({files}): {self.scan.counts()}"

    def read(self) -> CaptionScan:
        """Read the files and find their images. Raises DataError, and ConfigError for a year that is not there."""
        root = require_folder(self.path)
        files = self._files(root)
        collector = Collector(list(files.values()))
        folders: dict[str, str] = {}
        for split, file in files.items():
            for line, place in _captions(file, split if len(files) > 1 else "", collector.problems):
                collector.add(line, file, place)
                folders.setdefault(line.picture, file.stem.removeprefix("captions_"))
        return collector.scan(root, self.seed, folders=folders)

    def _files(self, root: Path) -> dict[str, Path]:
        """Split -> file, of the wanted year."""
        by_year: dict[str, dict[str, Path]] = {}
        for file, match in _caption_files(root):
            split = (match["split"] or "").strip("_-")
            by_year.setdefault(match["year"] or "", {}).setdefault(SPLIT_NAMES.get(split, split), file)
        if not by_year:
            raise DataError(f"{root}: no file captions_*.json in it or in its folders")
        if self.year and self.year not in by_year:
            raise ConfigError(f"{unknown('year', self.year, sorted(by_year))} (in {root})")
        return by_year[self.year or max(by_year)]


def _caption_files(root: Path) -> list[tuple[Path, re.Match[str]]]:
    """The files of captions, each with its name as _FILE matches it; those that name a split alone, where there are."""
    found = [(file, match) for file in nearby(root, "captions*.json") if (match := _FILE.fullmatch(file.name))]
    named = [(file, match) for file, match in found if match["split"]]
    return named or [(file, match) for file, match in found if all(key in file.read_bytes() for key in _KEYS)]


def _captions(file: Path, split: str, problems: list[Problem]) -> Iterator[tuple[CaptionLine, str]]:
    """The captions of a file. Raises DataError for another form; problems of single entries are collected."""
    data = read_json(file)
    for key in ("images", "annotations"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise DataError(f"{file}: no list '{key}'; expected COCO's images and annotations")
    for entry in (e for e in (*data["images"], *data["annotations"]) if isinstance(e, dict)):
        entry.update({key: plain_id(entry[key]) for key in ("id", "image_id") if key in entry})
    names: dict[Any, str] = {}
    for image in data["images"]:
        if not _has(image, "id", (int, str)) or not _has(image, "file_name", (str,)):
            problems.append(Problem(file, f"{image!r:.60} among the images; expected an object with id and file_name"))
        elif image["id"] in names:
            problems.append(Problem(file, f"two images have the id {image['id']}"))
        else:
            names[image["id"]] = image["file_name"]
    for entry in data["annotations"]:
        if not _has(entry, "image_id", (int, str)) or not _has(entry, "caption", (str,)):
            what = f"{entry!r:.60} among the annotations; expected an object with image_id and caption"
            problems.append(Problem(file, what))
            continue
        place = f"annotation {entry.get('id', 'without id')}"
        if entry["image_id"] not in names:
            problems.append(Problem(file, f"{place}: image_id {entry['image_id']} is not an image of the file"))
        else:
            yield CaptionLine(names[entry["image_id"]], entry["caption"], split), place


def _has(entry: Any, key: str, kinds: tuple[type, ...]) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), kinds)
