"""Writers of label maps: folders of index PNG or of colours, masks beside images, SegNet's CamVid, Pascal VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from foveate.disk import atomic_write
from foveate.errors import ConfigError, DataError, counted
from foveate.labels.base import NO_OBJECT, Labelled, LabelWriter, class_lines, copy_image, indexed, write_text
from foveate.records import ClassTable

UNSCORED_COLORS = ((224, 224, 192), (255, 255, 255), (1, 1, 1))  # the first that no class has; VOC's void before others
VOID = 255  # of Pascal VOC, in both of its masks


def _unscored_color(classes: ClassTable) -> tuple[int, int, int]:
    return next(color for color in UNSCORED_COLORS if color not in classes.colors)


class FolderWriter(LabelWriter):
    """SPLIT/images beside SPLIT/labels, index PNG whose values are the labels, and `classes.txt`."""

    def add(self, one: Labelled) -> None:
        """Write one image and its mask."""
        folder = self.folder / one.split
        stem = self.stem(one.name)
        copy_image(one, folder / "images", stem)
        self.mask(one.label, folder / "labels" / f"{stem}.png")

    def mask(self, label: np.ndarray, path: Path) -> None:
        """Write one mask."""
        colors = dict(enumerate(self.classes.colors)) | {self.classes.ignore_index: _unscored_color(self.classes)}
        indexed(label, colors, path)

    def finish(self) -> None:
        """Write `classes.txt`."""
        write_text(self.folder / "classes.txt", class_lines(self.classes, str(self.classes.ignore_index)))


class ColorWriter(FolderWriter):
    """The same with masks of colours (RGB PNG), which `classes.txt` lists."""

    most_classes = 2**24 - len(UNSCORED_COLORS)

    def require(self) -> None:
        """Raise ConfigError for classes of one colour."""
        super().require()
        twice = [c for c in self.classes.colors if self.classes.colors.count(c) > 1]
        if twice:
            names = [n for n, c in zip(self.classes.names, self.classes.colors, strict=True) if c == twice[0]]
            raise ConfigError(
                f"classes {' and '.join(names)} have the same colour, so colours cannot tell them apart; choose folders"
            )

    def mask(self, label: np.ndarray, path: Path) -> None:
        """Write one mask."""
        colors = np.array([*self.classes.colors, _unscored_color(self.classes)], np.uint8)
        pixels = colors[np.minimum(label, len(self.classes))]
        with atomic_write(path, flush=False) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")

    def finish(self) -> None:
        """Write `classes.txt`, where a colour is what is not scored."""
        r, g, b = _unscored_color(self.classes)
        write_text(self.folder / "classes.txt", class_lines(self.classes, f"#{r:02x}{g:02x}{b:02x}"))


class BesideWriter(FolderWriter):
    """SPLIT/NAME.jpg beside SPLIT/NAME_mask.png, and `classes.txt`."""

    def add(self, one: Labelled) -> None:
        """Write one image and its mask."""
        stem = self.stem(one.name)
        copy_image(one, self.folder / one.split, stem)
        self.mask(one.label, self.folder / one.split / f"{stem}_mask.png")


class SegNetWriter(FolderWriter):
    """CamVid as SegNet has it: train/ beside trainannot/, val/ beside valannot/, and `classes.txt`."""

    most_classes = 255

    def add(self, one: Labelled) -> None:
        """Write one image and its mask."""
        stem, split = self.stem(one.name), one.split or "train"
        copy_image(one, self.folder / split, stem)
        self.mask(one.label, self.folder / f"{split}annot" / f"{stem}.png")


class VOCWriter(LabelWriter):
    """Pascal VOC: JPEGImages, SegmentationClass, SegmentationObject if objects are known, and lists of the splits.

    Class 0 is the background, which is added before other classes if it is not there; 255 is not scored.
    """

    keeps_objects = True
    most_classes = 254

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        super().__init__(folder, classes)
        names = [classes.names[k] for k in self.things]
        colors = tuple(classes.colors[k] for k in self.things)
        black = next(c for c in ((0, 0, 0), (2, 2, 2), (3, 3, 3)) if c not in colors)
        self.table = ClassTable(("background", *names), (black, *colors), VOID)
        self.lists: dict[str, list[str]] = {}

    def add(self, one: Labelled) -> None:
        """Write one image and its masks. Raises DataError for more than 254 objects."""
        numbers = None if one.objects is None else self._numbers(one)
        stem = self.stem(one.name)
        copy_image(one, self.folder / "JPEGImages", stem)
        label = np.zeros(one.label.shape, np.uint8)
        for index, value in enumerate(self.things, 1):
            label[one.label == value] = index
        label[one.label == self.classes.ignore_index] = VOID
        colors = dict(enumerate(self.table.colors)) | {VOID: UNSCORED_COLORS[0]}
        if numbers is not None:
            wheel = {n: self.table.colors[1 + (n - 1) % len(self.things)] for n in range(1, int(numbers.max()) + 1)}
            indexed(
                numbers, wheel | {0: (0, 0, 0), VOID: UNSCORED_COLORS[0]},
                self.folder / "SegmentationObject" / f"{stem}.png",
            )  # fmt: skip
        indexed(label, colors, self.folder / "SegmentationClass" / f"{stem}.png")
        self.lists.setdefault(one.split, []).append(stem)

    def _numbers(self, one: Labelled) -> np.ndarray:
        """Object numbers (H, W), 255 where nothing is scored. Of objects that overlap, the smaller lies on top."""
        objects = one.objects
        assert objects is not None
        hidden = objects.crowd | (objects.labels == NO_OBJECT)
        real = np.flatnonzero(~hidden)
        if len(real) > VOID - 1:
            raise DataError(f"{one.name}: {counted(len(real), 'object')}; Pascal VOC's masks number 254 at most")
        numbers = np.zeros(one.label.shape, np.uint8)
        numbers[one.label == self.classes.ignore_index] = VOID
        number_of = {int(k): number for number, k in enumerate(real, 1)}
        for k in np.argsort(-objects.areas, kind="stable").tolist():
            if k in number_of:
                numbers[objects.mask(k)] = number_of[k]
        return numbers

    def finish(self) -> None:
        """Write the lists of the splits and `classes.txt`."""
        for split, stems in self.lists.items():
            if split:
                write_text(self.folder / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join([*stems, ""]))
        write_text(self.folder / "classes.txt", class_lines(self.table, str(VOID)))


class NumberWriter(LabelWriter):
    """SPLIT/images beside SPLIT/masks of 16 bits, whose values number the objects of an image, and `classes.txt`."""

    keeps_objects, single_class, keeps_unscored = True, True, False

    def add(self, one: Labelled) -> None:
        """Write one image and its object numbers. Raises DataError for objects that do not fit."""
        objects = self.objects_of(one)
        if len(objects) > 65534:
            raise DataError(f"{one.name}: {counted(len(objects), 'object')}; a mask of 16 bits numbers 65534 at most")
        folder, stem = self.folder / one.split, self.stem(one.name)
        copy_image(one, folder / "images", stem)
        real = objects.select(~objects.crowd & (objects.labels != NO_OBJECT))
        with atomic_write(folder / "masks" / f"{stem}.png", flush=False) as temporary:
            Image.fromarray(real.numbers().astype(np.uint16)).save(temporary, format="PNG")

    def finish(self) -> None:
        """Write the name of the objects."""
        write_text(self.folder / "classes.txt", f"{self.classes.names[self.things[0]]}\n")


class SampleFolderWriter(LabelWriter):
    """SPLIT/ID/images/ID.png beside SPLIT/ID/masks/*.png, one an object, and `classes.txt`."""

    keeps_objects, single_class, keeps_unscored = True, True, False

    def add(self, one: Labelled) -> None:
        """Write one image and a mask for each object."""
        stem = self.stem(one.name)
        folder = self.folder / one.split / stem
        copy_image(one, folder / "images", stem)
        objects = self.objects_of(one)
        real = objects.select(~objects.crowd & (objects.labels != NO_OBJECT))
        for k in range(max(len(real), 1)):
            mask = real.mask(k) if len(real) else np.zeros(one.label.shape, bool)  # empty: an image without an object
            with atomic_write(folder / "masks" / f"{k + 1:05d}.png", flush=False) as temporary:
                Image.fromarray(mask.astype(np.uint8) * 255).save(temporary, format="PNG")

    def finish(self) -> None:
        """Write the names of background and object."""
        write_text(self.folder / "classes.txt", f"background\n{self.classes.names[self.things[0]]}\n")
