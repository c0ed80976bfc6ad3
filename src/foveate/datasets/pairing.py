"""Pairs of images and label files by their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from foveate.datasets.files import Pair
from foveate.datasets.names import ANNOTATOR, images_of_numbered, number_of, stem_of, unmarked
from foveate.errors import listed
from foveate.records import Problem


def pair_by_stem(
    images: Iterable[Path], labels: Iterable[Path], notes: list[str] | None = None
) -> tuple[list[Pair], list[Problem]]:
    """Join images and labels that share a file name up to the suffix; a file without a partner is a problem.

    A label may also be called after its image and what it is (NAME.jpg and NAME_mask.png), after its image's whole name
    (NAME.jpg.png), or differ from it in capitals alone where one image and one label are called so.
    notes: takes in labels by a second annotator, which are left out.
    """
    problems: list[Problem] = []
    image_of, label_of = (_by_stem(files, problems) for files in (images, labels))
    seconds: list[Path] = []
    for stem in [stem for stem in label_of if stem not in image_of]:
        image = next((name for name in unmarked(stem) if name in image_of), None)
        if image is None:
            continue
        path = label_of.pop(stem)
        first = label_of.setdefault(image, path)
        if first is path:
            continue
        if notes is not None and ANNOTATOR.fullmatch(stem):
            seconds.append(path)
        else:
            what = f"a second label of {image_of[image].name}, beside {first.name}; join the labels of a picture in one"
            problems.append(Problem(path, what))
    if seconds and notes is not None:
        notes.append(f"{listed([p.name for p in seconds], 'mask')} by a second annotator not read; the first is")
    for stem, image in _loosely(image_of, label_of):
        label_of[image] = label_of.pop(stem)
    pairs = [Pair(p, label_of[stem]) for stem, p in image_of.items() if stem in label_of]
    problems += [Problem(p, "a picture without a label") for stem, p in image_of.items() if stem not in label_of]
    problems += [Problem(p, "a label without a picture") for stem, p in label_of.items() if stem not in image_of]
    return pairs, problems


def pair_masks(
    images: Iterable[Path], masks: Iterable[Path], notes: list[str] | None = None
) -> tuple[list[Pair], list[Problem]]:
    """As `pair_by_stem`; the masks of an image that are numbered become one label, a tuple of files.

    So are NAME_mask.png, NAME_mask_1.png and NAME_mask_2.png. They lie in the order of their numbers, and a numbered
    one alone is a label as every other.
    """
    ordered = sorted(images)
    stems = {stem_of(path.name): path for path in reversed(ordered)}  # the first of a name, as `pair_by_stem` takes it
    single: list[Path] = []
    numbered: dict[Path, list[Path]] = {}
    for path in masks:
        stem = stem_of(path.name)
        named = [stems[name] for name in images_of_numbered(stem) if name in stems]
        if not named or stem in stems:
            single.append(path)
        else:
            numbered.setdefault(named[0], []).append(path)
    pairs, problems = pair_by_stem(ordered, single, notes)
    first: dict[Path, list[Path]] = {pair.picture: [pair.label] for pair in pairs}
    for picture, files in numbered.items():
        first[picture] = [*first.get(picture, []), *sorted(files, key=lambda file: (number_of(file), file))]
    found = [(image, first[image]) for image in ordered if image in first]
    joined = [Pair(image, tuple(labels) if len(labels) > 1 else labels[0]) for image, labels in found]
    return joined, [problem for problem in problems if problem.file not in numbered]


def _by_stem(files: Iterable[Path], problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(files):
        stem = stem_of(path.name)
        if stem in found:
            problems.append(Problem(path, f"has the same name as {found[stem].name}, up to the suffix"))
        found.setdefault(stem, path)
    return found


def _loosely(image_of: dict[str, Path], label_of: dict[str, Path]) -> list[tuple[str, str]]:
    """(stem of a label, stem of its image) of those without a partner whose names are equal but for capitals.

    Of the label, the image's suffix may be part of the stem.
    """
    alone = [stem for stem in image_of if stem not in label_of]
    images: dict[str, list[str]] = {}
    for stem in alone:
        images.setdefault(stem.casefold(), []).append(stem)
    labels: dict[str, list[str]] = {}
    for stem in [stem for stem in label_of if stem not in image_of] if alone else ():
        names = [name.casefold() for one in (stem, *unmarked(stem)) for name in (one, stem_of(one))]
        if key := next((name for name in names if name in images), ""):
            labels.setdefault(key, []).append(stem)
    return [(found[0], images[key][0]) for key, found in labels.items() if len(found) == 1 == len(images[key])]
