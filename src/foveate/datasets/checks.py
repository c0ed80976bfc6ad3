"""Checks of image files over all splits, and digests of their labels; none of them decodes an image."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from foveate.errors import counted, listed

FEW = 10  # validation images, below which one image more or less decides
SMALL_VAL = "val holds "  # by which the note on it is known
_PIECE = 4096  # bytes at three places of a file, which tell most files of one size apart
_VARIANT = re.compile(r"(.+)\.rf\.[0-9a-f]{16,}\.\w+", re.IGNORECASE)  # of Roboflow: the image's name, then a digest
COMBINED = "trainval"  # a split of published sets that holds two others


class HasPicture(Protocol):
    """An image file with its label."""

    @property
    def picture(self) -> Path:
        """The image file."""
        ...


def small_val_note(count: int, noun: str) -> str:
    """A sentence on a val of few samples."""
    held = counted(count, noun)
    return f"{SMALL_VAL}{held}, and scores of fewer than {FEW} say little; give it more if there are any"


def split_notes(pairs: Mapping[str, Sequence[HasPicture]], noun: str = "picture") -> list[str]:
    """Sentences on splits: few validation images, none at all, and images that are in two of them; noun: of one."""
    notes = []
    if "val" in pairs and len(pairs["val"]) < FEW:
        notes.append(small_val_note(len(pairs["val"]), noun))
    notes += missing_val_notes(pairs)
    splits = {split: [p.picture for p in pairs[split]] for split in pairs if split != COMBINED}
    return [*notes, *equal_notes(splits, noun), *_augmented_notes(splits, noun)]


def missing_val_notes(splits: Collection[str]) -> list[str]:
    """A sentence on splits without val, where test stands in for it."""
    if "val" in splits or not {"train", "test"} <= set(splits):
        return []
    return ["there is no val split, so epochs are ranked on test, whose score is then no test's; add val"]


def _augmented_notes(splits: Mapping[str, Sequence[Path]], noun: str) -> list[str]:
    """Sentences on variants of one image in two splits, by the names that Roboflow gives to augmented images."""
    sources = {
        split: {m[1] for file in files if (m := _VARIANT.fullmatch(file.name))} for split, files in splits.items()
    }
    notes = []
    for first, second in itertools.combinations(sources, 2):
        if shared := sorted(sources[first] & sources[second]):
            notes.append(
                f"variants of {listed(shared, noun)} are in {first} and in {second}, by the names that Roboflow gives "
                f"them, so that {second} is no test of what was learned; divide before pictures are augmented"
            )
    return notes


def equal_notes(splits: Mapping[str, Sequence[Path]], noun: str = "picture") -> list[str]:
    """Sentences on files that are in two splits; noun: of one."""
    return [
        f"{_alike(files, noun)} in {first} and in {second} alike, byte for byte ({_names_of(files)}), so that {second} "
        "is no test of what was learned; remove one of each"
        for first, second, files in equal_files(splits)
    ]


def class_notes(classes: Mapping[str, Sequence[Path]]) -> list[str]:
    """Sentences on images that are in two classes."""
    return [
        f"{_alike(files, 'picture')} in class {first} and in class {second} alike, byte for byte ({_names_of(files)}); "
        "each has one class: remove the wrong one"
        for first, second, files in equal_files(classes)
    ]


def _alike(files: Sequence[tuple[Path, Path]], noun: str) -> str:
    return f"{counted(len(files), noun)} {'is' if len(files) == 1 else 'are'}"


def _names_of(files: Sequence[tuple[Path, Path]]) -> str:
    shown = ", ".join(f"{a.name} = {b.name}" if a.name != b.name else a.name for a, b in files[:3])
    return shown + (", ..." if len(files) > 3 else "")


def equal_files(splits: Mapping[str, Sequence[Path]]) -> list[tuple[str, str, list[tuple[Path, Path]]]]:
    """(split, split, pairs of files with the same content) for every two splits that share files.

    Sizes are compared first, then digests of three short pieces, and only files that agree in both are read whole.
    """
    split_of: dict[Path, list[str]] = {}
    for split, files in splits.items():
        for file in files:
            split_of.setdefault(file, []).append(split)
    groups: list[list[Path]] = [[file for file in split_of if file.is_file()]]
    for key in (lambda file: file.stat().st_size, _pieces, _content):
        groups = [part for group in groups for part in _grouped(group, key, split_of)]
    found: dict[tuple[str, str], list[tuple[Path, Path]]] = {}
    names = list(splits)
    for group in groups:
        first = {split: file for file in reversed(group) for split in split_of[file]}
        present = sorted(first, key=names.index)
        for i, one in enumerate(present):
            for other in present[i + 1 :]:
                found.setdefault((one, other), []).append((first[one], first[other]))
    ordered = sorted(found, key=lambda two: [names.index(split) for split in two])
    return [(*two, found[two]) for two in ordered]


def _grouped(files: Sequence[Path], key: Any, split_of: Mapping[Path, list[str]]) -> Iterator[list[Path]]:
    """Groups of files with an equal key that are in more than one split."""
    groups: dict[Any, list[Path]] = {}
    for file in files:
        try:
            groups.setdefault(key(file), []).append(file)
        except OSError:  # reading it later will say so by name
            continue
    for group in groups.values():
        if len({split for file in group for split in split_of[file]}) > 1:
            yield group


def _pieces(file: Path) -> bytes:
    size = file.stat().st_size
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for place in (0, size // 2, max(0, size - _PIECE)):
            stream.seek(place)
            digest.update(stream.read(_PIECE))
    return digest.digest()


def _content(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def label_digest(label: Any) -> str:
    """A digest of a label of any kind: mask files by content, annotations, class indices and captions by value.

    16 hexadecimal digits. Of a dataclass, its field `file` (the file of all annotations) does not count.
    """
    digest = hashlib.sha256()
    for piece in _pieces_of(label):
        digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces_of(label: Any) -> Iterator[bytes]:
    """The content of a label, each part behind a mark of its kind so that no two labels give the same bytes."""
    if isinstance(label, Path):
        yield b"file" + (_content(label) if label.is_file() else b"missing")
    elif isinstance(label, np.ndarray):
        yield f"array {label.shape} {label.dtype}".encode() + label.tobytes()
    elif is_dataclass(label) and not isinstance(label, type):
        for field in fields(label):
            if field.name not in ("file", "picture"):
                yield f"field {field.name}".encode()
                yield from _pieces_of(getattr(label, field.name))
    elif isinstance(label, Mapping):
        for key in sorted(label, key=str):
            yield f"key {key!r}".encode()
            yield from _pieces_of(label[key])
    elif isinstance(label, (list, tuple)):
        yield f"list {len(label)}".encode()
        for item in label:
            yield from _pieces_of(item)
    else:
        yield f"value {label!r}\n".encode()
