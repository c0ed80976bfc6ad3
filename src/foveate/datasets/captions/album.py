"""The image files below a folder, found by name."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from pathlib import Path, PurePosixPath

from foveate.datasets.folders import LABEL_FOLDERS
from foveate.datasets.names import unescaped
from foveate.disk import is_hidden
from foveate.errors import counted, first_names
from foveate.pictures import PICTURE_SUFFIXES


class Album:
    """The images in a folder and below it, by name. Hidden files and folders are skipped, such as macOS's __MACOSX.

    files: those of another kind in place of images.
    """

    def __init__(self, root: Path, files: Iterable[Path] | None = None) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._unescaped: dict[str, list[Path]] = {}  # by name and by stem, without the escapes of URLs
        self.folders: set[str] = set()  # names of the folders that hold images, in lower case
        for path in _walk(root) if files is None else files:
            self._by_name.setdefault(plain(path.name), []).append(path)
            self._by_stem.setdefault(plain(path.stem), []).append(path)
            for name in {plain(unescaped(path.name)), plain(unescaped(path.stem))}:
                self._unescaped.setdefault(name, []).append(path)
            self.folders.add(plain(path.parent.name))

    def __iter__(self) -> Iterator[Path]:
        return (path for paths in self._by_name.values() for path in paths)

    def find(self, name: str, folder: str = "") -> list[Path]:
        """The images that a name may mean: of several, those whose folders match the name's, or `folder`.

        A path from the root is that image alone. Otherwise case and the form of accents are ignored, and the suffix may
        be missing. 'a.jpg.1',
        as in Flickr8k, is 'a.jpg', and 'a%20b.jpg' is 'a b.jpg' where no image is called so itself.
        """
        parts = [plain(part) for part in PurePosixPath(name.replace("\\", "/")).parts]
        if not parts:
            return []
        last = parts[-1]
        found = self._by_name.get(last) or self._by_stem.get(last) or []
        if not found and last.rpartition(".")[2].isdigit():
            found = self._by_name.get(last.rpartition(".")[0], [])
        found = found or self._unescaped.get(plain(unescaped(last)), [])
        if len(found) < 2:
            return found
        if (exact := self.root.joinpath(*PurePosixPath(name.replace("\\", "/")).parts)) in found and not folder:
            return [exact]
        found = [path for path in found if path.name == PurePosixPath(name).name] or found
        shared = [_shared_end(path, parts) for path in found]
        best = [path for path, count in zip(found, shared, strict=True) if count == max(shared)]
        within = [path for path in best if folder.lower() in (p.lower() for p in path.parts)] if folder else []
        return within or [path for path in best if not self._is_label(path)] or best

    def _is_label(self, path: Path) -> bool:
        """True for a file in a folder of labels, as the mask of an image that is called as the image is."""
        return any(part.lower() in LABEL_FOLDERS for part in path.relative_to(self.root).parent.parts)


def escape_note(names: Mapping[str, Path]) -> list[str]:
    """A note on images whose name in a file has URL escapes that their own has not, or the reverse."""
    escaped = [
        f"'{name}' is {path.name}"
        for name, path in names.items()
        if len({"%" in PurePosixPath(name).name, "%" in path.name}) > 1
        and PurePosixPath(unescaped(name)).stem == unescaped(path.stem)
    ]
    if not escaped:
        return []
    return [
        f"{counted(len(escaped), 'name')} found by what URL escapes (%20 and the like) mean: {first_names(escaped)}"
    ]


def plain(name: str) -> str:
    """A name in small letters with its accents composed: macOS writes them apart."""
    return unicodedata.normalize("NFC", name.lower())


def _shared_end(path: Path, parts: Sequence[str]) -> int:
    """Number of last folders that a path and a name share."""
    count = 0
    for own, named in zip(reversed(path.parts[:-1]), reversed(parts[:-1]), strict=False):
        if plain(own) != named:
            break
        count += 1
    return count


def _walk(root: Path) -> Iterator[Path]:
    """Image files below a folder, in order; linked folders are followed once."""
    visited: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            names.clear()
            continue
        visited.add(real)
        names[:] = sorted(name for name in names if not is_hidden(name))
        for name in sorted(files):
            if not is_hidden(name) and f".{name.rpartition('.')[2].lower()}" in PICTURE_SUFFIXES:
                yield Path(folder, name)


def nearby(root: Path, pattern: str) -> list[Path]:
    """Files whose names match a pattern in any case, in a folder or in its folders, by path, without hidden ones."""
    if not root.is_dir():
        return []
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))]
    matches = re.compile(translate(pattern), re.IGNORECASE).match
    files = (file for folder in folders for file in sorted(p for p in folder.iterdir() if matches(p.name)))
    return [p for p in files if p.is_file() and not is_hidden(p.name)]
