"""Division into training, validation and test images: by folders or lists named after a split, or drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from foveate import pictures
from foveate.datasets.files import Pair, raise_problems, read_json, read_text
from foveate.errors import DataError, OutputError
from foveate.records import Problem

VAL_SHARE = 0.2
SPLITS_FILE = "splits.json"
SPLIT_ORDER = ("train", "val", "test")
SPLIT_NAMES = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}


def split_parts(root: Path, holds: Callable[[Path], bool], problems: list[Problem] | None = None) -> dict[str, Path]:
    """Split -> the folder or file that is named after it, in any case, and for which `holds` is true. Train first.

    Of several for one split, the exact name is taken, or the first; the others are added to `problems`, unless they
    are the same file under another name.
    """
    called: dict[str, list[Path]] = {split: [] for split in SPLIT_ORDER}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        name = (path.stem if path.is_file() else path.name).lower()
        split = SPLIT_NAMES.get(name, name)
        if split in called and holds(path):
            called[split].append(path)
    found = {split: min(paths, key=lambda p: p.stem != split) for split, paths in called.items() if paths}
    if problems is not None:
        problems += [
            Problem(
                path,
                f"is another name of the split '{split}', beside {found[split].name}; merge the two, or rename one",
            )
            for split, paths in called.items()
            for path in paths
            if path.resolve() != found[split].resolve()
        ]
    return found


def ordered(splits: dict[str, list[Pair]]) -> dict[str, list[Pair]]:
    """Without empty splits; train, val, test first, others after them by name."""
    rank = {name: i for i, name in enumerate(SPLIT_ORDER)}
    return {s: splits[s] for s in sorted(splits, key=lambda s: (rank.get(s, 9), s)) if splits[s]}


def read_list(path: Path) -> list[str]:
    """The names of a list file: the first word of each line, without folders and suffix. Raises DataError."""
    lines = [line.split() for line in read_text(path).splitlines() if line.strip() and line.strip()[0] != "#"]
    if not lines:
        raise DataError(f"{path}: the list is empty; expected one picture name a line")
    names = [Path(words[0]).name for words in lines]
    return [Path(n).stem if Path(n).suffix.lower() in pictures.PICTURE_SUFFIXES else n for n in names]


def split_by_lists(pairs: Sequence[Pair], lists: dict[str, Path], problems: list[Problem]) -> dict[str, list[Pair]]:
    """Divide pairs by list files (split -> file). Names without an image are added to `problems`.

    Files that no list names are left out, with or without a partner.
    """
    by_stem = {pair.picture.stem: pair for pair in pairs}
    names = {split: list(dict.fromkeys(read_list(path))) for split, path in lists.items()}
    listed = {n for group in names.values() for n in group}
    problems[:] = [p for p in problems if p.file.stem in listed]
    alone = {p.file.stem for p in problems}
    for split, path in lists.items():
        absent = [n for n in names[split] if n not in by_stem and n not in alone]
        problems += [Problem(path, f"names '{n}', but there is no labelled picture of that name") for n in absent]
    return {split: [by_stem[n] for n in group if n in by_stem] for split, group in names.items()}


def split_or_draw(
    folder: Path, pairs: Sequence[Pair], seed: int = 0, problems: list[Problem] | None = None
) -> tuple[dict[str, list[Pair]], str]:
    """Divide pairs as `folder`/splits.json says; without it, draw train and val from `seed` and write it.

    -> (splits, a clause for `describe`). An image's place depends on its name and the seed alone: images added
    later join (and are written down) without moving the others. If the folder cannot be written to, the same
    division is drawn again each time. Names of splits.json without a pair are added to `problems`, unless
    their file is a problem already, or are raised if `problems` is None.
    Raises DataError: fewer than two images, a damaged splits.json.
    """
    path = folder / SPLITS_FILE
    by_name = {pair.picture.stem: pair for pair in pairs}
    written = read_splits(path) if path.exists() else {}
    listed = [n for names in written.values() for n in names]
    known = {problem.file.stem for problem in problems or ()}
    absent = [n for n in listed if n not in by_name and n not in known]
    complaints = [Problem(path, f"names '{n}', but there is no labelled picture of that name") for n in absent]
    if problems is None:
        raise_problems(complaints)
    else:
        problems += complaints
    return settle(path, by_name, written, seed, lambda names: draw_split(names, seed, folder))


def settle(
    path: Path,
    by_name: dict[str, Pair],
    written: dict[str, list[str]],
    seed: int,
    draw: Callable[[list[str]], dict[str, list[str]]],
) -> tuple[dict[str, list[Pair]], str]:
    """The splits `written` at `path`, with images that were added later, or drawn ones. -> (splits, a clause)."""
    fresh = sorted(set(by_name) - {name for names in written.values() for name in names})
    if not written:
        splits = draw(fresh)
    else:
        splits = {split: list(names) for split, names in written.items()}
        for name in fresh:
            splits.setdefault("val" if draw_share(name, seed) < VAL_SHARE else "train", []).append(name)
    saved = not fresh or write_splits(path, splits, seed)
    clause = f"split as {path.name} says" if written else f"split drawn from seed {seed}"
    clause += "" if written or not saved else f", written to {path.name}"
    clause += "" if saved else "; the folder is not writable, so it is drawn again each time"
    return ordered({s: [by_name[n] for n in sorted(names) if n in by_name] for s, names in splits.items()}), clause


def draw_split(names: Sequence[str], seed: int, where: Path) -> dict[str, list[str]]:
    """Train and val names: a fifth, at least one, is val. Raises DataError for fewer than two names."""
    if len(names) < 2:
        raise DataError(
            f"{where}: {len(names)} labelled picture{'s' if len(names) != 1 else ''}; expected at least two, "
            "one to train on and one to validate on"
        )
    ranked = sorted(names, key=lambda name: draw_share(name, seed))
    count = max(1, round(VAL_SHARE * len(ranked)))
    return {"train": sorted(ranked[count:]), "val": sorted(ranked[:count])}


def draw_share(name: str, seed: int) -> float:
    """A number in 0..1 that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") / 2**64


def read_splits(path: Path) -> dict[str, list[str]]:
    """Split -> names, from a file that `write_splits` wrote. Raises DataError."""
    data = read_json(path)
    splits = data.get("splits") if isinstance(data, dict) else None
    if not isinstance(splits, dict) or not all(isinstance(names, list) for names in splits.values()):
        raise DataError(
            f'{path}: expected {{"splits": {{"train": [names], "val": [names]}}}}; remove it for a new draw'
        )
    return {str(split): [str(n) for n in names] for split, names in splits.items()}


def write_splits(path: Path, splits: dict[str, list[str]], seed: int) -> bool:
    """Write the names of each split; False if the folder cannot be written to."""
    if not path.parent.stat().st_mode & 0o222:  # marked read-only: left alone, though root could write
        return False
    try:
        with pictures.atomic_write(path) as temporary:
            text = json.dumps({"seed": seed, "splits": {s: sorted(n) for s, n in splits.items()}}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")
    except OutputError:  # a read-only corpus is usual
        return False
    return True
