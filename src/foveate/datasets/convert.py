"""Conversion of a data set of label maps or objects into another format, and the check of the result.

The new folder is read back by its own reader, and compared with the old one image by image: labels by the names of
their classes, objects by class and pixels. So a loss is counted, whatever its cause.

Shapes: an image of H x W pixels, N objects in L layers.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from foveate.datasets import recognise
from foveate.datasets.checks import COMBINED
from foveate.datasets.names import normal, stem_of
from foveate.disk import put_in_place, unfinished_folder
from foveate.errors import ConfigError, DataError, OutputError, counted
from foveate.labels import NO_OBJECT, Labelled, LabelWriter, background_of, open_writer
from foveate.records import ClassTable, DataSource
from foveate.records.instances import Instances, decode_mask, encode_mask, instances_of

LEFT_IN_WORDS = 3  # images that are named
Key = tuple[str, bytes]  # an object: the name of its class, and its run lengths


@dataclass
class ChangedObjects:
    """Objects of the old data that are not in the new one with the same class and the very same pixels.

    count: how many, by image. pixels: how many pixels they lost or gained. largest: the largest share of its own pixels
    that one of them lost or gained, and worst its image; 1 for an object that is gone.
    """

    count: dict[str, int] = field(default_factory=dict)
    pixels: int = 0
    largest: float = 0.0
    worst: str = ""

    def add(self, name: str, size: tuple[int, int], before: Counter[Key], after: Counter[Key]) -> None:
        """Compare the objects of one image (height, width).

        Each object that is not there again is compared with that of its class, of the other side's left ones, with
        which it shares the most pixels. An object that came in addition counts with all of its pixels.
        """
        old, new = list((before - after).elements()), list((after - before).elements())
        if not old and not new:
            return
        self.count[name] = max(len(old), len(new))
        masks = [decode_mask({"size": list(size), "counts": counts}) for _, counts in new]
        for label, counts in old:
            mask = decode_mask({"size": list(size), "counts": counts})
            shared = [int((mask & one).sum()) if new[k][0] == label else 0 for k, one in enumerate(masks)]
            nearest = int(np.argmax(shared)) if any(shared) else None
            partner = np.zeros_like(mask) if nearest is None else masks.pop(nearest)
            if nearest is not None:
                new.pop(nearest)
            changed = int((mask != partner).sum())
            self.pixels += changed
            if (share := changed / max(int(mask.sum()), 1)) > self.largest:
                self.largest, self.worst = share, name
        self.pixels += sum(int(one.sum()) for one in masks)


@dataclass
class Conversion:
    """The result of a conversion.

    images: split -> number of images. read_as: the line with which the new folder is recognised.
    changed_pixels: names of images -> pixels whose class, or being unscored, is another when the new folder is read.
    objects, object_pixels: the number of objects that were compared, None where none were, and of their pixels.
    changed_objects: those that are not the same.
    notes: sentences on what the format has no place for.
    """

    folder: Path
    images: dict[str, int] = field(default_factory=dict)
    read_as: str = ""
    objects: int | None = None
    object_pixels: int = 0
    changed_pixels: dict[str, int] = field(default_factory=dict)
    changed_objects: ChangedObjects = field(default_factory=ChangedObjects)
    pixels: int = 0
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The outcome, line by line."""
        yield f"{self.folder}: {self.read_as}"
        yield from (f"note: {note}" for note in self.notes)
        what = "label map" if self.objects is None else "label map and every object"
        changed = self.changed_objects
        if not self.changed_pixels and not changed.count:
            yield f"read back: every {what} is the same"
        if self.changed_pixels:
            share = sum(self.changed_pixels.values()) / max(self.pixels, 1)
            yield (
                f"read back: {sum(self.changed_pixels.values()):,} pixels ({share:.2%}) have another class, in "
                f"{_named(self.changed_pixels)}"
            )
        if changed.count:
            share = changed.pixels / max(self.object_pixels, 1)
            yield (
                f"read back: {sum(changed.count.values()):,} of {self.objects:,} objects have other pixels, in "
                f"{_named(changed.count)}: {changed.pixels:,} pixels lost or gained, {share:.2%} of all objects' pixels"
                + (f", and at most {changed.largest:.1%} of one object's ({changed.worst})" if changed.worst else "")
            )


def _named(images: dict[str, int]) -> str:
    worst = sorted(images, key=lambda name: -images[name])
    shown = ", ".join(f"{name}: {images[name]:,}" for name in worst[:LEFT_IN_WORDS])
    return f"{counted(len(images), 'picture')} ({shown}{', ...' if len(images) > LEFT_IN_WORDS else ''})"


def convert(
    source: DataSource,
    folder: str | Path,
    form: str,
    lossy: bool = False,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> Conversion:
    """Write a data source's images and labels to a new folder in another format, and read it back.

    form: a name of `labels.WRITERS`. lossy: write what is not scored as background where the format has no other place
    for it. progress: called with the number of images that are done, of those written and read back.
    Raises ConfigError: a format or a data source that does not fit; DataError: files that cannot be used, and labels
    that the format cannot hold; OutputError. Nothing is left behind then.
    """
    folder = Path(folder)
    if "semantic" not in source.tasks:
        raise ConfigError(
            f"{getattr(source, 'path', type(source).__name__)}: data for {' and '.join(source.tasks)}; label maps and "
            "objects alone can be converted"
        )
    sets = {split: _Split(source, split) for split in source.splits() if split != COMBINED}
    classes = next(iter(sets.values())).classes
    unfinished = unfinished_folder(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists already and is not empty; choose another folder, or move it away")
    with _removed_on_failure(unfinished):
        writer = open_writer(form, unfinished, classes)
        found = Conversion(folder, {split: len(one) for split, one in sets.items()})
        _write(sets, writer, form, lossy, found, progress)
        _read_back(sets, writer, form, found, progress)
        put_in_place(unfinished, folder)
    found.read_as = found.read_as.replace(unfinished.name, folder.resolve().name)
    return found


@contextlib.contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)  # of a conversion that was stopped
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _Split:
    """One split of a source, image by image. objects: True if single objects are known."""

    def __init__(self, source: DataSource, split: str) -> None:
        self.split = split
        self.maps = source.open(split, "semantic")
        self.classes: ClassTable = self.maps.classes
        self.reason, self._single = "", None
        if "instances" in source.tasks:
            try:
                self._single = source.open(split, "instances")
                self._single[0]
            except DataError as error:  # masks of classes; Pascal VOC without masks of objects
                self.reason, self._single = str(error), None
        self.objects = self._single is not None

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> Labelled:
        sample = self.maps[index]
        objects = None
        if self._single is not None:
            single, things = self._single[index], self._single.classes
            objects = objects_of(single["layers"].numpy(), single["labels"].numpy(), single["crowd"].numpy())
            table = [self.classes.names.index(name) for name in things.names]
            labels = np.array([NO_OBJECT if k < 0 else table[k] for k in objects.labels.tolist()], np.int64)
            objects = instances_of(objects.size, objects.masks, labels, crowd=objects.crowd)
        pairs = getattr(self.maps, "pairs", None)
        file = pairs[index].picture if pairs is not None else None
        if file is None or not file.is_file():  # drawn, or embedded in its annotations
            file = sample["image"].numpy().transpose(1, 2, 0)
        return Labelled(self.maps.name(index), self.split, file, sample["mask"].numpy(), objects)


def objects_of(layers: np.ndarray, labels: np.ndarray, crowd: np.ndarray) -> Instances:
    """The objects of layers (L, H, W) of numbers; N labels and flags. Objects without a pixel are left out."""
    size = (layers.shape[1], layers.shape[2])
    masks: dict[int, Any] = {}
    for layer in layers:
        for number, place in enumerate(find_objects(layer), 1):
            if place is not None:
                masks[number - 1] = encode_mask(layer[place] == number, size, place[1].start, place[0].start)
    order = sorted(masks)
    return instances_of(size, [masks[k] for k in order], labels[order], crowd=crowd[order])


def _write(
    sets: dict[str, _Split], writer: LabelWriter, form: str, lossy: bool, found: Conversion, progress: Any
) -> None:
    """Write every image, and note what the format has no place for. Raises DataError for what would change meaning."""
    total, done, crowds, unscored, guessed = 2 * sum(map(len, sets.values())), 0, 0, 0, False
    for one in sets.values():
        for index in range(len(one)):
            labelled = one[index]
            void = int((labelled.label == one.classes.ignore_index).sum())
            if void and not writer.keeps_unscored:
                if not lossy:
                    raise DataError(
                        f"{labelled.name}: {void:,} pixels are not scored, and {form} has no place for them; --lossy "
                        "writes them as background, other formats keep them (coco, labelme, cvat, voc, folders)"
                    )
                unscored += void
            if labelled.objects is not None and not writer.keeps_crowds:
                crowds += int((labelled.objects.crowd & (labelled.objects.labels != NO_OBJECT)).sum())
            if labelled.objects is not None and writer.keeps_objects and form != "voc" and not lossy:
                _require_covered(labelled, one.classes, form)
            guessed |= labelled.objects is None and writer.keeps_objects and form != "voc"
            writer.add(labelled)
            done += 1
            progress(done, total)
    writer.finish()
    found.notes += _renamed(sets, writer.stems)
    reasons = [one.reason for one in sets.values() if one.reason and "SegmentationObject" in one.reason]
    if reasons:
        found.notes.append(f"single objects cannot be read, and are left out: {reasons[0]}")
    if any(one.objects for one in sets.values()) and not writer.keeps_objects:
        found.notes.append(f"{form} holds label maps: which pixels are one object is not in it")
    if guessed:
        found.notes.append("the labels do not tell objects apart: every connected region of a class is written as one")
    if crowds:
        became = "are not scored for any class" if writer.keeps_unscored else "became background"
        found.notes.append(f"{counted(crowds, 'crowd region')} {became}")
    if unscored:
        found.notes.append(f"{unscored:,} pixels that are not scored became background (--lossy)")


def _require_covered(one: Labelled, classes: ClassTable, form: str) -> None:
    """Raise DataError for classes with pixels but no objects, such as sky, which a format of objects would lose."""
    assert one.objects is not None
    left = (one.label != classes.ignore_index) & (one.label != background_of(classes))
    for k in range(len(one.objects)):
        left &= ~one.objects.mask(k)
    if left.any():
        names = ", ".join(classes.names[k] for k in np.unique(one.label[left]))
        raise DataError(
            f"{one.name}: {int(left.sum()):,} pixels of {names} are no object's, and {form} holds objects alone; "
            "--lossy writes them as background, voc and the formats of masks keep them"
        )


def _renamed(sets: dict[str, _Split], stems: list[str]) -> list[str]:
    """A note on images whose new name is another, since two had the same."""
    names = [one.maps.name(k) for one in sets.values() for k in range(len(one))]
    moved = [f"{name} is {stem}" for name, stem in zip(names, stems, strict=True) if Path(name).stem != stem]
    shown = ", ".join(moved[:LEFT_IN_WORDS]) + (", ..." if len(moved) > LEFT_IN_WORDS else "")
    return [f"{counted(len(moved), 'picture')} renamed, since names must differ without suffix ({shown})"] * bool(moved)


def _read_back(sets: dict[str, _Split], writer: LabelWriter, form: str, found: Conversion, progress: Any) -> None:
    """Compare the written folder with the old data."""
    try:
        source = recognise(writer.folder, "semantic")
        found.read_as = source.describe("semantic")
        after = {split: _Split(source, split) for split in source.splits()}
    except DataError as error:
        reason = str(error).replace(writer.folder.name, found.folder.name)
        raise DataError(f"the new folder cannot be read back as {form}: {reason}") from error
    stems = iter(writer.stems)
    total, done = 2 * sum(map(len, sets.values())), sum(map(len, sets.values()))
    compared = writer.keeps_objects and any(one.objects for one in sets.values())
    found.objects = 0 if compared else None
    for split, before in sets.items():
        now = after.get(split) or next(iter(after.values()))
        place = {stem_of(now.maps.name(k)): k for k in range(len(now))}
        for index in range(len(before)):
            stem = normal(next(stems))
            if stem not in place:
                raise DataError(f"the new folder has no labelled picture {stem} in {split}; please report this")
            old, new = before[index], now[place[stem]]
            found.pixels += old.label.size
            if changed := int((_by_name(old, before.classes) != _by_name(new, now.classes)).sum()):
                found.changed_pixels[old.name] = changed
            if compared and found.objects is not None and old.objects is not None:
                wanted = _counted(old.objects, before.classes)
                found.objects += wanted.total()
                found.object_pixels += int(old.objects.areas[_real(old.objects)].sum())
                there = Counter[Key]() if new.objects is None else _counted(new.objects, now.classes)
                found.changed_objects.add(old.name, old.objects.size, wanted, there)
            done += 1
            progress(done, total)
    if compared and not all(one.objects for one in after.values()):
        found.notes.append(f"the new folder is read as label maps, without single objects: {found.read_as}")


_NUMBERS: dict[str, int] = {}  # of the names of classes, so that labels of two tables can be compared


def _by_name(one: Labelled, classes: ClassTable) -> np.ndarray:
    """(H, W) numbers of the names of the classes; 0 for what is not scored."""
    background = background_of(classes)
    table = np.zeros(max(len(classes), classes.ignore_index, int(one.label.max(initial=0))) + 1, np.int32)
    for k, name in enumerate(classes.names):
        known = "background" if k == background else name
        table[k] = _NUMBERS.setdefault(known, len(_NUMBERS) + 1)
    return np.asarray(table[one.label])


def _real(objects: Instances) -> np.ndarray:
    """(N,) bool: the objects that count."""
    return np.asarray(~objects.crowd & (objects.labels != NO_OBJECT))


def _counted(objects: Instances, classes: ClassTable) -> Counter[Key]:
    """(class name, pixels) of the objects that count, with their number."""
    real = objects.select(_real(objects))
    return Counter((classes.names[k], mask["counts"]) for k, mask in zip(real.labels, real.masks, strict=True))
