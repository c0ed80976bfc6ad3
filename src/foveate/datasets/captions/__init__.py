"""Base of the readers of captions: captions from files, the images that they name, and the division of these.

A reader yields every caption as a `CaptionLine`; images are found by name anywhere below the folder. A set of many
images may lack a few that its captions name (one in a hundred, as the corpora themselves do): their captions are left
out, and `describe` says how many.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

from foveate import pictures
from foveate.datasets.captions.album import Album, escape_note, plain
from foveate.datasets.captions.cells import listed
from foveate.datasets.checks import COMBINED, label_digest
from foveate.datasets.drawn import Drawn
from foveate.datasets.files import Pair, ScannedSource, raise_problems
from foveate.datasets.headers import FileHeaders, is_clear, nothing_to_see
from foveate.datasets.names import stem_of
from foveate.datasets.splits import (
    SPLIT_NAMES,
    SPLIT_ORDER,
    SPLITS_FILE,
    absent_from,
    draw_split,
    ordered,
    other_split,
    read_splits,
    settle,
)
from foveate.datasets.text_doubts import caption_notes, is_missing
from foveate.datasets.text_files import read_text
from foveate.deferred import tv_tensors
from foveate.errors import DataError, counted
from foveate.records import Caption, CaptionSample, Problem
from foveate.videos import VIDEO_SUFFIXES

MISSING_SHARE = 0.01
NAMES_OF_SPLITS = SPLIT_NAMES | {"restval": "train"}


class CaptionLine(NamedTuple):
    """A caption in a file: `picture`, the image's name there with its folders; `split`, if the file has it."""

    picture: str
    text: str
    split: str = ""


@dataclass
class CaptionScan:
    """Contents of a folder of captions and images, found without decoding images.

    pairs: split -> its images, each with its captions. problems: files that cannot be used; `open` raises them.
    left_out: images that captions name and that are missing. without_captions: image files without a caption.
    unlisted: number of captioned images that no list of a split names. drawn: how images were divided, if the files
    did not say. notes: as of `Scan`. noun: of an image, in messages.
    """

    pairs: dict[str, list[Pair]]
    problems: list[Problem]
    left_out: list[str]
    without_captions: list[Path]
    unlisted: int
    drawn: Drawn
    notes: list[str] = field(default_factory=list)
    noun: str = "picture"

    def counts(self) -> str:
        """'6000 train, 1000 val pictures, 35000 captions', and the number of unused files."""
        listing = ", ".join(f"{len(pairs)} {split}" for split, pairs in self.pairs.items())
        captions = sum(len(pair.label) for pairs in self.pairs.values() for pair in pairs)
        remarks = [str(self.drawn)] if self.drawn else []
        if self.without_captions:
            remarks.append(f"{counted(len(self.without_captions), self.noun)} without captions left out")
        if self.unlisted:
            remarks.append(f"{counted(self.unlisted, self.noun)} in no list and left out")
        if self.left_out:
            remarks.append(f"captions of {counted(len(self.left_out), self.noun)} left out that are not there")
        return f"{listing} {self.noun}s, {counted(captions, 'caption')}" + (
            f" ({'; '.join(remarks)})" if remarks else ""
        )


class CaptionFiles(FileHeaders):
    """Captioned images in files: a CaptionDataset. Indexing raises DataError, naming a file that cannot be read.

    shared: file names that several images of the set have; these are named with their folder.
    """

    channels = 3  # `read_picture` turns grey images into three equal channels

    def __init__(self, pairs: Sequence[Pair], shared: frozenset[str] = frozenset()) -> None:
        self.pairs, self.shared = list(pairs), shared

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> CaptionSample:
        path = self.pairs[index].picture
        picture = pictures.read_picture(path, channels=self.channels)
        if is_clear(path, picture):
            raise nothing_to_see(path, "captions")
        image = tv_tensors.Image(pictures.stored_tensor(picture))
        return CaptionSample(image=image, captions=self.captions(index), name=self.name(index))

    def name(self, index: int) -> str:
        """The image's file name, without decoding it; with its folder, where several have it."""
        picture = self.pairs[index].picture
        return f"{picture.parent.name}/{picture.name}" if picture.name in self.shared else picture.name

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The captions of an image, without decoding it."""
        return tuple(map(Caption, self.pairs[index].label))

    def digest(self, index: int) -> str:
        """A digest of the captions, without decoding the image."""
        return label_digest(self.pairs[index].label)


class CaptionSource(ScannedSource[CaptionScan]):
    """A data source of captioned image files; a subclass implements `read` and `describe`."""

    tasks: ClassVar[tuple[str, ...]] = ("captioning",)

    def readable(self, split: str, task: str = "") -> CaptionFiles:
        """One split of the files that can be used."""
        self.serve(task)
        names = Counter(pair.picture.name for pairs in self.scan.pairs.values() for pair in pairs)
        return CaptionFiles(self.scan.pairs[split], frozenset(name for name, n in names.items() if n > 1))

    def remarks(self, task: str = "") -> dict[str, Any]:
        """Images that captions name and that are missing, and how many images have no caption."""
        return {"left_out": list(self.scan.left_out), "without_captions": len(self.scan.without_captions)}


# Captions


class Collector:
    """Collects captions by image, in the files' order, and the problems with them.

    sources: the files that are read. noun: of what they are about, in messages.
    """

    def __init__(self, sources: Sequence[Path], noun: str = "picture") -> None:
        self.sources, self.noun = sources, noun
        self.texts: dict[str, list[str]] = {}
        self.splits: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.files: dict[str, Path] = {}  # where each image was first named

    def add(self, line: CaptionLine, file: Path, place: str) -> None:
        """Add one caption, or a list of captions that was written into one text. place: in the file, as 'line 3'.

        A caption without a word is a problem, and so are a list that cannot be read and a second split.
        """
        try:
            texts = listed(line.text) or [line.text]
        except ValueError as error:
            what = f"{place}: {line.text.strip()[:40]!r} {error}; write a caption a row, or a list of texts"
            self.problems.append(Problem(file, what))
            return
        for text in texts:
            self._add(line._replace(text=" ".join(text.split())), file, place)

    def _add(self, line: CaptionLine, file: Path, place: str) -> None:
        text = line.text
        if not any(c.isalnum() for c in text) or is_missing(text):
            shown = f"a caption without a word, '{text}'," if len(text) > 1 else "an empty caption"
            what = f"{place}: {shown} of '{line.picture}'; write one, or remove it"
            self.problems.append(Problem(file, what))
            return
        split = NAMES_OF_SPLITS.get(line.split.lower(), line.split.lower())
        before = self.splits.setdefault(line.picture, split)
        if before != split:
            what = f"{place}: '{line.picture}' is in split '{split}' here, and in '{before}' before; expected one"
            self.problems.append(Problem(file, what))
        self.texts.setdefault(line.picture, []).append(text)
        self.files.setdefault(line.picture, file)

    def scan(
        self,
        root: Path,
        seed: int,
        lists: Mapping[str, Path] | None = None,
        folders: Mapping[str, str] | None = None,
        album: Album | None = None,
    ) -> CaptionScan:
        """Find the images below `root`, and divide them.

        lists: split -> a file of image names. folders: image's name -> the folder that should hold it, if several
        hold a file of this name. album: the files that captions may be about; None for all images below `root`.
        Raises DataError: no captions, or none of their images.
        """
        where = ", ".join(sorted(file.name for file in self.sources))
        if not self.texts:
            raise_problems(self.problems)
            raise DataError(f"{root}: {where} holds no caption; expected at least one {self.noun} with a caption")
        named = _read_lists(lists or {})
        album = Album(root) if album is None else album
        pairs, missing, ambiguous = self._pairs(album, folders or {}, [n for names in named.values() for n in names])
        if not pairs:
            raise_problems(self.problems)
            raise DataError(
                f"{root}: none of {counted(len(self.texts), self.noun)} ({next(iter(self.texts))}, ...) that {where} "
                "names is in this folder or below it; put them there"
            )
        if len(missing) > MISSING_SHARE * len(self.texts):
            self.problems += [
                Problem(
                    self.files[name],
                    f"captions of '{name}', but there is no {self.noun} of that name; add it, or remove them",
                )
                for name in missing
            ]
            missing = []
        used = {pair.picture for pair in pairs.values()} | ambiguous
        splits, unlisted, drawn = self._divide(album, pairs, named, lists or {}, seed)
        alone = [p for p in album if p not in used]
        notes = self._split_notes(splits) + caption_notes([pair.label for pair in pairs.values()], self.noun)
        notes += escape_note({name: pair.picture for name, pair in pairs.items()})
        return CaptionScan(ordered(splits), self.problems, missing, alone, unlisted, drawn, notes, self.noun)

    def _split_notes(self, splits: Mapping[str, Sequence[Pair]]) -> list[str]:
        """A note on each split of another name than those that are trained on; one that is misspelt is a problem."""
        notes = []
        for split in [s for s in splits if s not in (*SPLIT_ORDER, COMBINED)]:
            what, misspelt = other_split(split, counted(len(splits[split]), self.noun))
            if misspelt:
                file = next(self.files[name] for name, own in self.splits.items() if own == split)
                self.problems.append(Problem(file, what))
            else:
                notes.append(what)
        return notes

    def _pairs(
        self, album: Album, folders: Mapping[str, str], named: Sequence[str]
    ) -> tuple[dict[str, Pair], list[str], set[Path]]:
        """Name -> image and captions; the names without an image, with lists only those listed; and the images that
        share a name."""
        pairs: dict[str, Pair] = {}
        ambiguous: set[Path] = set()
        names_of: dict[Path, str] = {}
        missing = []
        listed = set(map(_stem, named))
        for name, texts in self.texts.items():
            found = album.find(name, folders.get(name, ""))
            if len(found) > 1:
                ambiguous.update(found)
                shown = " and ".join(str(p.relative_to(album.root)) for p in found[:2])
                self.problems.append(
                    Problem(self.files[name], f"'{name}' may be {shown}; keep one, or name the folder")
                )
            elif not found:
                if not listed or _stem(name) in listed:
                    missing.append(name)
            elif found[0] in names_of:  # the same image by another name
                first = names_of[found[0]]
                pairs[first] = pairs[first]._replace(label=(*pairs[first].label, *texts))
            else:
                names_of[found[0]] = name
                pairs[name] = Pair(found[0], tuple(texts))
        return pairs, missing, ambiguous

    def _divide(
        self, album: Album, pairs: dict[str, Pair], named: dict[str, list[str]], lists: Mapping[str, Path], seed: int
    ) -> tuple[dict[str, list[Pair]], int, Drawn]:
        """-> (splits, number of images in no list, how they were drawn)."""
        splits: dict[str, dict[str, Pair]] = {}
        unlisted = 0
        folders = {name: _split_folder(album.root, pair.picture) for name, pair in pairs.items()}
        if any(self.splits.values()):
            for name, pair in pairs.items():
                if not self.splits[name]:
                    self.problems.append(Problem(self.files[name], f"'{name}' has no split, though others have"))
                splits.setdefault(self.splits[name] or "train", {})[name] = pair
        elif named:
            splits = self._by_lists(album, pairs, named, lists)
            unlisted = len(set(pairs).difference(*splits.values()))
        elif all(folders.values()) and "train" in folders.values() and not (album.root / SPLITS_FILE).exists():
            for name, pair in pairs.items():
                splits.setdefault(folders[name], {})[name] = pair
        else:
            splits = {"train": pairs}
        drawn = Drawn()
        result = {split: list(group.values()) for split, group in splits.items()}
        if splits.get("train") and not splits.get("val"):
            existing = {stem_of(path.name) for path in album}
            divided, drawn = _settle(album.root, splits["train"], seed, self.problems, existing)
            result |= divided
        return result, unlisted, drawn

    def _by_lists(
        self, album: Album, pairs: dict[str, Pair], named: dict[str, list[str]], lists: Mapping[str, Path]
    ) -> dict[str, dict[str, Pair]]:
        """Split -> its images by name. An entry with folders means the image in these folders."""
        by_stem: dict[str, list[str]] = {}
        for name in self.texts:
            by_stem.setdefault(_stem(name), []).append(name)
        splits: dict[str, dict[str, Pair]] = {}
        owner: dict[str, str] = {}
        for split, entries in named.items():
            splits[split] = {}
            for entry in entries:
                names = _in_folders(album, entry, by_stem.get(_stem(entry), []), pairs)
                shown = _without_suffix(entry)
                if not names:
                    what = f"names '{shown}', but there is no captioned {self.noun} of that name"
                    self.problems.append(Problem(lists[split], what))
                elif len(names) > 1:
                    what = f"names '{shown}', which may be {names[0]} and {names[1]}; name the folder"
                    self.problems.append(Problem(lists[split], what))
                elif owner.setdefault(names[0], split) != split:
                    what = f"names '{shown}', and so does {lists[owner[names[0]]].name}; expected one of them"
                    self.problems.append(Problem(lists[split], what))
                elif names[0] in pairs:
                    splits[split][names[0]] = pairs[names[0]]
        return splits


def _in_folders(album: Album, entry: str, names: list[str], pairs: Mapping[str, Pair]) -> list[str]:
    """Those of the captioned images of one stem that an entry of a list means: its folders and suffix are theirs.

    A folder that holds no image here may have been renamed, and does not count.
    """
    *folders, file = [plain(part) for part in PurePosixPath(entry.replace("\\", "/")).parts]
    if folders and folders[-1] in album.folders:
        kept = []
        for name in names:
            own = pairs[name].picture.relative_to(album.root).parts[:-1] if name in pairs else _folders(name)
            ends = zip(reversed(folders), reversed([plain(part) for part in own]), strict=False)
            if own and all(one == other for one, other in ends):
                kept.append(name)
        names = kept
    if len(names) > 1:
        names = [name for name in names if plain(PurePosixPath(name.replace("\\", "/")).name) == file] or names
    return names


def _folders(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts[:-1]


def _split_folder(root: Path, picture: Path) -> str:
    """The split that a folder on the way to an image is named after; '' for none."""
    names = (name.lower() for name in picture.relative_to(root).parts[:-1])
    return next((split for name in names if (split := NAMES_OF_SPLITS.get(name, name)) in SPLIT_ORDER), "")


def _settle(
    root: Path, pairs: dict[str, Pair], seed: int, problems: list[Problem], existing: set[str]
) -> tuple[dict[str, list[Pair]], Drawn]:
    """Divide by `splits.json`, or draw it. Its names without an image are problems.

    existing: stems of all images, of which a reader of other labels may have named those without captions.
    """
    path = root / SPLITS_FILE
    written = read_splits(path) if path.exists() else {}
    problems += absent_from(path, written, pairs, existing, "captioned")
    if len(pairs) < 2:  # too few to divide: the problems are the reason
        raise_problems(problems)
    return settle(path, pairs, written, seed, lambda names: draw_split(names, seed, root))


def _read_lists(lists: Mapping[str, Path]) -> dict[str, list[str]]:
    """Split -> the names of its list, each once. Raises DataError for an empty list."""
    found = {}
    for split, path in lists.items():
        names = [line for line in lines_of(path) if line]
        if not names:
            raise DataError(f"{path}: the list is empty; expected one picture name a line")
        found[split] = list(dict.fromkeys(names))
    return found


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, without blanks around them. Raises DataError."""
    return [line.strip() for line in read_text(path).split("\n")]


def _stem(name: str) -> str:
    """An image's name without folders and suffix, its accents composed."""
    return unicodedata.normalize("NFC", _without_suffix(PurePosixPath(name.replace("\\", "/")).name))


def _without_suffix(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix.lower()}" in pictures.PICTURE_SUFFIXES | VIDEO_SUFFIXES else name
