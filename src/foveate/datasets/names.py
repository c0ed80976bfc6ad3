"""Names of image files, as lists, annotation files and masks give them.

Two names are equal in any Unicode form (macOS decomposes accents, Windows and Linux do not). An image's suffix may be
missing or differ, and of several files of one name the folders decide. Where no file has a name as it stands, URL
escapes in either are what they stand for: 'a%20b.png' is 'a b.png'.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from foveate.disk import is_file
from foveate.pictures import PICTURE_SUFFIXES

_QUOTED = re.compile(r"""(["'])(.+?)\1""")


def normal(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which equal names are equal strings."""
    return unicodedata.normalize("NFC", name)


def unescaped(name: str) -> str:
    """A name in composed form with the characters that its URL escapes stand for: 'a%20b' -> 'a b'."""
    return normal(unquote(name))


def stem_of(name: str) -> str:
    """A file name in composed form, without folders and without an image file's suffix: 'a/b.v2.png' -> 'b.v2'."""
    last = normal(_parts(name)[-1:][0]) if _parts(name) else ""
    stem, _, suffix = last.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in PICTURE_SUFFIXES else last


# Of the masks that several people drew of one image: CHASE_DB1's _1stHO and _2ndHO, DRIVE's _manual1.
_ANNOTATORS = r"(?:1st|2nd|3rd)HO|manual\d?"
ANNOTATOR = re.compile(rf".+[ ._-](?i:{_ANNOTATORS})")
# What the name of a mask adds to its image's name, as QuPath's -labelled and ilastik's _Simple Segmentation do.
# Cellpose's images may end in _img.
MASK_MARK = re.compile(
    r"(?P<image>.+?)(?:[ ._-](?i:(?:cp[_-])?(?:masks?|labels?|labelled|seg|segmentation|"
    rf"simple segmentation|gt|ground_?truth|annotations?|{_ANNOTATORS}))|_[LP])"
)
_NUMBERED = re.compile(r"(?P<stem>.+?)[ _-]?(?:\((?P<bracketed>\d+)\)|(?P<number>\d+))")  # NAME_mask_1, NAME_mask (1)
IMAGE_MARKS = ("", "_img", "_image", "_sat", "_training", "_test")  # of DeepGlobe and DRIVE, too


def unmarked(stem: str) -> list[str]:
    """Stems that the image of a mask may have, for a mask that is called after what it is; [] for another.

    'cell_mask' -> 'cell', 'cell_img', 'cell_image' and so on.
    """
    match = MASK_MARK.fullmatch(stem)
    return [f"{match['image']}{mark}" for mark in IMAGE_MARKS] if match else []


def images_of_numbered(stem: str) -> list[str]:
    """`unmarked` of a mask with a number at the end, as 'cell_mask_1' has; [] without one, and for an annotator's."""
    match = _NUMBERED.fullmatch(stem)
    return unmarked(match["stem"]) if match and not unmarked(stem) else []


def number_of(file: Path) -> int:
    """The number of a mask that is called after what it is and numbered, as cell_mask_1.png; -1 for another."""
    stem = stem_of(file.name)
    match = _NUMBERED.fullmatch(stem) if images_of_numbered(stem) else None
    return int(match["bracketed"] or match["number"]) if match else -1


def shown_names(files: Sequence[Path]) -> list[str]:
    """File names; where several files share one, the paths below the folder that holds all files."""
    counts = Counter(file.name for file in files)
    if not counts or max(counts.values()) == 1:
        return [file.name for file in files]
    root = Path(os.path.commonpath([file.parent for file in files]))
    return [file.name if counts[file.name] == 1 else file.relative_to(root).as_posix() for file in files]


def distinct_names(files: Sequence[Path], root: Path) -> list[str]:
    """A name for each file: its stem, or the path below `root` without suffix where several files share the stem."""
    stems = [stem_of(file.name) for file in files]
    counts = Counter(stems)
    return [
        stem if counts[stem] == 1 else "/".join((*(normal(p) for p in _folders_below(file, root)), stem))
        for file, stem in zip(files, stems, strict=True)
    ]


def _folders_below(file: Path, root: Path) -> tuple[str, ...]:
    return file.parent.relative_to(root).parts if file.is_relative_to(root) else file.parent.parts[-1:]


class NameIndex:
    """Files by the names that others give them."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._by_stem: dict[str, list[Path]] = {}
        self._unescaped: dict[str, list[Path]] = {}
        self._folders: set[str] = set()
        for file in files:
            stem = stem_of(file.name)
            self._by_stem.setdefault(stem, []).append(file)
            self._unescaped.setdefault(unescaped(stem), []).append(file)
            self._folders.add(unescaped(file.parent.name))

    def find(self, name: str) -> list[Path]:
        """The files that a name may mean: one, several if it does not say which, or none.

        Folders of another disk in the name are passed over, but not a folder of these files that holds no such file.
        """
        parts = [normal(part) for part in _parts(name)]
        stem = stem_of(parts[-1]) if parts else ""
        found = self._by_stem.get(stem) or self._unescaped.get(unescaped(stem), [])
        if not found:
            return []
        shared = [shared_folders(file, parts[:-1]) for file in found]
        if len(parts) > 1 and max(shared) == 0 and unescaped(parts[-2]) in self._folders:
            return []
        best = [file for file, count in zip(found, shared, strict=True) if count == max(shared)]
        return [file for file in best if normal(file.name) == parts[-1]] or best

    def find_line(self, line: str) -> tuple[str, list[Path]]:
        """(the name in a line of a list, the files that it may mean).

        The whole line is a name first, since names hold blanks. Then come the name in quotes, the first of several
        columns, and the words before a number or before the name of a mask.
        """
        candidates = list(_candidates(line))
        for name in candidates:
            if found := self.find(name):
                return name, found
        return candidates[-1 if len(candidates) > 1 and _has_suffix(candidates[-1]) else 0], []


def _candidates(line: str) -> Iterator[str]:
    """The names that a line may hold, the likeliest first."""
    folders = re.split(r"[\\/]", line)[:-1]
    if not any(_has_suffix(word) for folder in folders for word in folder.split()):  # then it holds two paths
        yield line
    if match := _QUOTED.match(line):
        yield match[2]
    for separator in "\t,;":
        first, found, _ = line.partition(separator)
        if found and first.strip():
            yield first.strip().strip("\"'")
    for gap in reversed(list(re.finditer(r"\s+", line))):
        name, rest = line[: gap.start()], line[gap.end() :]
        numbers = all(re.fullmatch(r"[-+]?\d+", word) for word in rest.split())
        if _has_suffix(name) or numbers or stem_of(rest) == stem_of(name):
            yield name


def _has_suffix(name: str) -> bool:
    return normal(name).rpartition(".")[2].lower() in {suffix[1:] for suffix in PICTURE_SUFFIXES}


def shared_folders(file: Path, folders: Sequence[str]) -> int:
    """Number of last folders that a file's path and a name share."""
    count = 0
    for own, named in zip(reversed(file.parts[:-1]), reversed(folders), strict=False):
        if unescaped(own) != unescaped(named):
            break
        count += 1
    return count


def in_any_case(folder: Path, name: str) -> Path:
    """The path of a file in a folder, which may be called so in capitals, as Classes.txt for classes.txt."""
    path = folder / name
    if path.exists() or not folder.is_dir():
        return path
    return next((p for p in sorted(folder.iterdir()) if p.name.lower() == name.lower() and p.is_file()), path)


class Files:
    """Existing files by path, where the Unicode form of the path's last name may be another on the disk."""

    def __init__(self) -> None:
        self._listings: dict[Path, dict[str, Path]] = {}

    def find(self, path: Path) -> Path | None:
        """The file at a path, or the one in its folder whose name is equal but for its Unicode form; else None."""
        if is_file(path):
            return path
        if path.name.isascii():
            return None
        folder = path.parent
        if folder not in self._listings:
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            self._listings[folder] = {normal(file.name): file for file in found if file.is_file()}
        return self._listings[folder].get(normal(path.name))


def _parts(name: str) -> list[str]:
    """The folders and the last name of a path, with the separators of any system."""
    return [part for part in re.split(r"[\\/]", name) if part not in ("", ".")]
