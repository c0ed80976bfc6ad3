"""Drawn shapes -> pixels, as labelme's own `shapes_to_label` makes them.

Shapes are painted in the file's order, a later one over the earlier. Rasterised by Pillow with labelme's settings:
outlines belong to the shape, lines are 10 pixels wide, points are discs of radius 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from foveate import pictures
from foveate.datasets.files import Pair
from foveate.datasets.objects import Objects
from foveate.datasets.outlines import require_pixels
from foveate.errors import DataError, counted, unknown
from foveate.records import ClassTable

BACKGROUND, BACKGROUND_LABELS, IGNORE_LABEL = "background", ("background", "_background_"), "__ignore__"
LINE_WIDTH, POINT_RADIUS = 10, 5
DONE = "done"  # state of labels that are complete; others, draft and skipped, are a labelling page's

# Shape type -> (fewest points, most points).
POINT_COUNTS = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, None),
    "point": (1, 1),
    "mask": (2, 2),
}


@dataclass(frozen=True)
class Shape:
    """One shape of an annotation file.

    kind: a key of POINT_COUNTS. points: (x, y) in pixels; of a circle its centre and a point on it, of a rectangle
    or mask two opposite corners. group: shapes of one label and group are one object. mask: of kind "mask", a PNG's
    bytes or file, non-zero on the object.
    """

    label: str
    kind: str
    points: tuple[tuple[float, float], ...]
    group: int | str | None = None
    mask: bytes | Path | None = None

    def complaint(self) -> str:
        """The reason why the shape cannot be used; '' if it can."""
        if not self.label.strip():
            return "an empty label; expected the name of a class"
        if self.kind not in POINT_COUNTS:
            return f"shape type '{self.kind}' is not supported; expected one of {', '.join(POINT_COUNTS)}"
        fewest, most = POINT_COUNTS[self.kind]
        if len(self.points) < fewest or (most is not None and len(self.points) > most):
            expected = f"{fewest}" if most == fewest else f"{fewest} or more"
            return f"a {self.kind} of {counted(len(self.points), 'point')}; expected {expected}"
        if not all(abs(v) < 1e300 for point in self.points for v in point):  # an integer of JSON may be longer
            return "a coordinate is not a finite number; expected x and y in pixels"
        return "" if (self.mask is not None) == (self.kind == "mask") else "a shape of type mask needs 'mask', no other"


@dataclass(frozen=True)
class Annotation:
    """Content of one annotation file, about one image.

    picture: path of the image file; of an embedded image, the path that it would have. size: (height, width), or None.
    state: DONE, or another, with which no shapes are read.
    """

    file: Path
    picture: Path
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    embedded: bool = False
    state: str = DONE


@dataclass(frozen=True)
class LabelMeLabels:
    """Paints the shapes of an annotation, by class or by object.

    background: the class of pixels without a shape; None where they are not scored. undecided: True if there are any.
    """

    classes: ClassTable
    background: int | None
    undecided: bool = True

    def __call__(self, pair: Pair, height: int, width: int) -> np.ndarray:
        """(height, width) class indices, the ignore value under `__ignore__` shapes. Raises DataError."""
        empty = self.classes.ignore_index if self.background is None else self.background
        label = np.full((height, width), empty, np.uint8 if self.classes.ignore_index <= 255 else np.int32)
        for shape, mask in self._masks(pair, height, width):
            label[mask] = self.value(shape.label)
        return label

    def objects(self, pair: Pair, height: int, width: int) -> Objects:
        """The visible pixels of each object; shapes of one label and `group_id` are one object. Raises DataError.

        Ignored and background shapes are no objects, but hide the objects under them; ignored ones are not scored.
        """
        numbers = np.zeros((height, width), np.int32)
        known: dict[tuple[str, object], int] = {}
        for place, (shape, mask) in enumerate(self._masks(pair, height, width)):
            key = (shape.label, ("alone", place) if shape.group is None else shape.group)
            numbers[mask] = known.setdefault(key, len(known) + 1)
        unseen = (self._background_class(), self.classes.ignore_index)
        found = [(number, self.value(label)) for (label, _), number in known.items() if self.value(label) not in unseen]
        return Objects(
            numbers == np.array([number for number, _ in found], np.int32)[:, None, None],
            [label for _, label in found],
            unscored=np.isin(numbers, [number for (label, _), number in known.items() if label == IGNORE_LABEL]),
        )

    def value(self, label: str) -> int:
        """A shape's label -> the painted value. Raises ValueError for a label that is no class."""
        if label == IGNORE_LABEL:
            return self.classes.ignore_index
        name = BACKGROUND if label in BACKGROUND_LABELS else label
        if name not in self.classes.names:
            raise ValueError(unknown("label", label, self.classes.names))
        return self.classes.names.index(name)

    def paints(self, annotation: Annotation) -> bool:
        """True if every shape's label is a class, the background, or not scored."""
        known = {*self.classes.names, *BACKGROUND_LABELS, IGNORE_LABEL}
        return all(shape.label in known for shape in annotation.shapes)

    def _background_class(self) -> int | None:
        return self.classes.names.index(BACKGROUND) if BACKGROUND in self.classes.names else None

    def _masks(self, pair: Pair, height: int, width: int) -> list[tuple[Shape, np.ndarray]]:
        annotation: Annotation = pair.label
        if annotation.size not in (None, (height, width)):
            raise DataError(
                f"{annotation.file}: says {annotation.size[1]}x{annotation.size[0]}, but its picture "
                f"{pair.picture.name} is {width}x{height}; they must be of one size"
            )
        masks = []
        for number, shape in enumerate(annotation.shapes, 1):
            where = f"{annotation.file}: shape {number} ('{shape.label}')"
            masks.append((shape, rasterise(shape, height, width, where)))
        return masks


def is_covered(annotation: Annotation) -> bool:
    """True if every pixel of an annotation's image has a shape, or if that cannot be told."""
    if not annotation.shapes:
        return False
    try:
        size = annotation.size or pictures.picture_info(annotation.picture)[:2]
        height, width = size
        if min(size) < 1 or height * width > pictures.get_max_pixels():
            return True
        covered = np.zeros((height, width), bool)
        for shape in annotation.shapes:
            covered |= rasterise(shape, height, width, str(annotation.file))
    except DataError:  # reading it will say so
        return True
    return bool(covered.all())


def require_near(shape: Shape, height: int, width: int, where: str) -> None:
    """Raise DataError for a shape that runs far outside of its image.

    Pillow walks along every edge, so a stray coordinate of 1e12 would take all time.
    """
    far = 2 * max(height, width)
    if any(abs(x - width / 2) > far or abs(y - height / 2) > far for x, y in shape.points):
        raise DataError(f"{where}: runs far outside the picture of {width}x{height}")


def rasterise(shape: Shape, height: int, width: int, where: str) -> np.ndarray:
    """(height, width) bool. `where` opens the message. Raises DataError."""
    require_near(shape, height, width, where)
    if shape.kind == "mask":
        return _place_mask(shape, height, width, where)
    require_pixels(np.array(shape.points), height, width, where)
    x, y = np.array(shape.points).T
    if shape.kind != "circle" and (max(x) < 0 or max(y) < 0 or min(x) >= width or min(y) >= height):
        raise DataError(f"{where}: no part of it lies inside the picture of {width}x{height}; correct it, or remove it")
    image = Image.new("L", (width, height))
    draw, points = ImageDraw.Draw(image), list(shape.points)
    if shape.kind == "circle":
        draw.ellipse(_disc(*points[0], math.dist(*points)), outline=1, fill=1)
    elif shape.kind == "point":
        draw.ellipse(_disc(*points[0], POINT_RADIUS), outline=1, fill=1)
    elif shape.kind == "rectangle":
        (x0, y0), (x1, y1) = points
        draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline=1, fill=1)
    elif shape.kind in ("line", "linestrip"):
        draw.line(points, fill=1, width=LINE_WIDTH)
    else:
        draw.polygon(points, outline=1, fill=1)
    return np.array(image, bool)


def _disc(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _place_mask(shape: Shape, height: int, width: int, where: str) -> np.ndarray:
    """The mask fills the box of its corners, both inclusive; one of the image's own size needs no box."""
    if isinstance(shape.mask, Path):
        values = pictures.read_raw(shape.mask).values
    else:
        values = pictures.decode_picture(shape.mask or b"", where)[:, :, 0]
    inside = values.reshape(*values.shape[:2], -1).any(axis=2)
    (left, top), (right, bottom) = ((int(x), int(y)) for x, y in shape.points)
    if inside.shape == (height, width):
        return inside
    fits = left >= 0 and top >= 0 and right < width and bottom < height
    if not fits or inside.shape != (bottom - top + 1, right - left + 1):
        raise DataError(
            f"{where}: a mask of {inside.shape[1]}x{inside.shape[0]} in the box from ({left}, {top}) to ({right}, "
            f"{bottom}) of a picture of {width}x{height}; they must fit"
        )
    whole = np.zeros((height, width), bool)
    whole[top : bottom + 1, left : right + 1] = inside
    return whole
