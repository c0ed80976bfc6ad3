"""Files of predicted objects: numbers, LabelMe polygons, GeoJSON, COCO JSON, and tables of measurements.

Shapes: an image of H x W pixels, N objects.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from skimage.measure import regionprops_table

from foveate.disk import atomic_write
from foveate.labels.labelme import annotation, shapes_of
from foveate.pictures import Windows
from foveate.pictures.fitting import shrink
from foveate.pictures.ground import placement
from foveate.records import InstancePrediction, Instances
from foveate.tasks.base import Sample, Writer
from foveate.tasks.instances.figures import LONGEST, draw_objects
from foveate.tasks.instances.geojson import write_geojson

OBJECT_COLUMNS = (
    "image", "object", "class", "score", "area", "left", "top", "right", "bottom", "centroid_x", "centroid_y",
    "perimeter", "eccentricity", "mean_intensity",
)  # fmt: skip
MOST_IN_PNG = 65535  # the largest number of 16 bits
ENDINGS = (".png", "_objects.tif", ".json", "_overlay.jpg", ".geojson")  # of `object_files`
IMAGE_COLUMNS = ("image", "objects", "area_share", "area_mean", "area_median")


def objects_record(prediction: InstancePrediction) -> dict[str, Any]:
    """The found objects' part of an entry in predictions.json: their number, and class, score, box and area of each."""
    found = prediction.found
    objects = [
        {
            "class": prediction.classes.names[label],
            "score": round(float(score), 4),
            "box": [round(float(v), 2) for v in box],
            "area": int(area),
        }
        for label, score, box, area in zip(found.labels, found.scores, found.boxes, found.areas, strict=True)
    ]
    return {"count": len(found), "objects": objects} | ({"note": prediction.note} if prediction.note else {})


def object_files(prediction: InstancePrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
    """The files of one image's objects: key -> (end of the name, what writes it); see `Task.files`.

    Numbers as a PNG, or above 65535 objects as a TIFF; LabelMe polygons; contours over the image; and GeoJSON for an
    image with a place on the ground.
    """

    def write_overlay(path: Path) -> None:
        drawn = draw_objects(shrink(sample["image"], LONGEST), prediction.found, prediction.classes)
        Image.fromarray(drawn).save(path, format="JPEG", quality=92)

    numbers = ".png" if len(prediction.found) <= MOST_IN_PNG else "_objects.tif"
    files: dict[str, tuple[str, Writer]] = {
        "objects_png" if numbers == ".png" else "objects_tiff": (
            numbers, lambda path: write_numbers(prediction.found, path)
        ),
        "labelme": (".json", lambda path: write_labelme(prediction, prediction.name, path)),
        "overlay": ("_overlay.jpg", write_overlay),
    }  # fmt: skip
    ground = getattr(sample["image"], "ground", None)
    if ground is not None and (place := placement(ground)) is not None:
        files["geojson"] = (".geojson", lambda path: write_geojson(prediction, place, path))
    return files


def write_numbers(objects: Instances, path: Path) -> None:
    """Write the object numbers, 0 background, k object k: a 16-bit PNG, or above 65535 objects a 32-bit TIFF."""
    if len(objects) > MOST_IN_PNG:
        tifffile.imwrite(path, objects.numbers().astype(np.uint32), photometric="minisblack", compression="zlib")
    else:
        Image.fromarray(objects.numbers().astype(np.uint16)).save(path, format="PNG")


def write_labelme(prediction: InstancePrediction, image: str, path: Path) -> None:
    """Write the objects as LabelMe's shapes, one for each part of an object, its number as group_id.

    A part is a polygon, or a mask where it has a hole. image: the image's file name.
    """
    objects = prediction.found
    shapes = [
        shape | {"group_id": k + 1}
        for k in range(len(objects))
        for shape in shapes_of(objects, k, prediction.classes.names[int(objects.labels[k])])
    ]
    content = annotation(image, objects.size, shapes)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class Tables:
    """Tables of all objects of one call: objects.csv, images.csv and objects.json in COCO's form.

    Lengths are multiplied by a prediction's `pixel_size`, areas by its square; boxes and centroids stay in pixels.
    With several classes images.csv has the number of objects of each.
    """

    def __init__(self, classes: Any) -> None:
        self.classes = classes
        self.class_columns = [f"objects: {name}" for name in classes.names] if len(classes) > 1 else []
        self.objects: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.sizes: list[tuple[int, int]] = []

    def add(self, name: str, prediction: InstancePrediction, sample: Sample) -> None:
        """Take in the objects of one image."""
        found = prediction.found
        height, width = found.size
        number, areas = len(self.images) + 1, found.areas
        rows = measure(found, sample["image"], prediction.pixel_size)
        for k, row in enumerate(rows):
            label = int(found.labels[k])
            self.objects.append(
                {
                    "image": name,
                    "object": k + 1,
                    "class": self.classes.names[label],
                    "score": round(float(found.scores[k]), 4),
                }
                | row
            )
            left, top, right, bottom = (float(v) for v in found.boxes[k])
            mask = found.masks[k]
            self.annotations.append({
                "id": len(self.annotations) + 1, "image_id": number, "category_id": label + 1,
                "bbox": [left, top, right - left, bottom - top], "area": int(areas[k]), "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": mask["counts"].decode()},
                "score": round(float(found.scores[k]), 4),
            })  # fmt: skip
        covered = int(np.count_nonzero(found.numbers()))
        sizes = np.array([row["area"] for row in rows])
        self.images.append({
            "image": name, "objects": len(found), "area_share": round(covered / (height * width), 6),
            "area_mean": round(float(sizes.mean()), 4) if len(sizes) else "",
            "area_median": round(float(np.median(sizes)), 4) if len(sizes) else "",
            **{column: int((found.labels == k).sum()) for k, column in enumerate(self.class_columns)},
        })  # fmt: skip
        self.sizes.append((height, width))

    def write(self, folder: Path) -> None:
        """Write the tables; nothing without an image."""
        if not self.images:
            return
        for file, columns, rows in (
            ("objects.csv", OBJECT_COLUMNS, self.objects),
            ("images.csv", (*IMAGE_COLUMNS, *self.class_columns), self.images),
        ):
            with atomic_write(folder / file) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        content = {
            "images": [
                {"id": k + 1, "file_name": row["image"], "height": h, "width": w}
                for k, (row, (h, w)) in enumerate(zip(self.images, self.sizes, strict=True))
            ],
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(self.classes.names)],
            "annotations": self.annotations,
        }
        with atomic_write(folder / "objects.json") as temporary:
            temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def measure(objects: Instances, image: Windows, pixel_size: float = 1.0) -> list[dict[str, Any]]:
    """Return area, box, centroid, perimeter, eccentricity and mean intensity of each object.

    image: read around each object; the intensity is the mean over its pixels and channels, in the image's own range.
    """
    rows = []
    for k in range(len(objects)):
        (left, top, right, bottom), part = objects.part(k)
        pixels = image.read(top, left, bottom - top, right - left).reshape(bottom - top, right - left, -1).mean(2)
        names = ("area", "centroid", "perimeter", "eccentricity", "mean_intensity")
        table = regionprops_table(part.astype(np.uint8), pixels, properties=names)
        found = {name: float(values[0]) for name, values in table.items()}
        rows.append({
            "area": _rounded(found["area"] * pixel_size**2), "left": left, "top": top, "right": right, "bottom": bottom,
            "centroid_x": _rounded(found["centroid-1"] + left + 0.5),
            "centroid_y": _rounded(found["centroid-0"] + top + 0.5),
            "perimeter": _rounded(found["perimeter"] * pixel_size), "eccentricity": _rounded(found["eccentricity"]),
            "mean_intensity": _rounded(found["mean_intensity"]),
        })  # fmt: skip
    return rows


def _rounded(value: float) -> float:
    return round(value, 4)
