"""A slider of the score threshold for the report: radio buttons and style rules, without scripts.

Each detection is a path in a drawing over its image, with the class `bK` if its score is from K / 10 on; the rules of
the checked button hide those below its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foveate.labels.rings import polygons_of
from foveate.metrics.instances import InstanceScores
from foveate.metrics.instances.ranked import LEVELS
from foveate.records import InstancePrediction, Instances
from foveate.tasks.instances.figures import colors_of, visible
from foveate.visualize.bars import rgb_text
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import Section, section
from foveate.visualize.report.parts import counted

LONGEST = 640  # pixels of a drawn image's longest side; outlines are drawn from masks of as many
MOST_IMAGES = 4


def slider_section(
    images: Sequence[tuple[str, np.ndarray, Instances, InstancePrediction]], scores: InstanceScores
) -> Section | None:
    """A section with the scores of the whole set, and outlines in some images, at the threshold that a reader chooses.

    images: name, pixels (H, W[, C]), true objects and prediction of each. None without images.
    """
    if not images:
        return None
    nearest = int(np.abs(np.array(LEVELS) - scores.score_threshold).argmin())
    controls: list[Markup] = []
    for k, level in enumerate(LEVELS):
        controls.append(tag("input", type="radio", name="cut", id=f"cut{k + 1}", checked=k == nearest))
        controls.append(tag("label", f"{level:.1f}", for_=f"cut{k + 1}"))
    words = [
        tag("p", _sentence(level, *counts), class_=f"at at{k + 1}", aria_live="polite")
        for k, (level, counts) in enumerate(zip(LEVELS, scores.at_levels.tolist(), strict=True))
    ]
    lead = (
        "Choose the lowest score that counts as found. The numbers are those of all pictures; below are some of them, "
        "with the outlines of what is found then in colour, and of the true objects dotted in white."
    )
    figures = [_figure(*image) for image in images]
    return section(
        "threshold",
        "Score threshold",
        "Score threshold",
        lead,
        tag("div", controls, words, tag("div", figures, class_="shown"), class_="cut"),
    )


def chosen_images(count: int) -> list[int]:
    """The indices of the images that are shown, of `count` that are sorted by score: the best and the worst."""
    half = MOST_IMAGES // 2
    return list(range(count)) if count <= MOST_IMAGES else [*range(half), *range(count - half, count)]


def style() -> str:
    """The style rules of the section."""
    rules = [
        ".cut > input { position: absolute; opacity: 0; }",
        ".cut > label { display: inline-block; padding: 0.35rem 0.7rem; border: 1px solid var(--rule); "
        "cursor: pointer; font-variant-numeric: tabular-nums; }",
        ".cut > input:checked + label { background: var(--one); color: var(--paper); border-color: var(--one); }",
        ".cut > input:focus-visible + label { outline: 2px solid var(--one); outline-offset: 2px; }",
        ".cut .at { display: none; margin: 0.8rem 0 1rem; }",
        ".cut svg { display: block; width: 100%; height: auto; max-height: 75vh; border-radius: 6px; }",
        ".cut .shown { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); "
        "gap: 0 1.25rem; align-items: end; }",
        ".cut path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }",
        ".cut .truth { stroke: #fff; stroke-width: 1.2; stroke-dasharray: 1.5 2.5; }",
    ]
    for k in range(1, len(LEVELS) + 1):
        rules.append(f"#cut{k}:checked ~ .at{k} {{ display: block; }}")
        if k > 1:
            hidden = ", ".join(f"#cut{k}:checked ~ .shown .b{j}" for j in range(1, k))
            rules.append(f"{hidden} {{ display: none; }}")
    return "\n".join(rules)


def _sentence(level: float, right: int, wrong: int, missing: int) -> str:
    found, true = right + wrong, right + missing
    precision = f"{right / found:.1%}" if found else "none"
    recall = f"{right / true:.1%}" if true else "none"
    return (
        f"From a score of {level:.1f}: {counted(found, 'object', 'objects')} found of {true}. {right} right, {wrong} "
        f"wrong, {missing} missing: precision {precision}, recall {recall} at IoU 0.5."
    )


def _figure(name: str, pixels: np.ndarray, truth: Instances, prediction: InstancePrediction) -> Markup:
    factor = -(-max(pixels.shape[:2]) // LONGEST)
    small = np.ascontiguousarray(visible(pixels)[::factor, ::factor])
    height, width = small.shape[:2]
    found = prediction.objects.select(prediction.objects.scores >= LEVELS[0])
    colors = colors_of(found, prediction.classes)[1:]
    paths = [
        tag(
            "path", d=_path(found, k, factor), class_=f"b{_bin(float(found.scores[k]))}",
            stroke=rgb_text(tuple(int(v) for v in colors[k])),  # type: ignore[arg-type]
        )
        for k in range(len(found))
    ]  # fmt: skip
    true = tag("path", d="".join(_path(truth, k, factor) for k in range(len(truth))), class_="truth")
    drawn = tag(
        "svg",
        tag("image", href=data_uri(small), width=width, height=height),
        true, paths, viewbox=f"0 0 {width} {height}", role="img",
        aria_label=f"{name}: outlines of {counted(len(truth), 'true object', 'true objects')}, and of those found",
    )  # fmt: skip
    return tag("figure", drawn, tag("figcaption", name), class_="example")


def _bin(score: float) -> int:
    """The highest K with LEVELS[K - 1] <= score."""
    return int(np.searchsorted(np.array(LEVELS, np.float32), np.float32(score), side="right"))


def _path(objects: Instances, index: int, factor: int) -> str:
    """The outline of an object as SVG's path data, in an image that is `factor` times smaller."""
    (left, top, _, _), part = objects.part(index)
    part = part[-top % factor :: factor, -left % factor :: factor]
    x, y = -(-left // factor), -(-top // factor)
    return "".join(
        "M" + "L".join(f"{a + x} {b + y}" for a, b in ring) + "Z" for rings in polygons_of(part) for ring in rings
    )
