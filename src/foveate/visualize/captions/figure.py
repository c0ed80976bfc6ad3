"""A picture with its sentence as HTML, without a script: each word is a button, and a map lies over the picture for it.

Shapes: pictures (H, W[, C]) as overlays take them; maps (h, w), which lie over the whole picture; T words.

A picture is embedded once, a map as a symbol that the large view and the strip of small ones both use. A word that is
pointed at, or has the focus, shows its map; that takes one rule of style a word.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from foveate.records import CaptionPrediction, Sentence
from foveate.visualize.attention import most, sized, veil, veil_color
from foveate.visualize.bars import rgb_text
from foveate.visualize.document import data_uri, stylesheet
from foveate.visualize.markup import Markup, join, tag

SIDE = 480  # pixels of an embedded picture's longer side
ROWS, COLUMNS = ("top", "", "bottom"), ("left", "", "right")


@dataclass
class Told:
    """A picture, and what a model says of it.

    picture: (H, W[, C]). hard: the model looked at one cell for each word.
    references: what people said of it, where that is known; score: of the best sentence against them, CIDEr-D.
    """

    name: str
    picture: np.ndarray
    prediction: CaptionPrediction
    hard: bool = False
    references: Sequence[str] = ()
    score: float | None = None


def told_style(most_words: int) -> str:
    """The rules for figures of sentences of up to so many words, to be added to the page's style."""
    # A word that is pointed at goes before one that has the focus.
    rules = (
        f".told:has(.w{i}:hover) .m{i},.told:not(:has(.word:hover)):has(.w{i}:focus) .m{i}{{opacity:1}}"
        for i in range(1, most_words + 1)
    )
    return stylesheet("captions") + "\n".join(rules) + "\n"


def told_figure(told: Told, number: int, *beneath: object) -> Markup:
    """One picture with its caption, the words as buttons, the other sentences, and the strip of all maps.

    number: of the figure on its page. beneath: what else is told of it.
    """
    best, others = told.prediction.sentences[0], told.prediction.sentences[1:]
    pixels = sized(told.picture, SIDE)
    return tag(
        "figure",
        _view(told, best, pixels, f"p{number}"),
        tag(
            "figcaption",
            tag("p", tag("b", told.name), class_="name"),
            tag("p", _words(best), class_="sentence", lang="en"),
            tag("p", f"score {best.score:.3f}", class_="faint number"),
            beneath,
            _others(others) if others else None,
        ),
        _strip(best, pixels, f"p{number}") if best.attention is not None else None,
        class_="told",
    )


def _view(told: Told, best: Sentence, pixels: np.ndarray, key: str) -> Markup:
    """The picture in large, every map over it; all but the one that is asked for are out of sight."""
    height, width = pixels.shape[:2]
    size = {"width": width, "height": height}
    maps = [] if best.attention is None else list(best.attention)
    color = veil_color(pixels)
    symbols = [_symbol(attention, told.hard, color, f"{key}m{i}") for i, attention in enumerate(maps, start=1)]
    return tag(
        "svg",
        tag("title", f"{told.name}: {best.text}"),
        tag("defs", symbols) if symbols else None,
        tag("image", id=key, href=data_uri(pixels), **size),
        [tag("use", href=f"#{key}m{i}", class_=f"map m{i}", **size) for i in range(1, len(maps) + 1)],
        viewbox=f"0 0 {width} {height}",
        role="img",
        class_="view",
    )


def _symbol(attention: np.ndarray, hard: bool, color: int, key: str) -> Markup:
    """A map as a veil over the picture: thin where the model looked."""
    rows, columns = attention.shape
    inside: list[Markup] = []
    if hard:
        row, column = most(attention)
        around = f"M0 0h{columns}v{rows}h-{columns}zM{column} {row}v1h1v-1z"
        inside.append(tag("path", d=around, fill=rgb_text((color,) * 3), class_="veil"))
        for style in ("cell under", "cell"):
            inside.append(tag("rect", x=column, y=row, width=1, height=1, class_=style))
    else:
        shade = np.rint(veil(attention) * 255).astype(np.uint8)
        inside.append(
            tag(
                "image",
                href=_png(shade, color),
                width=columns,
                height=rows,
                preserveaspectratio="none",
                class_="smooth",
            )
        )
    return tag("symbol", inside, id=key, viewbox=f"0 0 {columns} {rows}", preserveaspectratio="none")


def _png(shade: np.ndarray, color: int) -> str:
    """(h, w) uint8 -> a data URI of a grey that covers so much."""
    buffer = io.BytesIO()
    Image.fromarray(np.stack([np.full_like(shade, color), shade], 2)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _words(best: Sentence) -> Iterable[Markup]:
    """The words: buttons where there is something to see."""
    for i, (word, probability) in enumerate(zip(best.words, best.probabilities.tolist(), strict=True), start=1):
        said = f"probability {probability:.2f}"
        if best.attention is None:
            yield join(tag("span", word, title=said), " ")
            continue
        where = f"{said}; looked most {whereabouts(best.attention[i - 1])}"
        yield join(tag("button", word, type="button", class_=f"word w{i}", title=where, aria_description=where), " ")


def whereabouts(attention: np.ndarray) -> str:
    """Where the cell with the most attention is, in words: 'at the top left', 'in the middle'."""
    row, column = most(attention)
    vertical = ROWS[(2 * row + 1) * 3 // (2 * attention.shape[0])]
    across = COLUMNS[(2 * column + 1) * 3 // (2 * attention.shape[1])]
    words = " ".join(filter(None, (vertical, across)))
    return f"at the {words}" if words else "in the middle"


def _others(others: Sequence[Sentence]) -> Markup:
    items = [tag("li", s.text, " ", tag("span", f"{s.score:.3f}", class_="faint number")) for s in others]
    return tag("div", tag("p", "It could also have said", class_="faint"), tag("ol", items), class_="others")


def _strip(best: Sentence, pixels: np.ndarray, key: str) -> Markup:
    """All maps beside each other, each with its word: what is seen without pointing at anything."""
    height, width = pixels.shape[:2]
    size = {"width": width, "height": height}
    panels = [
        tag(
            "li",
            tag("svg", tag("use", href=f"#{key}"), tag("use", href=f"#{key}m{i}", **size),
                viewbox=f"0 0 {width} {height}", aria_hidden="true"),
            tag("span", word),
        )
        for i, word in enumerate(best.words, start=1)
    ]  # fmt: skip
    return tag("details", tag("summary", "Word by word"), tag("ol", panels, class_="looks"), open=True)
