"""Files of objects on the ground, files of very many objects, and the report's sections and slider."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from foveate.metrics.instances import InstanceMetrics
from foveate.metrics.instances.ranked import LEVELS
from foveate.pictures import open_windows
from foveate.pictures.ground import Placement
from foveate.pictures.windows import ArrayWindows
from foveate.records import ClassTable, InstancePrediction
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks.instances import outputs
from foveate.tasks.instances.figures import draw_objects
from foveate.tasks.instances.geojson import write_geojson
from foveate.tasks.instances.outputs import object_files
from foveate.tasks.instances.report import count_section, mistake_section, size_edges, size_section
from foveate.tasks.instances.slider import chosen_images, slider_section, style

CELL = ClassTable(("cell",))
TWO = ClassTable(("cell", "rod"))
SIZE = (20, 30)


def objects(
    *boxes: tuple[int, int, int, int], labels: list[int] | None = None, scores: list[float] | None = None
) -> Any:
    """Objects that fill boxes: left, top, right, bottom."""
    masks = [encode_mask(np.ones((y2 - y, x2 - x), bool), SIZE, x, y) for x, y, x2, y2 in boxes]
    return instances_of(SIZE, masks, labels or [0] * len(boxes), scores)


# GeoJSON


def features(prediction: InstancePrediction, place: Placement, path: Path) -> dict[str, Any]:
    write_geojson(prediction, place, path)
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def shoelace(ring: list[list[float]]) -> float:
    x, y = (np.array(ring) - ring[0]).T
    return float(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2


def test_objects_on_the_ground_by_hand(tmp_path: Path) -> None:
    place = Placement(np.array([[0.5, 0, 1000], [0, -0.5, 2000]]), 32631)
    prediction = InstancePrediction(objects((2, 4, 6, 8), scores=[0.75]), CELL, pixel_size=0.5)
    content = features(prediction, place, tmp_path / "a.geojson")
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32631"
    (feature,) = content["features"]
    assert feature["properties"] == {"object": 1, "class": "cell", "score": 0.75, "area": 4.0}
    (ring,) = feature["geometry"]["coordinates"]
    assert feature["geometry"]["type"] == "Polygon" and ring[0] == ring[-1]
    assert {tuple(p) for p in ring} == {(1001, 1998), (1003, 1998), (1003, 1996), (1001, 1996)}
    assert shoelace(ring) == 4.0  # anticlockwise, as RFC 7946 has it


def test_parts_and_holes_on_the_ground(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[2:10, 2:10] = mask[12:14, 20:22] = True
    mask[4:6, 4:6] = False
    prediction = InstancePrediction(instances_of(SIZE, [encode_mask(mask, SIZE)], [0]), CELL)
    for matrix in ([[1.0, 0, 0], [0, -1, 0]], [[1.0, 0, 0], [0, 1, 0]], [[0.0, 1, 0], [1, 0, 0]]):
        content = features(prediction, Placement(np.array(matrix), 4326), tmp_path / "a.geojson")
        assert "crs" not in content  # longitude and latitude need none
        geometry = content["features"][0]["geometry"]
        areas = sorted(shoelace(ring) for rings in geometry["coordinates"] for ring in rings)
        assert geometry["type"] == "MultiPolygon" and areas == [-4, 4, 64]
        assert all(shoelace(rings[0]) > 0 for rings in geometry["coordinates"])


def test_only_an_image_on_the_ground_has_geojson(tmp_path: Path) -> None:
    tags = [(33550, "d", 3, (2.0, 2.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 100.0, 200.0, 0.0), True)]
    for name, extra in (("map", tags), ("plain", [])):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((*SIZE, 3), np.uint8), photometric="rgb", extratags=extra)
    prediction = InstancePrediction(objects((2, 4, 6, 8)), CELL, name="map.tif")
    assert "geojson" not in object_files(prediction, {"image": open_windows(tmp_path / "plain.tif")})
    files = object_files(prediction, {"image": open_windows(tmp_path / "map.tif")})
    assert {end for end, _ in files.values()} == {".png", ".json", "_overlay.jpg", ".geojson"}
    files["geojson"][1](tmp_path / "map.geojson")
    content = json.loads((tmp_path / "map.geojson").read_text())
    assert [104, 192] in content["features"][0]["geometry"]["coordinates"][0] and "crs" not in content


def test_more_numbers_than_a_png_holds_are_a_tiff(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = objects((0, 0, 3, 3), (5, 0, 8, 3), (10, 0, 12, 3))
    sample = {"image": ArrayWindows(np.zeros((*SIZE, 3), np.uint8))}
    monkeypatch.setattr(outputs, "MOST_IN_PNG", 2)
    files = object_files(InstancePrediction(found, CELL), sample)
    assert "objects_png" not in files
    end, write = files["objects_tiff"]
    assert end in outputs.ENDINGS
    write(tmp_path / f"a{end}")
    numbers = tifffile.imread(tmp_path / f"a{end}")
    assert numbers.dtype == np.uint32 and np.array_equal(numbers, found.numbers())


# The report


def scores(classes: int = 1) -> Any:
    """Two images: one of two touching objects is missed; a rod found as a cell, a cell where nothing is."""
    metrics = InstanceMetrics(classes, threshold=0.5)
    second = min(1, classes - 1)
    metrics.update(objects((0, 0, 5, 5), (5, 0, 10, 5), (20, 10, 30, 20), labels=[0, 0, second]),
                   objects((0, 0, 5, 5), (20, 10, 30, 20), (12, 15, 16, 19), scores=[0.9, 0.8, 0.65]))  # fmt: skip
    metrics.update(objects(), objects((0, 0, 4, 4), scores=[0.35]))
    return metrics.compute()


def cells(section: Any) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", section.content)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_sizes_found_and_missed_and_touching_objects_apart() -> None:
    rows = cells(size_section(scores()))
    assert ["16 to 31 px", "2", "1", "1", "50%"] in rows and ["64 to 127 px", "1", "1", "0", "100%"] in rows
    assert ["touching another", "2", "1", "1", "50%"] in rows and ["alone", "1", "1", "0", "100%"] in rows


def test_an_area_on_a_bound_belongs_to_the_range_above() -> None:
    metrics = InstanceMetrics(1, threshold=0.5)
    metrics.update(objects((0, 0, 4, 4), (10, 0, 14, 8)), objects((0, 0, 4, 4), scores=[0.9]))
    rows = cells(size_section(metrics.compute()))
    assert ["16 to 31 px", "1", "1", "0", "100%"] in rows and ["32 to 63 px", "1", "0", "1", "0%"] in rows


def test_size_ranges_hold_every_object() -> None:
    for areas in ([1], [7, 7], [1, 4_000_000], list(range(1, 300))):
        edges = size_edges(np.array(areas))
        assert edges[0] <= min(areas) and max(areas) < edges[-1] and len(edges) <= 9 and edges == sorted(set(edges))


def test_classes_that_are_confused() -> None:
    found = scores(2)
    np.testing.assert_array_equal(found.confusion, [[1, 0, 1], [1, 0, 0], [1, 0, 0]])
    section = mistake_section(found, TWO)
    assert section is not None and "nothing" in section.content
    assert mistake_section(scores(1), CELL) is None


def test_counts_are_points_over_the_true_ones() -> None:
    section = count_section(scores())
    assert section is not None and section.content.count("<circle") == 2 + 2 + 1  # images, the diagonal, the legend
    assert "3 true objects, 3 found from a score of 0.50." in section.content
    assert "off by 0.0 on average." in section.content


def test_the_slider_hides_what_scores_less() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    truth = objects((0, 0, 5, 5))
    prediction = InstancePrediction(
        objects((0, 0, 5, 5), (8, 0, 12, 5), (14, 0, 18, 5), (20, 0, 24, 5), scores=[0.95, 0.5, 0.3, 0.05]), CELL
    )
    section = slider_section([("a.png", image, truth, prediction)], scores())
    assert section is not None and "<script" not in section.content and "style=" not in section.content
    assert re.findall(r'<path d="[^"]+" class="b(\d)"', section.content) == [
        "9",
        "5",
        "3",
    ]  # below 0.1 nothing is drawn
    assert re.findall(r'id="cut(\d)" checked', section.content) == ["5"]
    assert 'd="M0 0L5 0L5 5L0 5Z" class="truth"' in section.content
    rules = style()
    for level in range(2, len(LEVELS) + 1):
        hidden = re.search(rf"^(#cut{level}:checked ~ .shown .*) {{ display: none; }}$", rules, re.MULTILINE)
        assert hidden and re.findall(r"\.b(\d)", hidden[1]) == [str(k) for k in range(1, level)]
    assert section.content.index('class="shown"') > section.content.index('id="cut9"')  # siblings, for the rules
    assert slider_section([], scores()) is None
    # At 0.3 the object where nothing is in the second image counts, at 0.4 no longer.
    assert "From a score of 0.3: 4 objects found of 3. 2 right, 2 wrong, 1 missing" in section.content
    assert "From a score of 0.4: 3 objects found of 3. 2 right, 1 wrong, 1 missing: precision 66.7%" in section.content


def test_objects_of_a_nearly_black_image_are_drawn_on_a_bright_one() -> None:
    """As overlays of label maps are: nuclei in fluorescence microscopy are seen."""
    image = np.full((*SIZE, 3), 10, np.uint8)
    image[5:12, 5:12] = 40
    drawn = draw_objects(image, objects((5, 5, 12, 12)), CELL)
    assert drawn[8, 8].tolist() == [230] * 3 and drawn[0, 0].tolist() == [round(10 * 230 / 40)] * 3
    assert image.max() == 40  # a copy is brightened
    plain = np.full((*SIZE, 3), 100, np.uint8)
    assert draw_objects(plain, objects((5, 5, 12, 12)), CELL)[8, 8].tolist() == [100] * 3


def test_a_large_image_is_drawn_smaller_with_outlines_to_match() -> None:
    size = (1300, 700)
    mask = encode_mask(np.ones((30, 60), bool), size, 91, 301)
    found = instances_of(size, [mask], [0], [0.9])
    image = np.zeros((*size, 3), np.uint8)
    section = slider_section([("a", image, found, InstancePrediction(found, CELL))], scores())
    assert section is not None and 'viewBox="0 0 234 434"' in section.content  # a third
    # Of rows 301 to 330 and columns 91 to 150 every third is drawn: 303 to 330, 93 to 150.
    assert 'd="M31 101L51 101L51 111L31 111Z" class="b9"' in section.content


def test_the_best_and_the_worst_images_are_on_the_slider() -> None:
    assert chosen_images(3) == [0, 1, 2] and chosen_images(9) == [0, 1, 7, 8]


def test_rows_of_images_tell_true_and_found_numbers() -> None:
    from foveate.tasks import find_task

    rows = find_task("instances").sample_rows(SimpleNamespace(), scores())
    assert rows == [{"objects": 3, "found": 3}, {"objects": 0, "found": 0}]
