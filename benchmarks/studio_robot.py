"""A robot that labels through the API of a studio, and knows the truth: what it clicks, and where it draws."""

from __future__ import annotations

import http.cookiejar
import json
import time
import urllib.request
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as connected
from skimage.graph import MCP_Geometric

from foveate.studio.tiles import TILE, tiles_from_json

GOAL, MOST_CLICKS, MOST_STROKES = 0.85, 20, 60
SHARES = (0.82, 0.93, 0.957)
THINNEST = 5  # pixels of a scribble: a fifth of the brush that the page begins with
DIAMETERS = (4, 6, 9, 14, 21, 32, 48, 72, 108)
EIGHT = np.ones((3, 3))

Point = tuple[int, int]


class Studio:
    """The API of a studio, as its page uses it."""

    def __init__(self, address: str) -> None:
        self.origin = address.partition("/?")[0]
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self.opener.open(address).read()
        listed = self.ask("GET", "pictures?limit=1000")["pictures"]
        self.ids = {one["name"]: one["id"] for one in listed}

    def ask(self, method: str, path: str, body: Any = None, etag: str = "") -> Any:
        headers = {"Content-Type": "application/json"} | ({"If-Match": etag} if etag else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}/api/1/{path}", data, headers, method=method)
        with self.opener.open(request, timeout=600) as answer:
            return json.loads(answer.read())

    def tool(self, name: str, tool: str, shape: tuple[int, int], body: Any) -> np.ndarray:
        """The answer of box-cut or scribble-fill on a picture, (H, W)."""
        return whole(self.ask("POST", f"pictures/{self.ids[name]}/{tool}", body)["tiles"], shape)

    def job(self, body: Any) -> Any:
        """Start a job, and wait for its end."""
        job = self.ask("POST", "jobs", body)
        while job["state"] == "running":
            time.sleep(1)
            job = self.ask("GET", f"jobs/{job['id']}")
        if job["state"] != "done":
            raise SystemExit(f"{job['command']}: {job['state']}, {job['message']}")
        return job


def whole(tiles: Any, shape: tuple[int, int]) -> np.ndarray:
    """Tiles of the API as a map, (H, W)."""
    found = np.zeros(shape, np.uint16)
    for (x, y), tile in tiles_from_json(tiles, *shape).items():
        found[y * TILE : y * TILE + tile.shape[0], x * TILE : x * TILE + tile.shape[1]] = tile
    return found


def middle(part: np.ndarray) -> Point:
    """(x, y) of the pixel of a part that is farthest from its border."""
    y, x = np.unravel_index(distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1].argmax(), part.shape)
    return int(x), int(y)


def largest(wrong: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    parts, _ = connected(wrong, EIGHT)
    return parts == 1 + np.bincount(parts.reshape(-1))[1:].argmax()


def largest_wrong(labels: np.ndarray, truth: np.ndarray) -> tuple[int, np.ndarray]:
    """The class of the largest part whose labels are wrong, and its pixels."""
    found = [
        (c, largest(wrong)) for c in np.unique(truth[truth != 255]) if (wrong := (truth == c) & (labels != c)).any()
    ]
    label, part = max(found, key=lambda one: one[1].sum())
    return int(label), part


def along(core: np.ndarray) -> list[Point]:
    """A way through the largest part of a core, between two of its ends: points (x, y)."""
    costs = np.where(largest(core), 1.0, -1.0)
    end = np.argwhere(costs > 0)[0]
    for _ in range(2):  # the pixel that is farthest from any one is an end; that farthest from it is the other
        paths = MCP_Geometric(costs)
        distances, _ = paths.find_costs([end])
        end = np.unravel_index(np.where(np.isfinite(distances), distances, -1).argmax(), core.shape)
    return [(int(x), int(y)) for y, x in paths.traceback(end)]


def scribble(label: int, part: np.ndarray) -> dict[str, Any]:
    """A line through the middle of a part, half as thick as the part."""
    depth = distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    width = max(THINNEST, round(float(depth.max())))
    return {"number": label + 1, "points": along(depth >= depth.max() / 2), "width": width}


def brush(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The labels after one stroke of the brush."""
    label, part = largest_wrong(labels, truth)
    allowed = (truth == label) | (truth == 255)
    depth = distance_transform_edt(np.pad(allowed, 1, constant_values=True))[1:-1, 1:-1]
    best, most = labels, -truth.size
    for diameter in DIAMETERS:
        core = part & (depth >= min(diameter / 2, float(depth[part].max())))
        line = np.ones(truth.shape, bool)
        for x, y in along(core):
            line[y, x] = False
        stroke = distance_transform_edt(line) <= diameter / 2
        after = np.where(stroke, label, labels)
        if (gain := right(after, truth) - right(labels, truth)) > most:
            best, most = after, gain
    return best


def right(labels: np.ndarray, truth: np.ndarray) -> int:
    return int(((labels == truth) & (truth != 255)).sum())


def share(labels: np.ndarray, truth: np.ndarray) -> float:
    return right(labels, truth) / int((truth != 255).sum())


def clicks(studio: Studio, name: str, truth: np.ndarray) -> tuple[int, bool]:
    """Clicks after the box until IoU is 0.85, and whether that was reached."""
    rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    add: list[Point] = []
    remove: list[Point] = []
    for count in range(MOST_CLICKS + 1):
        found = studio.tool(name, "cut", truth.shape, {"box": box, "add": add, "remove": remove}) > 0
        if (found & truth).sum() >= GOAL * (found | truth).sum():
            return count, True
        part = largest(found != truth)
        at = middle(part)
        (add if truth[at[1], at[0]] else remove).append(at)
    return MOST_CLICKS, False


def scribbles(studio: Studio, name: str, truth: np.ndarray) -> dict[float, int]:
    """Share of right pixels -> scribbles that reached it."""
    classes = sorted(np.unique(truth[truth != 255]), key=lambda c: -(truth == c).sum())
    lines = [scribble(int(c), largest(truth == c)) for c in classes]
    labels = np.full(truth.shape, -1)
    reached: dict[float, int] = {}
    for count in range(2, MOST_STROKES + 1):
        if count > len(lines):
            lines.append(scribble(*largest_wrong(labels, truth)))
        labels = studio.tool(name, "fill", truth.shape, {"scribbles": lines[:count]}).astype(int) - 1
        for goal in SHARES:
            if share(labels, truth) >= goal:
                reached.setdefault(goal, count)
        if len(reached) == len(SHARES):
            break
    return {goal: reached.get(goal, MOST_STROKES) for goal in SHARES}


def strokes(labels: np.ndarray, truth: np.ndarray) -> dict[float, int]:
    """Share of right pixels -> strokes of the brush that reached it."""
    reached: dict[float, int] = {}
    for count in range(MOST_STROKES + 1):
        for goal in SHARES:
            if share(labels, truth) >= goal:
                reached.setdefault(goal, count)
        if len(reached) == len(SHARES):
            break
        labels = brush(labels, truth)
    return {goal: reached.get(goal, MOST_STROKES) for goal in SHARES}
