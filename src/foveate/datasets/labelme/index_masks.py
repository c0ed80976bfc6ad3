"""Index masks that are derived from LabelMe's JSON files, for tools that read PNG.

A mask has 8 bits and a palette, with the label of the class in each pixel and 255 where nothing is said, or 16 bits
where there are more than 255 classes. Its text chunk `foveate-source` is a digest of the shapes and the class list that
it was made from, so that one that is no longer true is found, and one that another tool wrote is not touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from foveate.datasets.classes import ClassList
from foveate.datasets.files import Pair, require_folder
from foveate.datasets.labelme import class_list
from foveate.datasets.labelme.json_files import list_json, read_shapes, require_labelme, stated_size
from foveate.datasets.labelme.shapes import BACKGROUND, BACKGROUND_LABELS, Annotation, LabelMeLabels
from foveate.datasets.text_files import read_json
from foveate.disk import atomic_write
from foveate.errors import DataError
from foveate.records import Problem

SOURCE, NAMES = "foveate-source", "foveate-classes"  # text chunks


def index_labels(listed: ClassList) -> LabelMeLabels:
    """The labels of a class list, as the reader of LabelMe files takes them for images with undecided pixels."""
    names = tuple(BACKGROUND if name in BACKGROUND_LABELS else name for name in listed.names)
    colors = listed.colors
    if listed.unlabelled != "ignore" and BACKGROUND not in names:
        names, colors = (BACKGROUND, *names), ((0, 0, 0), *colors) if colors else ()
    full = ClassList(names, colors, listed.ignore, listed.ignore_colors, listed.unlabelled, listed.more_ignored)
    background = names.index(BACKGROUND) if BACKGROUND in names and listed.unlabelled != "ignore" else None
    return LabelMeLabels(full.table(), background)


def source_digest(shapes: Iterable[dict[str, Any]], labels: LabelMeLabels) -> str:
    """The digest of all that a mask is made from."""
    made_from = {"shapes": list(shapes), "classes": labels.classes.to_json(), "background": labels.background}
    text = json.dumps(made_from, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def source_of(mask: Path) -> str | None:
    """The digest in a mask's file; '' in a file of another tool, None where there is no file."""
    try:
        with Image.open(mask) as image:
            return str(getattr(image, "text", {}).get(SOURCE, ""))
    except FileNotFoundError:
        return None
    except Exception:
        return ""


def write_index_mask(
    mask: Path, file: Path, shapes: list[dict[str, Any]], size: tuple[int, int], labels: LabelMeLabels
) -> bool:
    """Write the mask of a JSON file unless it is there already; True if it was written.

    Raises DataError for shapes that cannot be painted and for a mask of another tool in its place, OutputError.
    """
    digest, there = source_digest(shapes, labels), source_of(mask)
    if there == digest:
        return False
    if there == "":
        raise DataError(f"{mask}: was not derived from {file.name}, and is left alone; move it elsewhere")
    annotation = Annotation(file, file, tuple(read_shapes(file, shapes)))
    try:
        values = labels(Pair(file, annotation), *size)
    except ValueError as error:
        raise DataError(f"{file}: {error}; correct it there, or add it to the class list") from error
    note = PngInfo()
    note.add_text(SOURCE, digest)
    note.add_text(NAMES, json.dumps(labels.classes.names))
    with atomic_write(mask) as temporary:  # flushed, or a power cut could leave a file that is none of ours
        _image(values, labels).save(temporary, "PNG", pnginfo=note)
    return True


def _image(values: np.ndarray, labels: LabelMeLabels) -> Image.Image:
    if values.dtype != np.uint8:
        return Image.fromarray(values.astype(np.uint16))
    image = Image.fromarray(values)
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(labels.classes)] = labels.classes.colors
    image.putpalette(palette.reshape(-1).tolist())
    return image


def write_index_masks(root: Path) -> tuple[int, int, list[Problem]]:
    """Write the masks of all JSON files of a folder to its `labels`. -> (written, true already, those that could not).

    The files lie in the folder or in its `annotations`. Raises DataError for a folder without such files or without a
    class list.
    """
    require_folder(root)
    files = list_json(root) or list_json(root / "annotations")
    listed = class_list(root)
    if not files or listed is None:
        missing = "LabelMe files (*.json, or annotations/*.json)" if not files else "class list"
        raise DataError(f"{root}: no {missing}; index masks need both, so that a class has one number in all of them")
    labels = index_labels(listed)
    written, problems = 0, []
    for file in files:
        try:
            data = read_json(file)
            require_labelme(file, data)
            size = stated_size(data)
            if size is None:
                raise DataError(f"{file}: no imageHeight and imageWidth; add them")
            written += write_index_mask(root / "labels" / f"{file.stem}.png", file, data["shapes"], size, labels)
        except DataError as error:
            problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
    return written, len(files) - written - len(problems), problems
