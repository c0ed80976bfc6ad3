"""A small folder of images, and a client of the labelling page's application."""

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from foveate.server.guard import Launch
from foveate.studio.app import application
from foveate.studio.studio import Studio

HEIGHT, WIDTH = 300, 400
CLASSES = {"classes": [{"name": "sky"}, {"name": "road"}, {"name": "car"}], "unlabelled": "ignore"}


def write_pictures(folder, count=6, size=(HEIGHT, WIDTH), seed=0):
    """Images with a bright upper half and a dark lower one."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image = rng.integers(0, 60, (*size, 3), dtype=np.uint8)
        image[: size[0] // 2] += 150
        Image.fromarray(image).save(folder / f"IMG_{number}.png")
    return folder


class Page:
    """A client that has been let in, with the studio behind it."""

    def __init__(self, data, **given):
        self.studio = Studio(data, runs=given.pop("runs", data.parent / "runs"), **given)
        self.launch = Launch(8400)
        self.client = TestClient(application(self.studio, self.launch), base_url="http://127.0.0.1:8400")
        self.client.get(f"/?t={self.launch.token}")

    def get(self, path, **given):
        return self.client.get(f"/api/1{path}", **given)

    def put(self, path, body, revision=None):
        headers = {} if revision is None else {"If-Match": revision}
        return self.client.put(f"/api/1{path}", json=body, headers=headers)

    def post(self, path, body):
        return self.client.post(f"/api/1{path}", json=body)

    def id(self, name="IMG_0.png"):
        return next(p.id for p in self.studio.folder.pictures.values() if p.path.name == name)

    def file(self, name="IMG_0.png"):
        return self.studio.folder[self.id(name)].labels

    def with_classes(self, classes=CLASSES):
        answer = self.put("/classes", classes, self.get("/classes").headers["etag"])
        assert answer.status_code == 200, answer.text
        return self
