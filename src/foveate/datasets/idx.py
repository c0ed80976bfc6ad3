"""IDX files, the format of MNIST (LeCun et al. 1998): one file of images and one of labels for each part of the set.

N images of H x W pixels and C channels. A file is two zero bytes, a type byte (8: unsigned bytes), the number of
dimensions, each of them as a big-endian 32-bit number, and the values; it may be compressed with gzip.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, ClassVar, cast

import numpy as np
import torch

from foveate.datasets.checks import label_digest
from foveate.datasets.classes import CLASSES_FILE, read_classes
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, require_folder
from foveate.datasets.names import in_any_case
from foveate.datasets.splits import SPLIT_ORDER, split_or_draw
from foveate.datasets.text_files import read_text
from foveate.deferred import tv_tensors
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.records import ClassificationSample, ClassTable, DataSource, Problem
from foveate.records.base import unused_label
from foveate.registry import dataset

PREFIXES = {"train": "train", "val": "val", "t10k": "test", "test": "test"}
DIGITS = 10
# MNIST names no validation images; by custom they are the last 10,000 of its 60,000.
CUSTOMARY, HELD_OUT = 60_000, 10_000
_NAME = re.compile(
    rf"(?P<set>emnist-[a-z]+-)?(?P<part>{'|'.join(PREFIXES)})[-._](?P<what>images|labels)[-._]idx[134]-ubyte(\.gz)?$"
)
_MAPPING = "mapping.txt"  # of EMNIST: a label and the codes of its characters in a line
_ONE, _WIDE = 1, 2.0  # the digit, and the spread along x over that along y from which it lies on its side
_UBYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 24


@dataclass
class IdxScan:
    """Contents of a folder of IDX files.

    parts: part -> (N, H, W, C) uint8 and (N,) int64 labels; each file is once in memory.
    members: split -> (part, the indices in it). problems: files that cannot be used; `open` raises them.
    drawn: where val comes from. turned: True for EMNIST's files, whose pictures are turned upright.
    """

    classes: ClassTable
    parts: dict[str, tuple[np.ndarray, np.ndarray]]
    members: dict[str, tuple[str, np.ndarray]]
    problems: list[Problem]
    drawn: Drawn
    turned: bool = False


class IdxDataset:
    """Images of one split, held in memory."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, members: np.ndarray, part: str, classes: ClassTable):
        self.images, self.labels, self.members = images, labels, members
        self.part, self.classes = part, classes
        self.channels = int(images.shape[3])

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> ClassificationSample:
        place = self.members[index]
        image = torch.from_numpy(np.array(self.images[place].transpose(2, 0, 1), order="C"))
        return ClassificationSample(image=tv_tensors.Image(image), label=int(self.labels[place]), name=self.name(index))

    def name(self, index: int) -> str:
        """'train/00123': the place in the file."""
        return f"{self.part}/{self.members[index]:05d}"

    def digest(self, index: int) -> str:
        """A digest of the label."""
        return label_digest(int(self.labels[self.members[index]]))


@dataset("idx")
@dataclass(frozen=True)
class Idx(DataSource):
    """IDX files as MNIST has them: DATA/train-images-idx3-ubyte, DATA/train-labels-idx1-ubyte, and t10k or test alike.

    The files may end in .gz; idx4 files hold (N, H, W, C). `classes.txt` in DATA names the classes; without it they are
    the digits 0 to 9, and further numbers where labels go higher. Without val files, val is the last 10,000 of 60,000
    training images; of any other number a fifth is drawn and written to `splits.json`. EMNIST's files, as
    emnist-letters-train-images-idx3-ubyte, are turned upright, and emnist-letters-mapping.txt names their classes.

    path: the folder DATA.
    seed: of the drawn val; any integer, used only if val is missing and not the customary one.
    """

    path: str
    seed: int = 0
    tasks: ClassVar[tuple[str, ...]] = ("classification", "drawing")

    @staticmethod
    def recognise(path: Path) -> bool:
        """True if there is a file of training images."""
        return path.is_dir() and "train" in _files(path, "images")

    @cached_property
    def scan(self) -> IdxScan:
        """The contents of the folder, read once."""
        return _read_folder(require_folder(self.path), self.seed)

    def splits(self) -> tuple[str, ...]:
        """The splits that hold images, 'train' first."""
        return tuple(self.scan.members)

    def problems(self, task: str = "") -> list[Problem]:
        """Files that cannot be used."""
        return list(self.scan.problems)

    def open(self, split: str, task: str = "") -> IdxDataset:
        """One split. Raises DataError naming files that cannot be used, ConfigError for an unknown split or family."""
        task = self.serve(task)
        _raise_first(self.scan.problems)
        if split not in self.scan.members:
            raise ConfigError(f"{unknown('split', split, self.scan.members)} (in {self.path})")
        self.scan.drawn.write()
        return self.readable(split, task)

    def readable(self, split: str, task: str = "") -> IdxDataset:
        """One split of the files that can be used."""
        self.serve(task)
        part, members = self.scan.members[split]
        return IdxDataset(*self.scan.parts[part], members, part, self.scan.classes)

    def describe(self, task: str = "") -> str:
        """The recognised format, its counts and its classes, in one line."""
        scan = self.scan
        counts = ", ".join(f"{len(members)} {split}" for split, (_, members) in scan.members.items())
        remarks = [str(scan.drawn)] if scan.drawn else []
        remarks += (
            ["EMNIST's pictures, stored with rows and columns exchanged, are turned upright"] if scan.turned else []
        )
        said = f" ({'; '.join(remarks)})" if remarks else ""
        return f"IDX files: {counts or 'no'} pictures{said}, {counted(len(scan.classes), 'class')}"

    def notes(self, task: str = "") -> list[str]:
        """A note on digits that lie on their side."""
        parts = self.scan.parts.values()
        digits = self.scan.classes.names == tuple(map(str, range(DIGITS)))
        if not digits or not any(_lies(images, labels) for images, labels in parts):
            return []
        return [
            "the pictures of 1 are wider than high, as if rows and columns were exchanged, which they are in EMNIST's "
            "files; if these are EMNIST's, give them their published names (emnist-...), and they are turned upright"
        ]


def read_idx(path: Path) -> np.ndarray:
    """The values of an IDX file, uint8 of the file's own dimensions.

    Raises DataError, naming the file: missing, empty, truncated, not gzip though named so, a wrong magic number.
    """
    try:
        if not path.stat().st_size:
            raise DataError(f"{path}: the file is empty; download it again")
        with _opened(path) as file:
            return _read(path, file)
    except EOFError:
        raise DataError(f"{path}: truncated: the compressed data end too early; download it again") from None
    except zlib.error as error:
        raise DataError(f"{path}: damaged gzip data ({error}); download it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); download it again") from error


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    if path.suffix == ".gz":
        if not packed:
            raise DataError(f"{path}: not gzip, though its name says so; download it again, or take .gz off its name")
        return cast(BinaryIO, gzip.open(path))
    if packed:
        raise DataError(f"{path}: compressed with gzip; add .gz to its name, or unpack it")
    return path.open("rb")


def _read(path: Path, file: BinaryIO) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path}: begins with {magic.hex(' ')}; expected 00 00 08 .., the magic number of an IDX file: download it "
            "again"
        )
    if magic[2] != _UBYTE:
        raise DataError(
            f"{path}: its magic number {magic.hex(' ')} says values of type {magic[2]:02x}; expected unsigned bytes, "
            "08: save the values as bytes"
        )
    header = file.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise DataError(f"{path}: truncated: ends within its header; download it again")
    shape = struct.unpack(f">{magic[3]}I", header)
    expected = math.prod(shape)
    values = bytearray()
    while len(values) <= expected and (piece := file.read(min(_PIECE, expected + 1 - len(values)))):
        values += piece  # by pieces: a damaged header may claim more than there is memory
    if len(values) != expected:
        what = f"truncated: {len(values)}" if len(values) < expected else f"too long: more than {expected}"
        sizes = " x ".join(map(str, shape))
        raise DataError(f"{path}: {what} bytes of values, where its header says {sizes}; download it again")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _raise_first(problems: Sequence[Problem]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more: `foveate datasets inspect` lists all)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")


def _lies(images: np.ndarray, labels: np.ndarray) -> bool:
    """True if the digit 1 is spread more along x than along y, in the mean of its images (N, H, W, C)."""
    ones = images[labels == _ONE]
    if not len(ones):
        return False
    ink = ones.mean(axis=(0, 3))
    if ink.mean() > ink.max() / 2:  # dark on light
        ink = ink.max() - ink
    spreads = []
    for axis in (0, 1):
        weights, places = ink.sum(axis=1 - axis), np.arange(ink.shape[axis])
        mean = (weights * places).sum() / max(weights.sum(), 1e-9)
        spreads.append((weights * (places - mean) ** 2).sum())
    return bool(spreads[1] > _WIDE * spreads[0])


def _files(root: Path, what: str) -> dict[str, Path]:
    """Part -> its file of 'images' or 'labels'; of a file and its compressed copy, the file. MNIST's names come first.

    Raises DataError for files of several sets of EMNIST.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(root.iterdir()):
        match = _NAME.match(path.name)
        if match and match["what"] == what and path.is_file():
            found.setdefault(match["set"] or "", {}).setdefault(match["part"], path)
    if len(found) > 1 and "" not in found:
        raise DataError(f"{root}: holds {' and '.join(sorted(found))}...; put each set into a folder of its own")
    return found.get("") or next(iter(found.values()), {})


def _emnist(root: Path, pictures: dict[str, Path]) -> tuple[bool, dict[int, str]]:
    """(True for files of EMNIST, label -> name of a class by its mapping). Raises DataError for another mapping."""
    match = _NAME.match(next(iter(pictures.values())).name)
    if match is None or not match["set"]:
        return False, {}
    file = root / f"{match['set']}{_MAPPING}"
    names: dict[int, str] = {}
    for line in read_text(file).splitlines() if file.is_file() else ():
        numbers = line.split()
        if not all(map(str.isdecimal, numbers)) or len(numbers) < 2:
            raise DataError(f"{file}: '{line[:40]}'; expected a label and the codes of its characters, as '1 65 97'")
        names[int(numbers[0])] = "".join(chr(int(number)) for number in numbers[1:])
    return True, names


def _read_folder(root: Path, seed: int) -> IdxScan:
    pictures, labels = _files(root, "images"), _files(root, "labels")
    if not pictures:
        raise DataError(f"{root}: no IDX files; expected train-images-idx3-ubyte and train-labels-idx1-ubyte, or .gz")
    file = in_any_case(root, CLASSES_FILE)
    known = read_classes(file).table() if file.exists() else None
    turned, mapped = _emnist(root, pictures)
    alone = {labels[p]: "labels without a file of pictures" for p in labels if p not in pictures}
    alone |= {pictures[p]: "pictures without a file of labels" for p in pictures if p not in labels}
    problems = [Problem(file, f"{what}; add it, or remove this one") for file, what in alone.items()]
    if {"t10k", "test"} <= pictures.keys():
        problems.append(Problem(pictures["test"], f"a test set beside {pictures['t10k'].name}; remove one"))
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    channels = 0
    for part in [p for p in pictures if p in labels]:
        try:
            parts[part] = _read_part(pictures[part], labels[part], known, channels, turned)
            channels = parts[part][0].shape[3]
        except DataError as error:
            name, _, what = str(error).partition(": ")
            problems.append(Problem(Path(name), what))
    if not parts:
        _raise_first(problems)
    highest = max(int(values.max()) for _, values in parts.values())
    numbers = tuple(map(str, range(max(DIGITS, highest + 1))))
    if known is None and mapped:
        first = min(mapped)  # letters count from 1
        lowest = min(int(values.min()) for _, values in parts.values())
        parts = {part: (images, values - first) for part, (images, values) in parts.items()}
        numbers = tuple(mapped[label] for label in sorted(mapped))
        if sorted(mapped) != list(range(first, first + len(mapped))) or not first <= lowest <= highest <= max(mapped):
            raise DataError(
                f"{root}: labels {lowest} to {highest}, but {first} to {max(mapped)} in the mapping; give the set's own"
            )
    classes = known or ClassTable(numbers, ignore_index=unused_label(len(numbers)))
    members, drawn = _divide(root, {part: len(values) for part, (_, values) in parts.items()}, seed, problems)
    return IdxScan(classes, parts, members, problems, drawn, turned)


def _read_part(
    file: Path, label_file: Path, known: ClassTable | None, channels: int, turned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, C) uint8 and (N,) int64; C is `channels`, unless that is 0.

    turned: H and W are exchanged. Raises DataError.
    """
    images, labels = read_idx(file), read_idx(label_file)
    if images.ndim not in (3, 4):
        raise DataError(
            f"{file}: {counted(images.ndim, 'dimension')}; expected 3 (N, H, W) or 4 (N, H, W, C): is it the "
            f"file of labels?"
        )
    if labels.ndim != 1:
        raise DataError(
            f"{label_file}: {counted(labels.ndim, 'dimension')}; expected 1, one label a picture: is it the "
            f"file of pictures?"
        )
    if not images.size:
        raise DataError(f"{file}: holds no pictures ({' x '.join(map(str, images.shape))}); expected at least one")
    if len(images) != len(labels):
        raise DataError(
            f"{label_file}: {counted(len(labels), 'label')} for {counted(len(images), 'picture')} of "
            f"{file.name}; expected one a picture"
        )
    if known is not None and labels.max() >= len(known):
        place = int(np.argmax(labels >= len(known)))
        raise DataError(
            f"{label_file}: label {labels[place]} of picture {place} is outside the {len(known)} of {CLASSES_FILE} "
            f"(0..{len(known) - 1}); add the class there"
        )
    images = images if images.ndim == 4 else images[..., None]
    if channels not in (0, images.shape[3]):
        raise DataError(
            f"{file}: {counted(images.shape[3], 'channel')}, but other parts have {channels}; save all parts alike"
        )
    return images.swapaxes(1, 2) if turned else images, labels.astype(np.int64)


def _divide(
    root: Path, counts: dict[str, int], seed: int, problems: list[Problem]
) -> tuple[dict[str, tuple[str, np.ndarray]], Drawn]:
    """-> (split -> (part, indices), where val comes from)."""
    found = {PREFIXES[part]: (part, np.arange(count)) for part, count in counts.items()}
    drawn = Drawn()
    if "train" in found and "val" not in found:
        places = found["train"][1]
        if len(places) == CUSTOMARY:
            train, val = np.split(places, [CUSTOMARY - HELD_OUT])
            drawn = Drawn(f"val is the last {HELD_OUT:,} of the {CUSTOMARY:,} training pictures")
        else:
            pairs = [Pair(Path(f"train/{place:05d}"), place) for place in places]
            splits, drawn = split_or_draw(root, pairs, seed, problems)
            train, val = (np.array([p.label for p in splits.get(s, ())], np.int64) for s in ("train", "val"))
        found |= {"train": ("train", train), "val": ("train", val)}
    return {split: found[split] for split in SPLIT_ORDER if split in found and len(found[split][1])}, drawn
