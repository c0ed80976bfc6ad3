"""The list of all scored samples: a table with pictures, which the page's script sorts, and a viewer that enlarges.

Without the script the table is as readable, in the order of the samples' own scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, tag
from foveate.visualize.pixels import rgb8
from foveate.visualize.report.parts import scroll_box, section
from foveate.visualize.report.record import Picture, Report, Section, number
from foveate.visualize.sheets import fitted

LISTED = 2000  # samples in the table
PICTURED = 48  # samples with pictures; with three pictures each they take at most 3 MB
LONGEST = 360  # pixels of a picture's longer side
MAX_BYTES = 15_000  # of a picture as a JPEG file, before base64


def script() -> str:
    """Read the script of reports."""
    return files("foveate.visualize.report").joinpath("report.js").read_text(encoding="utf-8")


def pictured(scores: Sequence[float], greater_is_better: bool = True, most: int = PICTURED) -> list[int]:
    """Places of the samples that the list shows with pictures, the worst first.

    All of them; of more than `most`, half of them the worst, and the rest spread evenly over the others, with the best.
    """
    order = ranking(scores, greater_is_better)
    if len(order) <= most:
        return order
    worst = most // 2
    rest = order[worst:]
    return order[:worst] + [rest[round(k)] for k in np.linspace(0, len(rest) - 1, most - worst)]


def ranking(scores: Sequence[float], greater_is_better: bool = True) -> list[int]:
    """Places of all samples by their own scores, the worst first; those without a score come last."""
    sign = 1 if greater_is_better else -1
    return sorted(range(len(scores)), key=lambda k: sign * scores[k] if math.isfinite(scores[k]) else math.inf)


def list_picture(title: str, alt: str, pixels: np.ndarray) -> Picture:
    """A picture for the list, from pixels (H, W[, C]); larger ones are reduced to LONGEST."""
    drawn = rgb8(pixels)
    if max(pixels.shape[:2]) > LONGEST:
        drawn = fitted(drawn, np.zeros(drawn.shape[:2], np.uint8), LONGEST, LONGEST)[0]
    return Picture(title, alt, data_uri(drawn, MAX_BYTES), drawn.shape[1], drawn.shape[0])


def listing(report: Report) -> Section | None:
    """The table of all samples, the worst first; None without scores."""
    if not any(math.isfinite(score) for _, score in report.samples):
        return None
    noun, nouns = report.nouns
    order = ranking([score for _, score in report.samples], report.greater_is_better)[:LISTED]
    pictures = {place: report.part.pictures[place] for place in order if report.part.pictures.get(place)}
    name = tag("th", noun[:1].upper() + noun[1:], scope="col", data_sort="text")
    direction = "ascending" if report.greater_is_better else "descending"
    own = tag("th", report.own_score, scope="col", data_sort="number", aria_sort=direction)
    more = [tag("th", title, scope="col", data_sort="number") for _, title in report.part.columns]
    head = tag("tr", tag("th", "Pictures", scope="col") if pictures else None, name, own, more)
    rows = [_row(report, place, pictures) for place in order]
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="listing")
    box = scroll_box(f"All {nouns} with their scores", table, "card scroll list")
    hint = "Choose a heading to sort by it" + (", and a picture to enlarge it." if pictures else ".")
    lead = " ".join(_sentences(report, len(order), pictures.values()))
    return section("each", f"All {nouns}", f"All {nouns}", lead, tag("p", hint, class_="hint faint", hidden=True), box)


def _sentences(report: Report, listed: int, pictures: Iterable[Sequence[Picture]]) -> Iterable[str]:
    """Sentences on what the list holds and leaves out, and on the size of its pictures."""
    noun, nouns = report.nouns
    total = len(report.samples)
    yield f"Every {noun} of {report.scored_split} with its own score, the worst first."
    if without := sum(not math.isfinite(score) for _, score in report.samples):
        yield f"{without} without a score of their own come last."
    if listed < total:
        yield f"Of {total:,} {nouns}, these are the first {listed:,}; foveate evaluate --csv writes all of them."
    sizes = [sum(len(picture.source) for picture in several) for several in pictures]
    if not sizes:
        return
    size = f"{sum(sizes) / 1e6:.1f} MB" if sum(sizes) >= 1e5 else f"{max(1, round(sum(sizes) / 1e3))} kB"
    if len(sizes) < total:
        yield f"{len(sizes)} of {total:,} are shown with pictures: the worst, and others of every rank."
    yield f"The pictures take {size} of this file."


def _row(report: Report, place: int, pictures: dict[int, Sequence[Picture]]) -> Markup:
    """One sample: its pictures, name and scores."""
    name, score = report.samples[place]
    values = report.values[place] if place < len(report.values) else {}
    images = [
        tag("img", src=p.source, alt=f"{name}: {p.alt}", title=p.title, width=p.width, height=p.height,
            loading="lazy", decoding="async")
        for p in pictures.get(place, ())
    ]  # fmt: skip
    shots = tag("td", tag("span", images, class_="shots") if images else None) if pictures else None
    cells = [tag("td", _text(values.get(key))) for key, _ in report.part.columns]
    return tag("tr", shots, tag("th", name, scope="row"), tag("td", _text(score)), cells)


def _text(value: Any) -> str:
    """A value with three decimals; whole numbers as they are, and a dash for none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    known = number(value)
    return "–" if known is None else f"{known:.3f}"


def viewer() -> Markup:
    """The dialog in which the page's script enlarges pictures; closed, and therefore unseen, without it."""
    buttons = [
        tag("button", text, type="button", class_=name, aria_label=label, autofocus=name == "close")
        for name, text, label in (("back", "‹", "Previous"), ("next", "›", "Next"), ("close", "×", "Close"))
    ]
    words = tag("p", tag("b", id="viewer-name"), tag("span", class_="number"), tag("span", class_="place faint"))
    bar = tag("div", words, tag("div", buttons, class_="steps"), class_="bar-top")
    return tag("dialog", bar, tag("div", class_="views"), class_="viewer", aria_labelledby="viewer-name")
