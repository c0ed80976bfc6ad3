"""Division into training, validation and test images: by folders or lists named after a split, or drawn."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from foveate.datasets.checks import COMBINED
from foveate.datasets.contents import contents
from foveate.datasets.drawn import NOT_WRITABLE, Drawn, is_read_only
from foveate.datasets.files import Pair, raise_problems
from foveate.datasets.names import NameIndex, distinct_names, normal, stem_of
from foveate.datasets.text_files import read_json, read_text
from foveate.errors import DataError, counted
from foveate.records import Problem

VAL_SHARE = 0.2
SPLITS_FILE = "splits.json"
SPLIT_ORDER = ("train", "val", "test")
SPLIT_NAMES = {
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "eval": "val",
    "evaluate": "val",
    "evaluation": "val",
    "dev": "val",
    "training": "train",
    "testing": "test",
}


def split_parts(root: Path, holds: Callable[[Path], bool], problems: list[Problem] | None = None) -> dict[str, Path]:
    """Split -> the folder or file that is named after it, in any case, and for which `holds` is true. Train first.

    Of several for one split, the exact name is taken, or the first; the others are added to `problems`, unless they
    are the same file under another name.
    """
    called: dict[str, list[Path]] = {split: [] for split in SPLIT_ORDER}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        split = split_called(path.stem if path.is_file() else path.name)
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


def split_called(name: str) -> str:
    """The split that a name stands for, 'val' for 'Valid'; the name itself, in small letters, if for none."""
    return SPLIT_NAMES.get(name.lower(), name.lower())


def split_within(stem: str) -> str:
    """The split that a word of a file's name stands for, 'val' for 'corpus-dev_1'; '' if none does."""
    words = (split_called(word) for word in re.split("[^a-z]+", stem.lower()))
    return next((word for word in words if word in SPLIT_ORDER), "")


def nearest_split(name: str) -> str:
    """The split that a misspelt name is likely to mean, 'train' for 'traim'; '' for a name that is near to none."""
    near = difflib.get_close_matches(name.lower(), (*SPLIT_ORDER, *SPLIT_NAMES), n=1, cutoff=0.7)
    return split_called(near[0]) if near else ""


def other_split(split: str, holds: str) -> tuple[str, bool]:
    """The line on a split in a table that is none of train, val and test, and True if it is one misspelt.

    holds: what it holds, as '3 pictures'.
    """
    says = f"{holds} of split '{split}'"
    if near := nearest_split(split):
        return f"{says}; the nearest is '{near}': write that if it is meant", True
    return f"{says}, which is none of train, val and test and read only where it is named", False


def unknown_split(what: str) -> str:
    """The note on a folder or list beside the known ones that no split is called after; `what` names it."""
    near = nearest_split(Path(what).stem)
    remedy = f"rename it to {near}" if near else "name it train, val or test"
    return f"{what} lies beside the known splits and is not read; {remedy} if it is one"


def stray_folders(root: Path, known: Iterable[Path], holds: Callable[[Path], bool]) -> list[str]:
    """A note for each folder beside those of the splits that is not read, though it is called or filled as they are."""
    taken = {path.resolve() for path in known}
    notes = []
    for path in sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._") if taken else ():
        is_split = split_called(path.name) in SPLIT_ORDER
        if path.resolve() in taken or is_split == holds(path):  # two of one split are a problem already
            continue
        if not is_split:
            notes.append(unknown_split(f"{path.name}/"))
        elif (found := contents(path)) != "nothing":
            notes.append(f"{path.name}/ is not read, since it holds {found}, but not what the other splits hold")
    return notes


def list_lines(path: Path) -> list[str]:
    """The lines of a list file, without blanks around them and without empty ones. Raises DataError."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    if not any(line and line[0] != "#" for line in lines):
        raise DataError(f"{path}: the list is empty; expected one picture name a line")
    return [line for line in lines if line]


def split_by_lists(pairs: Sequence[Pair], lists: Mapping[str, Path], problems: list[Problem]) -> dict[str, list[Pair]]:
    """Divide pairs by list files (split -> file). A line is matched with its folders (see `NameIndex`).

    Names without an image, names that may be several, and names in the list of train and in another are added to
    `problems`. Files that no list names are left out, with or without a partner.
    """
    index, alone = NameIndex(pair.picture for pair in pairs), NameIndex(p.file for p in problems)
    pair_of = {pair.picture: pair for pair in pairs}
    splits: dict[str, list[Pair]] = {}
    complaints: list[Problem] = []
    listed_alone: set[Path] = set()
    owner: dict[Path, str] = {}
    for split, path in lists.items():
        chosen: dict[Path, Pair] = {}
        for line in list_lines(path):
            name, found = index.find_line(line)
            without_partner = [] if found else alone.find_line(line)[1]
            if line[0] == "#" and not found and not without_partner:
                continue
            listed_alone.update(without_partner)
            if len(found) > 1:
                several = " and ".join("/".join(file.parts[-2:]) for file in found[:2])
                complaints.append(Problem(path, f"names '{name}', which may be {several}; write the folder too"))
            elif found:
                chosen[found[0]] = pair_of[found[0]]
                first = owner.setdefault(found[0], split)
                if first != split and "train" in (first, split) and COMBINED not in (first, split):
                    what = f"names '{name}', and so does {lists[first].name}; expected one of them"
                    complaints.append(Problem(path, what))
            elif not without_partner:
                complaints.append(
                    Problem(path, f"names '{stem_of(name)}', but there is no labelled picture of that name")
                )
        splits[split] = list(chosen.values())
    problems[:] = [p for p in problems if p.file in listed_alone] + complaints
    return splits


def split_or_draw(
    folder: Path,
    pairs: Sequence[Pair],
    seed: int = 0,
    problems: list[Problem] | None = None,
    unlabelled: Iterable[Path] = (),
) -> tuple[dict[str, list[Pair]], Drawn]:
    """Divide pairs as `folder`/splits.json says; without it, draw train and val from `seed`.

    -> (splits, how they were drawn; `Drawn.write` writes the file). An image's place depends on its name and the seed
    alone: images added later join without moving the others. Images of one name in several folders are told apart by
    their path. Names of splits.json without a pair are added to `problems`, unless their file is a problem already or
    is one of `unlabelled`, images that exist and are left out; they are raised if `problems` is None.
    Raises DataError: fewer than two images, a damaged splits.json.
    """
    path, complaints = folder / SPLITS_FILE, []
    by_name: dict[str, Pair] = {}
    for name, pair in zip(distinct_names([pair.picture for pair in pairs], folder), pairs, strict=True):
        if by_name.setdefault(name, pair) is not pair:
            complaints.append(Problem(pair.picture, f"has the same name as {by_name[name].picture}"))
    written = read_splits(path) if path.exists() else {}
    known = {stem_of(problem.file.name) for problem in problems or ()} | {stem_of(file.name) for file in unlabelled}
    known |= {normal(problem.file.stem) for problem in problems or ()}
    complaints += absent_from(path, written, by_name, known, "labelled")
    if problems is None:
        raise_problems(complaints)
    else:
        problems += complaints
    return settle(path, by_name, written, seed, lambda names: draw_split(names, seed, folder))


def absent_from(
    path: Path, written: Mapping[str, list[str]], by_name: Collection[str], known: Collection[str], kind: str
) -> list[Problem]:
    """A problem for each name of `splits.json` without an image.

    known: stems of images that exist, but that this reader leaves out: another reader of the folder may have named
    them, of a file of objects beside one of captions. kind: of the images, for the message.
    """
    translate = _translation(by_name)
    return [
        Problem(path, f"names '{name}', but there is no {kind} picture of that name")
        for name in sorted({name for names in written.values() for name in names})
        if translate.get(_loose(name)) is None and name not in by_name and stem_of(name) not in known
    ]


def _loose(name: str) -> str:
    """A name without suffix, in composed form: readers of one folder write names with or without."""
    folder, _, _ = normal(name).replace("\\", "/").rpartition("/")
    return f"{folder}/{stem_of(name)}" if folder else stem_of(name)


def _translation(names: Iterable[str]) -> dict[str, str | None]:
    """Loose name -> name; None where several names share it."""
    found: dict[str, str | None] = {}
    for name in names:
        found[_loose(name)] = None if _loose(name) in found else name
    return found


def settle(
    path: Path,
    by_name: dict[str, Pair],
    written: dict[str, list[str]],
    seed: int,
    draw: Callable[[list[str]], dict[str, list[str]]],
) -> tuple[dict[str, list[Pair]], Drawn]:
    """The splits `written` at `path`, with images that were added later, or drawn ones. -> (splits, how drawn)."""
    translate = _translation(by_name)
    named = {s: [n if n in by_name else translate.get(_loose(n)) or n for n in group] for s, group in written.items()}
    fresh = sorted(set(by_name) - {name for names in named.values() for name in names})
    splits = {split: list(names) for split, names in written.items()} if written else draw(fresh)
    if written:
        for name in fresh:
            split = "val" if draw_share(name, seed) < VAL_SHARE else "train"
            splits.setdefault(split, []).append(name)
            named.setdefault(split, []).append(name)
    else:
        named = splits
    clause = f"split as {path.name} says" if written else f"split drawn from seed {seed}"
    drawn = Drawn(clause, path, splits if fresh else {}, seed)
    if fresh and is_read_only(path.parent):
        drawn = Drawn(clause + NOT_WRITABLE)
    return ordered({s: [by_name[n] for n in sorted(set(names)) if n in by_name] for s, names in named.items()}), drawn


def draw_split(names: Sequence[str], seed: int, where: Path) -> dict[str, list[str]]:
    """Train and val names: a fifth, at least one, is val. Raises DataError for fewer than two names."""
    if len(names) < 2:
        raise DataError(
            f"{where}: {counted(len(names), 'labelled picture')}; expected at least two, "
            "one to train on and one to validate on"
        )
    ranked = sorted(names, key=lambda name: draw_share(name, seed))
    count = max(1, round(VAL_SHARE * len(ranked)))
    return {"train": sorted(ranked[count:]), "val": sorted(ranked[:count])}


def draw_share(name: str, seed: int) -> float:
    """A number in 0..1 that is the same on every machine."""
    return (
        int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    )


def read_splits(path: Path) -> dict[str, list[str]]:
    """Split -> names, from a file that `drawn.write_splits` wrote. Raises DataError."""
    data = read_json(path)
    splits = data.get("splits") if isinstance(data, dict) else None
    if not isinstance(splits, dict) or not all(isinstance(names, list) for names in splits.values()):
        raise DataError(
            f'{path}: expected {{"splits": {{"train": [names], "val": [names]}}}}; remove it for a new draw'
        )
    return {str(split): [str(n) for n in names] for split, names in splits.items()}
