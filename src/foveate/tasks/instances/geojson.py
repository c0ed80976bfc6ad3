"""Objects on the ground: GeoJSON of the outlines in the coordinate system of the image.

GeoJSON is longitude and latitude of WGS 84 (RFC 7946). Coordinates of other systems are written as they are, with the
member `crs` of the format's version of 2008, which GDAL and QGIS read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from foveate.labels.rings import Ring, polygons_of
from foveate.pictures.ground import WGS84, Placement
from foveate.records import InstancePrediction

DIGITS = {True: 9, False: 4}  # decimals of degrees, and of metres or feet


def write_geojson(prediction: InstancePrediction, place: Placement, path: Path) -> None:
    """Write the found objects as features, each a polygon or several, with its number, class, score and area.

    The outlines run along the edges of pixels. `area` is in pixels, or in the physical units of `pixel_size`, as in
    objects.csv.
    """
    objects = prediction.found
    features = []
    for k, area in enumerate(objects.areas.tolist()):
        (left, top, _, _), part = objects.part(k)
        polygons = [
            [_placed(ring, (left, top), place, outer=number == 0) for number, ring in enumerate(rings)]
            for rings in polygons_of(part)
        ]
        if not polygons:
            continue
        shape, coordinates = ("Polygon", polygons[0]) if len(polygons) == 1 else ("MultiPolygon", polygons)
        properties = {
            "object": k + 1,
            "class": prediction.classes.names[int(objects.labels[k])],
            "score": round(float(objects.scores[k]), 4),
            "area": round(area * prediction.pixel_size**2, 4),
        }
        geometry = {"type": shape, "coordinates": coordinates}
        features.append({"type": "Feature", "id": k + 1, "properties": properties, "geometry": geometry})
    content: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if place.epsg is not None and place.epsg != WGS84:
        content["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{place.epsg}"}}
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def _placed(ring: Ring, corner: tuple[int, int], place: Placement, outer: bool) -> list[list[float]]:
    """A closed ring on the ground, anticlockwise for an outline and clockwise for a hole."""
    found = place(np.array(ring, np.float64) + corner)
    x, y = (found - found[0]).T  # digits enough for the sign far from the origin
    anticlockwise = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) > 0
    if anticlockwise != outer:
        found = found[::-1]
    rounded = np.round(found, DIGITS[bool(np.abs(place.matrix[:, :2]).max() < 0.01)])
    return [*rounded.tolist(), rounded[0].tolist()]
