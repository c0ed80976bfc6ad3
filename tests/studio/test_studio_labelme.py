"""Labelme's own reader and writer on files of the studio. They need an environment of their own: make test-labelme."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from labelling import HEIGHT, WIDTH, Page
from PIL import Image

from foveate.datasets.labelme.json_files import read_shapes
from foveate.datasets.labelme.shapes import rasterise
from foveate.studio.document import parse
from foveate.studio.tiles import tiles_to_json

PYTHON = os.environ.get("FOVEATE_LABELME")
pytestmark = pytest.mark.skipif(not PYTHON, reason="FOVEATE_LABELME names no Python that has labelme")
SIDE = Path(__file__).with_name("labelme_side.py")
KINDS = ("polygon", "rectangle", "circle", "line", "linestrip", "point", "oriented_rectangle", "mask")


def labelme(folder: Path, out: Path) -> None:
    """Let labelme open every label file of a folder, and write it again."""
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [PYTHON, SIDE, folder, out], capture_output=True, text=True,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def painted(rng: np.random.Generator) -> dict:
    """Labels as a page sends them: painted objects, some of one group, beside outlines."""
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    objects = []
    for number in range(1, 6):
        y, x = int(rng.integers(0, HEIGHT - 60)), int(rng.integers(0, WIDTH - 60))
        paint[y : y + 60, x : x + 60][rng.random((60, 60)) < 0.7] = number
        label = ("sky", "road", "car")[number % 3]
        objects.append({"number": number, "label": label, "group": 7 if number > 3 else None, "flags": {"far": True}})
    points = [[float(x), float(y)] for x, y in rng.uniform(0, (WIDTH - 1, HEIGHT - 1), (5, 2)).round(1)]
    outline = {
        "key": "a", "label": "road", "shape_type": "polygon", "points": points, "group": 3, "flags": {},
        "description": "by hand",
    }  # fmt: skip
    return {"objects": objects, "outlines": [outline], "tiles": tiles_to_json(paint), "state": "draft", "seconds": 12.5}


def test_labelme_opens_what_the_studio_writes_and_the_studio_what_labelme_writes(photos, tmp_path):
    page = Page(photos).with_classes()
    rng = np.random.default_rng(0)
    before = {}
    for picture in page.studio.folder.pictures.values():
        url = f"/pictures/{picture.id}/labels"
        answer = page.put(url, painted(rng), '"none"')
        assert answer.status_code == 200, answer.text
        content = picture.labels.read_bytes()
        before[picture.id] = (json.loads(content), parse(picture.labels, content, HEIGHT, WIDTH))
    labelme(photos, tmp_path / "out")
    for picture in page.studio.folder.pictures.values():
        content = picture.labels.read_bytes()
        written, read = json.loads(content), parse(picture.labels, content, HEIGHT, WIDTH)
        data, document = before[picture.id]
        assert "foveate" in data and written["foveate"] == data["foveate"], "our own key outlasts labelme"
        assert written["version"] != data["version"] and written["imageHeight"] == HEIGHT
        np.testing.assert_array_equal(read.layers.paint, document.layers.paint)
        for what in ("objects", "outlines"):
            assert read.to_json()[what] == document.to_json()[what]
        assert page.get(f"/pictures/{picture.id}/labels").json()["state"] == "draft"
        theirs = np.load(tmp_path / "out" / f"{picture.labels.stem}.npy")
        ours = [rasterise(s, HEIGHT, WIDTH, "here") for s in read_shapes(picture.labels, written["shapes"])]
        np.testing.assert_array_equal(theirs, np.array(ours))
    page.studio.close()


def test_labelme_writing_between_two_saves_is_seen_and_both_versions_are_kept(photos, tmp_path):
    page = Page(photos).with_classes()
    url, rng = f"/pictures/{page.id()}/labels", np.random.default_rng(1)
    etag = page.put(url, painted(rng), '"none"').headers["etag"]
    labelme(photos, tmp_path / "out")
    theirs = page.file().read_bytes()
    mine = painted(rng)
    answer = page.put(url, mine, etag)
    assert answer.status_code == 412 and "another program" in answer.json()["detail"]
    assert page.file().read_bytes() == theirs
    (kept,) = (photos / ".foveate").glob("IMG_0.json.mine-*")
    assert len(json.loads(kept.read_text())["shapes"]) >= 5
    again = page.put(url, mine | {"over": True}, answer.headers["etag"])
    assert again.status_code == 200
    (lost,) = (photos / ".foveate").glob("IMG_0.json.theirs-*")
    assert lost.read_bytes() == theirs
    page.studio.close()


def drawn(kind: str, rng: np.random.Generator) -> dict:
    """A shape of a kind, as labelme keeps it; partly off the picture."""
    count = {"polygon": 6, "linestrip": 5, "point": 1, "oriented_rectangle": 4}.get(kind, 2)
    points = rng.uniform((-9, -9), (WIDTH + 9, HEIGHT + 9), (count, 2)).round(2)
    points[0] = np.clip(points[0], 0, (WIDTH - 1, HEIGHT - 1))  # one that lies off altogether is refused
    mask = None
    if kind == "oriented_rectangle":
        corner, (u, v) = points[0], rng.uniform(5, 60, 2)
        a = rng.uniform(0, np.pi)
        along, across = u * np.array([np.cos(a), np.sin(a)]), v * np.array([-np.sin(a), np.cos(a)])
        points = np.array([corner, corner + along, corner + along + across, corner + across])
    elif kind == "mask":
        w, h = int(rng.integers(3, 60)), int(rng.integers(3, 60))
        x, y = int(rng.integers(0, WIDTH - w)), int(rng.integers(0, HEIGHT - h))
        points = np.array([[x, y], [x + w - 1, y + h - 1]], float)
        file = io.BytesIO()
        Image.fromarray((rng.random((h, w)) < 0.5).astype(np.uint8)).save(file, "PNG")
        mask = base64.b64encode(file.getvalue()).decode()
    return {"label": "sky", "points": points.tolist(), "group_id": None, "description": "", "shape_type": kind,
            "flags": {}, "mask": mask}  # fmt: skip


def test_fifty_shapes_of_every_kind_have_labelmes_pixels(tmp_path):
    rng = np.random.default_rng(2)
    folder = tmp_path / "set"
    folder.mkdir()
    for kind in KINDS:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{kind}.png")
        about = {"imagePath": f"{kind}.png", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        content = {"version": "6.3.1", "flags": {}, "shapes": [drawn(kind, rng) for _ in range(50)], **about}
        (folder / f"{kind}.json").write_text(json.dumps(content))
    labelme(folder, tmp_path / "out")
    for kind in KINDS:
        file = folder / f"{kind}.json"
        ours = [rasterise(s, HEIGHT, WIDTH, "here") for s in read_shapes(file, json.loads(file.read_text())["shapes"])]
        theirs = np.load(tmp_path / "out" / f"{kind}.npy")
        assert len(ours) == 50 and theirs.any()
        differ = [i for i, (one, other) in enumerate(zip(ours, theirs, strict=True)) if (one != other).any()]
        assert differ == [], kind
