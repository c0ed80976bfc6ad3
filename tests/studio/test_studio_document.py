"""LabelMe files as layers and back: what the page shows is what the reader of LabelMe files paints."""

import json
from pathlib import Path

import numpy as np
import pytest

from foveate.datasets.files import Pair
from foveate.datasets.labelme.json_files import read_shapes
from foveate.datasets.labelme.shapes import Annotation, LabelMeLabels
from foveate.errors import DataError
from foveate.records import ClassTable
from foveate.studio.document import RefusedError, edit, fresh, parse
from foveate.studio.layers import encode_mask, flatten, layers_of
from foveate.studio.tiles import tiles_to_json

FILE, HEIGHT, WIDTH = Path("a.json"), 60, 300  # two tiles
NAMES = ("sky", "road", "car")
LABELS = LabelMeLabels(ClassTable(NAMES), None)


def painted(shapes):
    """The label map that training reads."""
    annotation = Annotation(FILE, FILE, tuple(read_shapes(FILE, shapes)))
    return LABELS(Pair(FILE, annotation), HEIGHT, WIDTH)


def shown(layers):
    """The label map that the page shows: the paint, and the outlines over it."""
    number_of = np.full(65536, 255)
    for number, one in layers.objects.items():
        number_of[number] = LABELS.value(one.entry["label"])
    below = number_of[layers.paint].astype(np.uint8)
    outlines = list(layers.outlines.values())
    above = painted(outlines)
    covered = LabelMeLabels(ClassTable(("any",)), None)(
        Pair(FILE, Annotation(FILE, FILE, tuple(read_shapes(FILE, [{**o, "label": "any"} for o in outlines])))),
        HEIGHT,
        WIDTH,
    )
    return np.where(covered == 0, above, below)


def random_shapes(rng, count):
    """Shapes of several kinds that overlap, with keys of other tools."""
    shapes = []
    for number in range(count):
        kind = str(rng.choice(["polygon", "mask", "rectangle", "circle", "linestrip"]))
        shape = {"label": str(rng.choice([*NAMES, "__ignore__"])), "group_id": None, "shape_type": kind, "flags": {}}
        if kind == "mask":
            x, y = int(rng.integers(200, WIDTH - 40)), int(rng.integers(0, HEIGHT - 20))
            w, h = int(rng.integers(1, 40)), int(rng.integers(1, 20))
            mask = rng.random((h, w)) < 0.7
            mask[0, 0] = True
            shape |= {"points": [[x, y], [x + w - 1, y + h - 1]], "mask": encode_mask(mask)}
        else:
            points = {"polygon": 5, "rectangle": 2, "circle": 2, "linestrip": 4}[kind]
            place = rng.random((points, 2)) * (90, HEIGHT - 20) + (190, 0)
            if kind == "circle":
                place[1] = place[0] + rng.random(2) * 15
            shape["points"] = place.tolist()
        shape |= {"extra": {"number": number, "value": 0.1}, "description": None}
        shapes.append(shape)
    return shapes


def document_of(shapes, **more):
    data = {"version": "5.2.0", "imagePath": "a.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}
    text = json.dumps({**data, "shapes": shapes})
    return parse(FILE, text.encode(), HEIGHT, WIDTH)


def sent(document):
    """What a page that changed nothing sends."""
    got = document.to_json()
    return {name: got[name] for name in ("objects", "outlines", "state", "seconds", "strokes", "origin")} | {
        "tiles": {}
    }


@pytest.mark.parametrize("seed", range(12))
def test_the_page_shows_what_training_reads(seed):
    shapes = random_shapes(np.random.default_rng(seed), 12)
    layers = layers_of(FILE, shapes, HEIGHT, WIDTH)
    assert np.array_equal(shown(layers), painted(shapes))
    assert len(layers.objects) + len(layers.outlines) == 12
    assert np.array_equal(painted(layers.shapes()), painted(shapes))


def test_an_outline_under_a_mask_is_paint_and_one_that_is_free_stays_an_outline():
    mask = {
        "label": "car",
        "shape_type": "mask",
        "points": [[10, 10], [19, 19]],
        "mask": encode_mask(np.ones((10, 10)) > 0),
    }
    under = {"label": "sky", "shape_type": "polygon", "points": [[5, 5], [30, 5], [30, 30]]}
    free = {"label": "road", "shape_type": "polygon", "points": [[200, 5], [230, 5], [230, 30]]}
    layers = layers_of(FILE, [under, free, mask], HEIGHT, WIDTH)
    assert [one.entry["label"] for one in layers.objects.values()] == ["sky", "car"]
    assert [entry["label"] for entry in layers.outlines.values()] == ["road"]
    over = layers_of(FILE, [mask, under], HEIGHT, WIDTH)
    assert [entry["label"] for entry in over.outlines.values()] == ["sky"]


@pytest.mark.parametrize("seed", range(5))
def test_a_file_that_nobody_changed_keeps_every_value(seed):
    shapes = random_shapes(np.random.default_rng(seed), 8)
    before = document_of(
        shapes, otherTool={"a": [1, 2.5, None]}, flags={"night": True}, foveate={"state": "done", "x": 1}
    )
    after = edit(before, sent(before), NAMES)
    found = json.loads(after.text())
    assert found["otherTool"] == {"a": [1, 2.5, None]} and found["flags"] == {"night": True}
    assert found["foveate"]["x"] == 1 and found["foveate"]["state"] == "done"

    def plain(entries):
        return sorted(json.dumps({k: v for k, v in e.items() if k != "foveate"}, sort_keys=True) for e in entries)

    assert plain(found["shapes"]) == plain(shapes)
    again = parse(FILE, after.text().encode(), HEIGHT, WIDTH)
    assert again.text() == after.text()
    assert np.array_equal(again.layers.paint, after.layers.paint)
    assert list(again.layers.objects) == list(after.layers.objects)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_painted_is_what_training_reads(seed):
    """Also where the painted pixels uncover shapes that others hid."""
    rng = np.random.default_rng(seed)
    document = document_of(random_shapes(rng, 10))
    for _ in range(3):
        paint = document.layers.paint.copy()
        numbers = [0, *document.layers.objects, 60000]
        for _ in range(3):
            x, y = int(rng.integers(190, WIDTH - 20)), int(rng.integers(0, HEIGHT - 20))
            paint[y : y + 20, x : x + 20] = int(rng.choice(numbers))
        change = sent(document)
        if 60000 not in document.layers.objects:
            change["objects"].append({"number": 60000, "label": "car", "group": 4})
        change["tiles"] = tiles_to_json(paint, [(0, 0), (1, 0)])
        document = edit(document, change, NAMES)
        assert np.array_equal(document.layers.paint, paint)
        shapes = json.loads(document.text())["shapes"]
        assert np.array_equal(painted(shapes), shown(document.layers))
        assert np.array_equal(document.layers.counts, np.bincount(paint.reshape(-1), minlength=65536))
        assert set(np.unique(paint)) - {0} <= set(document.layers.objects)


def test_what_an_object_hid_does_not_come_back_when_it_is_erased():
    def square(label, size):
        corners = [[0, 0], [size - 1, size - 1]]
        return {"label": label, "shape_type": "mask", "points": corners, "mask": encode_mask(np.ones((size, size)) > 0)}

    document = document_of([square("sky", 20), square("car", 10)])
    assert [one.hides for one in document.layers.objects.values()] == [True, False]
    paint = document.layers.paint.copy()
    paint[:10, :10] = 0
    after = edit(document, sent(document) | {"tiles": tiles_to_json(paint, [(0, 0)])}, NAMES)
    shapes = json.loads(after.text())["shapes"]
    assert [s["label"] for s in shapes] == ["sky"]
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[:20, :20] = 0
    expected[:10, :10] = 255
    assert np.array_equal(painted(shapes), expected)


def test_untouched_shapes_stay_and_touched_ones_become_masks_of_the_same_label_group_and_flags():
    rng = np.random.default_rng(0)
    square = {
        "label": "sky",
        "shape_type": "mask",
        "points": [[0, 0], [9, 9]],
        "mask": encode_mask(rng.random((10, 10)) < 0.5),
    }
    under = {"label": "car", "shape_type": "polygon", "points": [[100, 5], [130, 5], [130, 30]], "group_id": 7,
             "flags": {"blurred": True}, "score": 0.5}  # fmt: skip
    over = {
        "label": "road",
        "shape_type": "mask",
        "points": [[110, 6], [112, 8]],
        "mask": encode_mask(np.ones((3, 3)) > 0),
    }
    document = document_of([square, under, over])
    car = next(n for n, one in document.layers.objects.items() if one.entry["label"] == "car")
    paint = document.layers.paint.copy()
    paint[40:50, 100:110] = car
    after = edit(document, sent(document) | {"tiles": tiles_to_json(paint, [(0, 0)])}, NAMES)
    by_label = {s["label"]: s for s in json.loads(after.text())["shapes"]}
    assert by_label["sky"]["mask"] == square["mask"] and by_label["road"]["mask"] == over["mask"]
    changed = by_label["car"]
    assert changed["shape_type"] == "mask" and changed["group_id"] == 7
    assert changed["flags"] == {"blurred": True} and changed["score"] == 0.5
    assert changed["points"] == [[100.0, 5.0], [130.0, 49.0]]


def test_an_object_that_lost_its_last_pixel_is_gone_and_numbers_stay():
    document = fresh("a.jpg", HEIGHT, WIDTH)
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[:5, :5], paint[10:15, :5] = 3, 9
    objects = [{"number": 3, "label": "sky"}, {"number": 9, "label": "car"}]
    change = {"objects": objects, "outlines": [], "tiles": tiles_to_json(paint), "state": "draft"}
    document = edit(document, change, NAMES)
    paint[:5, :5] = 0
    document = edit(document, change | {"tiles": tiles_to_json(paint, [(0, 0)])}, NAMES)
    assert list(document.layers.objects) == [9]
    again = parse(FILE, document.text().encode(), HEIGHT, WIDTH)
    assert list(again.layers.objects) == [9]


@pytest.mark.parametrize("seed", range(10))
def test_flattening_changes_no_pixel(seed):
    """Outlines that become paint, by the rule of the page, look as before."""
    rng = np.random.default_rng(seed)
    shapes = [s for s in random_shapes(rng, 20) if s["shape_type"] != "mask"]
    layers = layers_of(FILE, shapes, HEIGHT, WIDTH)
    before = shown(layers)
    order = dict(zip(layers.outlines, read_shapes(FILE, list(layers.outlines.values())), strict=True))
    touch = {str(key) for key in rng.choice(list(order), 2)}
    found = flatten(order, touch, HEIGHT, WIDTH)
    assert touch <= set(found) and list(found) == [key for key in order if key in found]
    paint, objects = (
        layers.paint.copy(),
        [{"number": n, **{"label": o.entry["label"]}} for n, o in layers.objects.items()],
    )
    for place, (key, mask) in enumerate(found.items()):
        paint[mask] = 5000 + place
        objects.append({"number": 5000 + place, "label": order[key].label})
    document = document_of(shapes)
    change = sent(document) | {"objects": objects, "tiles": tiles_to_json(paint, [(0, 0), (1, 0)])}
    change["outlines"] = [one for one in change["outlines"] if one["key"] not in found]
    after = edit(document, change, NAMES)
    assert np.array_equal(shown(after.layers), before)
    assert np.array_equal(painted(json.loads(after.text())["shapes"]), before)


def test_keys_of_other_tools_outlast_painting_and_undo():
    """The page makes an outline a painted object under a new number, and an outline again when that is undone."""
    document = document_of([{"label": "sky", "points": [[1, 2], [30, 4], [5, 40]], "probability": 0.25}])
    (outline,) = document.to_json()["outlines"]
    assert outline["others"] == {"probability": 0.25}
    paint = np.zeros((HEIGHT, WIDTH), np.uint16)
    paint[:9] = 1
    tiles = tiles_to_json(paint)
    one = {"number": 1, "label": "sky", "others": outline["others"]}
    painted_over = edit(document, {"objects": [one], "tiles": tiles, "outlines": []}, NAMES)
    (mask,) = json.loads(painted_over.text())["shapes"]
    assert mask["shape_type"] == "mask" and mask["probability"] == 0.25
    assert painted_over.to_json()["objects"][0]["others"] == {"probability": 0.25}
    undone = edit(
        painted_over, {"objects": [], "tiles": tiles_to_json(paint * 0, [(0, 0), (1, 0)]), "outlines": [outline]}, NAMES
    )
    (polygon,) = json.loads(undone.text())["shapes"]
    assert polygon["shape_type"] == "polygon" and polygon["probability"] == 0.25


def test_outlines_keep_their_keys_and_their_values():
    document = document_of([{"label": "sky", "points": [[1, 2], [30, 4], [5, 40]], "probability": 0.25}])
    change = sent(document)
    assert change["outlines"][0]["key"] == "o1" and change["outlines"][0]["kind"] == "polygon"
    change["outlines"].append({"key": "mine", "kind": "rectangle", "label": "car", "points": [[0, 0], [9.5, 9]]})
    change["outlines"][0]["label"] = "road"
    after = edit(document, change, NAMES)
    first, second = json.loads(after.text())["shapes"]
    assert first["probability"] == 0.25 and first["label"] == "road" and first["points"] == [[1, 2], [30, 4], [5, 40]]
    assert second["points"] == [[0, 0], [9.5, 9]] and second["shape_type"] == "rectangle"
    again = parse(FILE, after.text().encode(), HEIGHT, WIDTH)
    assert list(again.layers.outlines) == ["o1", "mine"]


@pytest.mark.parametrize(
    ("change", "reason", "text"),
    [
        ({"objects": None}, "labels", "objects is None; expected the list of all objects"),
        ({"objects": [{"number": 0, "label": "sky"}]}, "labels", "the number 0; expected 1 to 65535"),
        ({"objects": [{"number": True, "label": "sky"}]}, "labels", "the number True"),
        ({"objects": [{"number": 1, "label": "sky", "others": {"points": 3}}]}, "labels", "others is {'points': 3}"),
        ({"objects": [{"number": 1, "label": "sky"}] * 2}, "labels", "two objects have the number 1"),
        ({"objects": [{"number": 1, "label": "skye"}]}, "label", "unknown class 'skye'; the nearest is 'sky'"),
        ({"objects": [{"number": 1, "label": "sky", "group": 1.5}]}, "labels", "group is 1.5; expected a whole number"),
        (
            {"objects": [{"number": 1, "label": "sky", "flags": {"a": 1}}]},
            "labels",
            "expected names with true or false",
        ),
        ({"objects": [{"number": 1, "label": "sky", "description": 3}]}, "labels", "description is 3"),
        ({"tiles": {"9,9": ""}}, "labels", "tile '9,9'; the picture of 300x60 has 2x1 tiles"),
        ({"tiles": tiles_to_json(np.full((60, 300), 8, np.uint16))}, "labels", "1 number that no object has [(]8[)]"),
        ({"outlines": {}}, "labels", "expected the list of all outlines"),
        ({"outlines": [{"key": ""}]}, "outline", "expected a text of 1 to 40 characters"),
        ({"outlines": [{"key": []}]}, "outline", "expected a text of 1 to 40 characters"),
        ({"outlines": [{"key": "a", "kind": "mask"}]}, "outline", "outline 'a': unknown kind 'mask'"),
        (
            {"outlines": [{"key": "a", "label": "sky", "points": [[0, 0]]}]},
            "outline",
            "a polygon of 1 point; expected 3",
        ),
        ({"outlines": [{"key": "a", "label": "sky", "points": [[0, 0], [1, 1], [9e9, 4]]}]}, "outline", "far outside"),
        ({"state": "finished"}, "labels", "state is 'finished'; expected draft, done or skipped"),
        ({"seconds": -1}, "labels", "seconds is -1; expected a number of 0 or more"),
        ({"strokes": "many"}, "labels", "strokes is 'many'"),
        ({"origin": {"run": "a"}}, "labels", "origin must be null, or hold run, model_sha256 and the share kept"),
    ],
)
def test_changes_that_cannot_be_made_say_why(change, reason, text):
    whole = {"objects": [], "outlines": [], "tiles": {}, "state": "draft"} | change
    with pytest.raises(RefusedError, match=text) as error:
        edit(fresh("a.jpg", HEIGHT, WIDTH), whole, NAMES)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xff\xfe\x00", "not UTF-8 text|malformed JSON"),
        (b'{"shapes": [}', "a.json: malformed JSON at line 1, column 13"),
        (b"[]", "no list 'shapes', so not a LabelMe file"),
        (b'{"shapes": []}', "no 'imagePath'"),
        (
            b'{"shapes": [], "imagePath": "a.jpg", "imageHeight": 300, "imageWidth": 60}',
            "says 60x300, but its picture is",
        ),
        (
            b'{"shapes": [{"label": "a", "points": [], "shape_type": "cuboid"}], "imagePath": "a"}',
            "'cuboid' is not supported",
        ),
    ],
)
def test_files_that_cannot_be_read_are_refused_as_the_reader_does(content, text):
    with pytest.raises(DataError, match=text):
        parse(FILE, content, HEIGHT, WIDTH)
