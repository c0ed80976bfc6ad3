"""Labels of one image as every format takes them, and the base of the writers.

Shapes: an image of H x W pixels and C channels, K classes.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import find_objects
from scipy.ndimage import label as regions_of

from foveate.disk import atomic_write, plain_name
from foveate.errors import ConfigError, DataError, counted
from foveate.records import ClassTable
from foveate.records.base import unused_label
from foveate.records.instances import Instances, encode_mask, instances_of

NO_OBJECT = -1  # the label of a region that is not scored, as in `records.instances`
TOUCHING = np.ones((3, 3))  # pixels that touch at a corner are of one region


@dataclass(frozen=True)
class Labelled:
    """One image with its labels.

    name: the image's file name; folders may lead it. split: 'train' and so on; '' if the images are not divided.
    image: the image's file, or its values (H, W, C).
    label: (H, W) integers, indices of the class table or its ignore value.
    objects: the single objects, by indices of the same table; -1 of what is not scored; None if nobody told them apart.
    """

    name: str
    split: str
    image: Path | np.ndarray
    label: np.ndarray
    objects: Instances | None = None


class Labels(NamedTuple):
    """The labels of one image with their table: (H, W) labels, and the single objects if they are known."""

    label: np.ndarray
    classes: ClassTable
    objects: Instances | None = None


class LabelWriter(ABC):
    """A writer of one format: `add` for each image, then `finish`. Raises OutputError.

    folder: the folder that is written to. classes: the class table of all images.
    keeps_objects, keeps_unscored, keeps_crowds: True if the format has a place for single objects, for pixels that are
        not scored, and for the class of a crowd region.
    single_class: True for formats that have no place for the class of an object.
    most_classes: the largest number of classes that the format holds.
    """

    keeps_objects: ClassVar[bool] = False
    keeps_unscored: ClassVar[bool] = True
    keeps_crowds: ClassVar[bool] = False
    single_class: ClassVar[bool] = False
    most_classes: ClassVar[int] = 65535

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        self.folder, self.classes = folder, classes
        self.things = [k for k in range(len(classes)) if k != background_of(classes)]
        self._stems: Counter[str] = Counter()
        self.stems: list[str] = []  # of the images, in the order in which they were added
        self.require()

    def require(self) -> None:
        """Raise ConfigError for a class table that the format cannot hold."""
        if len(self.classes) > self.most_classes:
            raise ConfigError(
                f"{counted(len(self.classes), 'class')}, but this format holds {self.most_classes} at most; choose "
                "folders or coco"
            )
        if self.single_class and len(self.things) != 1:
            names = ", ".join(self.classes.names[k] for k in self.things)
            raise ConfigError(
                f"objects of {counted(len(self.things), 'class')} ({names}), but this format has no place for the "
                "class of an object; choose coco, labelme, cvat, yolo or voc"
            )

    @abstractmethod
    def add(self, one: Labelled) -> None:
        """Write one image and its labels."""

    @abstractmethod
    def finish(self) -> None:
        """Write what belongs to the whole set: class lists, lists of splits, and files for all images."""

    def stem(self, name: str) -> str:
        """A stem for an image's files that no other image has; where two have one name, with its folders before it.

        Names are one also in another case or Unicode form, in which some file systems do not tell them apart.
        """
        wanted = stem = Path(name).stem
        number = 1
        while self._stems[plain_name(stem)]:
            number += 1
            folders = "_".join(Path(name).parent.parts)
            stem = f"{folders}_{wanted}" if folders and number == 2 else f"{wanted}_{number}"
        self._stems[plain_name(stem)] += 1
        self.stems.append(stem)
        return stem

    def objects_of(self, one: Labelled) -> Instances:
        """The objects of an image; of a label map, every connected region of a class but the background."""
        if one.objects is not None:
            return one.objects
        masks: list[dict[str, Any]] = []
        labels: list[int] = []
        for value in (*self.things, NO_OBJECT):
            wanted = self.classes.ignore_index if value == NO_OBJECT else value
            numbers, _ = regions_of(one.label == wanted, TOUCHING)
            for number, place in enumerate(find_objects(numbers), 1):
                top, left = place[0].start, place[1].start
                masks.append(encode_mask(numbers[place] == number, one.label.shape, left, top))
                labels.append(value)
        crowd = [label == NO_OBJECT for label in labels]
        return instances_of((one.label.shape[0], one.label.shape[1]), masks, labels, crowd=crowd)


def background_of(classes: ClassTable) -> int | None:
    """The label of the class that is called background; None if there is none."""
    names = [name.strip().strip("_").lower() for name in classes.names]
    return names.index("background") if "background" in names else None


def class_lines(classes: ClassTable, *ignore: str) -> str:
    """The text of a `classes.txt`: names with colours, then what is not scored."""
    rows = [f"{name} #{r:02x}{g:02x}{b:02x}" for name, (r, g, b) in zip(classes.names, classes.colors, strict=True)]
    return "\n".join([*rows, *(f"ignore: {value}" for value in ignore), ""])


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path, flush=False) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy_image(one: Labelled, folder: Path, stem: str) -> Path:
    """Copy an image's file as it is, or write its values: PNG, or TIFF where a PNG cannot hold them. Returns the path.

    Raises OutputError.
    """
    if isinstance(one.image, Path):
        path = folder / f"{stem}{one.image.suffix.lower()}"
        with atomic_write(path, flush=False) as temporary:
            shutil.copyfile(one.image, temporary)
        return path
    values = one.image
    plain = values[:, :, 0] if values.shape[2] == 1 else values
    if (values.dtype == np.uint8 and values.shape[2] in (1, 3)) or (values.dtype == np.uint16 and plain.ndim == 2):
        path = folder / f"{stem}.png"
        with atomic_write(path, flush=False) as temporary:
            Image.fromarray(plain).save(temporary, format="PNG")
        return path
    path = folder / f"{stem}.tif"
    with atomic_write(path, flush=False) as temporary:
        photometric = "rgb" if plain.ndim == 3 and plain.shape[2] == 3 else "minisblack"
        tifffile.imwrite(temporary, plain, photometric=photometric, planarconfig="contig")
    return path


def indexed(label: np.ndarray, colors: dict[int, tuple[int, int, int]], path: Path) -> None:
    """Write a label map as an index PNG with a palette, or of 16 bits above 255. Raises DataError, OutputError."""
    if int(label.min(initial=0)) < 0 or int(label.max(initial=0)) > 65535:
        raise DataError(f"{path}: labels {label.min()}..{label.max()}; a PNG holds 0..65535")
    if max(int(label.max(initial=0)), max(colors, default=0)) > 255:
        image = Image.fromarray(label.astype(np.uint16))
    else:
        image = Image.fromarray(label.astype(np.uint8))
        palette = np.zeros((256, 3), np.uint8)
        for value, color in colors.items():
            palette[value] = color
        image.putpalette(palette.tobytes())
    with atomic_write(path, flush=False) as temporary:
        image.save(temporary, format="PNG")


def predicted(name: str, image: Any, found: Labels) -> Labelled:
    """A prediction as a labelled image of no split. image: its file, or `pictures.Windows`."""
    height, width = found.label.shape
    pixels = image if isinstance(image, Path) else image.read(0, 0, height, width)
    return Labelled(name, "", pixels, found.label, found.objects)


def labels_of_objects(objects: Instances, things: ClassTable) -> Labels:
    """Objects and the label map that they make, with a background before their classes."""
    if (first := background_of(things)) is not None:
        raise ConfigError(f"class {first} of objects is called background; rename it")
    colors = ((0, 0, 0), *things.colors) if (0, 0, 0) not in things.colors else ()
    table = ClassTable(("background", *things.names), colors, unused_label(len(things) + 1))
    classes = np.concatenate([[0], objects.labels + 1])
    shifted = instances_of(objects.size, objects.masks, objects.labels + 1, objects.scores, boxes=objects.boxes)
    return Labels(classes[objects.numbers()], table, shifted)
