"""Write the LabelMe fixtures with labelme itself: its LabelFile saves, its shapes_to_label paints what is expected.

    python -m venv venv && venv/bin/pip install labelme==6.3.1
    QT_QPA_PLATFORM=offscreen venv/bin/python tests/data/labelme/make.py

labelme is no dependency of the tests: they read what this script wrote. The pictures are drawn here.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from labelme import LabelFile
from labelme.utils import img_arr_to_b64, shapes_to_label
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
SIZE = (96, 72)  # width, height
VALUES = {"_background_": 0, "cow": 1, "fence": 2, "grass": 3, "sky": 4, "__ignore__": 255}
MASK = np.add.outer(np.arange(12) - 6, np.arange(15) - 7) % 5 < 3  # (12, 15)


def shape(label: str, kind: str, points: list[list[float]], group: int | None = None, mask: Any = None) -> dict:
    """What labelme's window hands to LabelFile.save."""
    data = {"label": label, "points": points, "group_id": group, "description": "", "shape_type": kind}
    return {**data, "flags": {"occluded": True}, "mask": mask}


EVERY_KIND = [
    shape("sky", "rectangle", [[95.0, 30.5], [-0.4, 0.0]]),
    shape("grass", "polygon", [[0.0, 31.2], [50.7, 27.9], [95.0, 33.0], [95.0, 71.0], [0.0, 71.0]]),
    shape("cow", "polygon", [[10.2, 40.1], [30.9, 38.5], [33.3, 55.0], [20.0, 50.5], [9.5, 57.8]], group=1),
    shape("cow", "polygon", [[40.0, 41.0], [52.6, 44.4], [41.5, 53.2]], group=1),  # its half behind the post
    shape("cow", "circle", [[70.3, 52.6], [76.8, 57.1]], group=2),
    shape("cow", "circle", [[60.0, 20.0], [60.0, 24.0]]),
    shape("fence", "line", [[0.0, 62.0], [95.0, 66.5]]),
    shape("fence", "linestrip", [[36.0, 35.0], [37.5, 48.2], [34.1, 60.0]], group=2),  # another label, another object
    shape("cow", "point", [[88.4, 12.7]]),
    shape("cow", "oriented_rectangle", [[5.0, 10.0], [20.0, 5.0], [23.0, 14.0], [8.0, 19.0]]),
    shape("sky", "mask", [[70.0, 2.0], [84.0, 13.0]], mask=MASK),
    shape("__ignore__", "polygon", [[44.0, 0.0], [56.0, 0.0], [50.0, 12.0]]),
    shape("_background_", "rectangle", [[90.0, 60.0], [95.0, 71.0]]),
]
FEW = [
    shape("sky", "polygon", [[0, 0], [95, 0], [95, 20], [0, 40]]),
    shape("cow", "circle", [[40.5, 30.5], [52.0, 30.5]]),
    shape("cow", "circle", [[58.0, 36.0], [66.0, 36.0]]),  # another object, partly in front of the first
]


def picture(seed: int) -> Image.Image:
    """A slope of colour with some discs on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    image = Image.fromarray(np.stack([2 * x, 3 * y, 255 - x - y], axis=2).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for cx, cy, r in rng.integers([0, 0, 3], [*SIZE, 9], (6, 3)).tolist():
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def write(name: str, shapes: list[dict], image: Image.Image, suffix: str, embed: bool) -> None:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG" if suffix == ".jpg" else "PNG")
    if not embed:
        (HERE / "set" / f"{name}{suffix}").write_bytes(encoded.getvalue())
    saved = [{**s, "mask": None if s["mask"] is None else img_arr_to_b64(s["mask"].astype(np.uint8))} for s in shapes]
    file = HERE / "set" / f"{name}.json"
    LabelFile().save(
        filename=str(file),
        shapes=saved,
        image_path=f"{name}{suffix}",
        image_height=SIZE[1],
        image_width=SIZE[0],
        image_data=encoded.getvalue() if embed else None,
        flags={"checked": True},
    )
    classes, objects = shapes_to_label(SIZE[::-1], LabelFile(str(file)).shapes, VALUES)
    Image.fromarray(classes.astype(np.uint8)).save(HERE / "expected" / f"{name}_classes.png")
    Image.fromarray(objects.astype(np.uint8)).save(HERE / "expected" / f"{name}_objects.png")


if __name__ == "__main__":
    for folder in ("set", "expected"):
        (HERE / folder).mkdir(exist_ok=True)
    write("every_kind", EVERY_KIND, picture(0), ".png", embed=False)
    write("few", FEW, picture(1), ".jpg", embed=False)
    write("embedded", FEW, picture(2), ".png", embed=True)
    image = picture(3)
    image.putalpha(Image.linear_gradient("L").resize(SIZE))
    write("nothing", [], image, ".png", embed=True)
