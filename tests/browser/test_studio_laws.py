"""Laws of the label page's modules, run inside Chromium: codecs, pixels, undo, view, keys, journal."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foveate
from foveate.datasets.labelme.shapes import Shape, rasterise

pytestmark = pytest.mark.browser

STATIC = Path(foveate.__file__).parent / "studio" / "static"
CALL = """
    const [name, given, done] = arguments;
    import('/laws.js').then(async laws => done({found: await laws[name](...JSON.parse(given))}))
        .catch(error => done({error: `${error.name}: ${error.message}\\n${error.stack}`}));
"""


@pytest.fixture(scope="module")
def laws(browser, serve, tmp_path_factory) -> Iterator[Callable[..., Any]]:
    """laws(name, ...): what a function of js/laws.js returns."""
    folder = tmp_path_factory.mktemp("laws")
    (folder / "static").symlink_to(STATIC)
    shutil.copy(Path(__file__).with_name("js") / "laws.js", folder)
    browser.set_script_timeout(120)

    with serve(folder) as address:
        browser.get(address)

        def call(name: str, *given: Any) -> Any:
            answer = browser.execute_async_script(CALL, name, json.dumps(given))
            assert "error" not in answer, answer["error"]
            return answer["found"]

        yield call


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number % 128 + 128]), number // 128
    return out + bytes([number])


def runs(values: np.ndarray) -> bytes:
    """The codec again, from its definition."""
    if not len(values):
        return b""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    return b"".join(varint(int(values[s])) + varint(int(n)) for s, n in zip(starts, lengths, strict=True))


def unpacked(text: str, size: int) -> np.ndarray:
    data, values, at = base64.b64decode(text), [], 0
    numbers = []
    while at < len(data):
        number, shift = 0, 0
        while True:
            byte, at = data[at], at + 1
            number, shift = number | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        numbers.append(number)
    for value, length in zip(numbers[::2], numbers[1::2], strict=True):
        values += [value] * length
    assert len(values) == size
    return np.array(values)


def test_runs_are_those_of_the_definition(laws):
    rng = np.random.default_rng(1)
    lists = [np.repeat(rng.choice([0, 1, 127, 128, 16384, 65535], 40), rng.integers(1, 300, 40)) for _ in range(40)]
    lists += [rng.integers(0, 65536, 500), np.zeros(65536, int), np.array([7])]
    for values, (text, again) in zip(lists, laws("runs", [one.tolist() for one in lists]), strict=True):
        assert base64.b64decode(text) == runs(values)
        assert again == values.tolist()


def test_runs_that_do_not_fill_a_tile_are_refused(laws):
    cases = [([1, 3], 4), ([1, 5], 4), ([1, 0, 1, 4], 4), ([1], 4), ([128], 4), ([128] * 8, 4), ([128, 128, 4, 4], 4)]
    said = laws("refusals", cases)
    assert said[0] == "RangeError: runs fill 3 of 4 pixels"
    assert said[1] == "RangeError: a run of 5 at pixel 0 of a tile of 4"
    assert said[2] == "RangeError: a run of 0 at pixel 0 of a tile of 4"
    assert said[3] == said[4].replace("byte 1", "byte 1") == "RangeError: runs end within a number at byte 1"
    assert said[5] == "RangeError: a number of more than 5 bytes at byte 5"
    assert said[6] == "RangeError: value 65536; values are 0 to 65535"


def polygon_cases() -> list[dict]:
    rng = np.random.default_rng(2)
    cases = []
    for number in range(600):
        width, height = int(rng.integers(4, 90)), int(rng.integers(4, 70))
        count = int(rng.integers(3, 9))
        points = rng.random((count, 2)) * (width, height)
        if number % 3 == 1:
            points = np.round(points)  # many horizontal, vertical and coincident edges
        elif number % 3 == 2:
            points = points * 1.6 - (0.3 * width, 0.3 * height)  # beyond the border
        if number % 7 == 0:
            points[1::2, 1] = points[: len(points[1::2]), 1]
        if number % 11 == 0:
            points = np.vstack([points, points[:1]])
        if number % 13 == 0:
            points[1] = points[0]
        cases.append({"points": np.round(points, 2).tolist(), "width": width, "height": height})
    needles = [
        [[2, 2], [60, 3], [2, 4]],
        [[2, 30], [60, 28], [60, 29]],
        [[5, 5], [5, 5], [5, 5]],
        [[1, 9], [40, 9], [20, 9]],
    ]
    return cases + [{"points": points, "width": 64, "height": 40} for points in needles]


def test_polygons_have_the_pixels_that_the_reader_gives_them(laws):
    cases = polygon_cases()
    different = []
    for case, text in zip(cases, laws("polygons", cases), strict=True):
        size = case["height"], case["width"]
        shape = Shape("x", "polygon", tuple(map(tuple, case["points"])))
        expected = rasterise(shape, *size, "here")
        found = unpacked(text, size[0] * size[1]).reshape(size).astype(bool)
        if not np.array_equal(found, expected):
            different.append((int((found != expected).sum()), case))
    assert different == []


def test_a_stroke_holds_the_pixels_whose_centres_are_near_its_line(laws):
    assert laws("strokes", 120) == []
    assert laws("brushAreas") == [1, 4, 9, 12, 21, 32]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_undo_takes_back_and_redo_does_again(laws, seed):
    found = laws("history", seed, 40)
    assert found["steps"] > 20
    assert found["undone"] == found["redone"] == found["steps"]
    assert found["cancelled"] and found["anew"]


def test_the_history_is_bounded_by_bytes(laws):
    found = laws("bounds", 100, [40, 40, 40, 10])
    assert found == {"length": 3, "back": 3, "bytes": 1, "dropped": 1, "redo": None}
    assert laws("bounds", 100, [10, 500])["length"] == 1, "a step of any size can be taken back"


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_outlines_that_become_paint_look_the_same(laws, seed):
    found = laws("flattening", seed)
    assert found["same"] and found["flattened"] > 0 and found["left"] == found["made"] - found["flattened"]


def test_tiles_are_a_map(laws):
    assert [laws("tiles", seed) for seed in range(8)] == [True] * 8


def test_the_view_keeps_the_point_under_the_pointer(laws):
    found = laws("views")
    assert found["inverse"] < 1e-6 and found["fixed"] < 1e-6
    assert found["insight"] and found["low"] == 0.05 and found["high"] == 32


def test_keys_have_one_action_each_and_can_be_changed(laws):
    found = laws("keys")
    assert found["names"] == ["Ctrl+Shift+Z", "Ctrl+Z", "?", "Space", "1", "Shift+D", "Shift+ArrowLeft", "Ctrl+Enter"]
    assert found["doubled"] == []
    assert found["said"] == [
        "P is the key of “Polygon”; press another key, or change that one first",
        "Ctrl+W belongs to the browser; press another key",
        "this key cannot be changed",
        "",
    ]
    assert found["kept"] == ["tool-brush", None]
    assert found["reset"] == [None, "tool-brush", "tool-brush"]


def test_a_traced_line_keeps_its_way(laws):
    found = laws("simplified", 1.5)
    assert found["ends"] and found["distance"] <= 1.5 + 1e-9 and 4 < found["kept"] < 100


def test_other_shapes_look_as_the_reader_paints_them(laws):
    """Rectangles are exact; of circles, lines and points the page shows nearly the pixels, and asks for them."""
    rng = np.random.default_rng(4)
    kinds = {"rectangle": 2, "oriented_rectangle": 4, "circle": 2, "point": 1, "line": 2, "linestrip": 4}
    cases = [
        {
            "kind": kind,
            "points": (rng.random((count, 2)) * (150, 110) + 5).round(2).tolist(),
            "width": 160,
            "height": 120,
        }
        for kind, count in kinds.items()
        for _ in range(12)
    ]
    cases.append({"kind": "rectangle", "points": [[-9, -9], [200, 180]], "width": 160, "height": 120})
    for case, text in zip(cases, laws("shapes", cases), strict=True):
        found = unpacked(text, 160 * 120).reshape(120, 160).astype(bool)
        expected = rasterise(Shape("x", case["kind"], tuple(map(tuple, case["points"]))), 120, 160, "here")
        iou = (found & expected).sum() / (found | expected).sum()
        # A point is a disc of some 90 pixels, of which half a pixel along its rim is a sixth.
        least = {"rectangle": 1, "oriented_rectangle": 1, "point": 0.75}.get(case["kind"], 0.85)
        assert iou >= least, case


def test_ticks_are_round_and_hold_the_range(laws):
    for (low, high), found in zip(
        [(0, 1), (0.31, 0.34), (5, 5), (-3, 900)], laws("ticks", [[0, 1], [0.31, 0.34], [5, 5], [-3, 900]]), strict=True
    ):
        assert found[0] <= low and found[-1] >= high and 3 <= len(found) <= 7
    assert laws("ticks", [[0, 1]])[0] == pytest.approx([0, 0.5, 1])


def test_the_journal_keeps_what_is_not_acknowledged(laws):
    first, elsewhere, images, none, both, again, gone, rest = laws("journal")
    assert first == [[2, "a", ["0,0", 1, 4], ["1,0", 3, 4]]], "of the page that is gone alone"
    assert elsewhere == [] and images == ["00ff"] and none == []
    mended = [3, "b", ["0,0", 0, 4], ["1,0", 3, 4]]
    assert both == [[4, "a", ["0,0", 7, 4]], mended], "tiles of two pages are not mixed, and acknowledged ones are kept"
    assert again == [mended] and gone == []
    assert rest == [True], "what this page wrote is its own"
