"""A disk that is really full: every change is refused with its reason, and nothing is lost or half written."""

import json
import shutil

import numpy as np
from labelling import CLASSES, HEIGHT, WIDTH, Page

from foveate.studio.tiles import tiles_to_json


def body(value, **more):
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[:100, : 50 * value] = value
    objects = [{"number": value, "label": "sky"}]
    return {"objects": objects, "outlines": [], "tiles": tiles_to_json(paint), "state": "done"} | more


def test_nothing_is_lost_and_all_is_said(small_disk, photos):
    folder = small_disk.path / "photos"
    shutil.copytree(photos, folder)
    page = Page(folder, runs=small_disk.path / "runs").with_classes()
    url = f"/pictures/{page.id()}/labels"
    saved = page.put(url, body(1), '"none"')
    texts = f"/pictures/{page.id()}/texts"
    assert page.put(texts, {"captions": ["one"]}, page.get(texts).headers["etag"]).status_code == 200
    assert saved.status_code == 200 and page.studio.store.masks.wait()
    small_disk.fill()

    def files():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.stat().st_size}

    before = files()
    etag = saved.headers["etag"]
    other = next(p for p in page.studio.folder.pictures.values() if p.id != page.id())
    several = {"classes": [*CLASSES["classes"], {"name": "tree"}], "unlabelled": "ignore"}
    for answer in (
        page.put(url, body(2), etag),
        page.put(f"/pictures/{other.id}/labels", body(2), '"none"'),
        page.put(url, body(3), '"stale"'),
        page.put(texts, {"captions": ["two"]}, page.get(texts).headers["etag"]),
        page.put("/classes", several, page.get("/classes").headers["etag"]),
        page.post(f"/pictures/{page.id()}/versions", body(2)),
        page.post("/jobs", {"kind": "prelabel"}),
    ):
        if answer.request.url.path.endswith("jobs"):
            assert answer.status_code in (404, 507), answer.text
            continue
        assert answer.status_code == 507 and answer.json()["code"] == "disk", answer.text
        assert "No space left on device; free some space" in answer.json()["detail"]
    assert files() == before, "neither a changed nor an unfinished file"
    small_disk.free()
    again = page.put(url, body(2), etag)
    assert again.status_code == 200
    assert page.studio.store.masks.wait() and not page.studio.store.masks.problems
    (shape,) = json.loads(page.file().read_text())["shapes"]
    assert shape["label"] == "sky" and [shape["points"][1][0], shape["points"][1][1]] == [99, 99]
    page.studio.close()
