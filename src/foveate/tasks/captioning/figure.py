"""An image with its caption as HTML, without a script: each word is a button that shows its attention map.

Shapes: images (H, W[, C]) as overlays take them; maps (h, w), which lie over the whole image; T words.

An image is embedded once, a map as a symbol that the large view and the strip of small ones both use. A word that is
pointed at, or has the focus, shows its map; that takes one style rule per word.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from PIL import Image

from foveate.records import CaptionPrediction, Sentence
from foveate.tasks.captioning.attention import most, sized, veil, veil_color
from foveate.visualize.bars import rgb_text
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, join, tag

MAX_SIDE = 480  # pixels of an embedded image's longer side
ROWS, COLUMNS = ("top", "", "bottom"), ("left", "", "right")


@dataclass
class CaptionFigure:
    """An image with the sentences that a model generated for it.

    image: (H, W[, C]).
    references: sentences that people wrote for it, if there are any; score: CIDEr-D of the best sentence against them.
    """

    name: str
    image: np.ndarray
    prediction: CaptionPrediction
    references: Sequence[str] = ()
    score: float | None = None


def caption_style(max_words: int) -> str:
    """The CSS of figures whose sentences have up to `max_words` words, to be added to that of every report."""
    # A word that is pointed at goes before one that has the focus.
    rules = (
        f".captioned:has(.w{i}:hover) .m{i},.captioned:not(:has(.word:hover)):has(.w{i}:focus) .m{i}{{opacity:1}}"
        for i in range(1, max_words + 1)
    )
    sheet = files("foveate.tasks.captioning").joinpath("style.css").read_text(encoding="utf-8")
    return sheet + "\n".join(rules) + "\n"


def caption_figure(example: CaptionFigure, number: int, *beneath: object) -> Markup:
    """One image with its caption, the words as buttons, the other sentences, and the strip of all maps.

    number: of the figure on its page. beneath: more on the image, to be placed under the caption.
    """
    best, others = example.prediction.sentences[0], example.prediction.sentences[1:]
    pixels = sized(example.image, MAX_SIDE)
    return tag(
        "figure",
        _view(example, best, pixels, f"p{number}"),
        tag(
            "figcaption",
            tag("p", tag("b", example.name), class_="name"),
            tag("p", _words(best), class_="sentence", lang="en"),
            tag("p", f"score {best.score:.3f}", class_="faint number"),
            beneath,
            other_sentences(others) if others else None,
        ),
        _strip(best, pixels, f"p{number}") if best.attention is not None else None,
        class_="captioned",
    )


def _view(example: CaptionFigure, best: Sentence, pixels: np.ndarray, key: str) -> Markup:
    """The large image with all maps over it; all are hidden but that of the chosen word."""
    height, width = pixels.shape[:2]
    size = {"width": width, "height": height}
    maps = [] if best.attention is None else list(best.attention)
    color = veil_color(pixels)
    symbols = [
        _symbol(attention, example.prediction.hard, color, f"{key}m{i}") for i, attention in enumerate(maps, start=1)
    ]
    return tag(
        "svg",
        tag("title", f"{example.name}: {best.text}"),
        tag("defs", symbols) if symbols else None,
        tag("image", id=key, href=data_uri(pixels), **size),
        [tag("use", href=f"#{key}m{i}", class_=f"map m{i}", **size) for i in range(1, len(maps) + 1)],
        viewbox=f"0 0 {width} {height}",
        role="img",
        class_="view",
    )


def _symbol(attention: np.ndarray, hard: bool, color: int, key: str) -> Markup:
    """A map as a veil over the image: thin where attention is high."""
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
    """(h, w) uint8 opacities -> a data URI of a PNG of one grey value."""
    buffer = io.BytesIO()
    Image.fromarray(np.stack([np.full_like(shade, color), shade], 2)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _words(best: Sentence) -> Iterable[Markup]:
    """The words: buttons if they have maps, plain text otherwise; without blanks between them if the text has none."""
    blank = " " if " " in best.text else ""
    for i, (word, probability) in enumerate(zip(best.words, best.probabilities.tolist(), strict=True), start=1):
        hint = f"probability {probability:.2f}"
        if best.attention is None:
            yield join(tag("span", word, title=hint), blank)
            continue
        hint += f"; looked most {peak_position(best.attention[i - 1])}"
        yield join(tag("button", word, type="button", class_=f"word w{i}", title=hint, aria_description=hint), blank)


def peak_position(attention: np.ndarray) -> str:
    """The position of the cell with the most attention in words: 'at the top left', 'in the middle'."""
    row, column = most(attention)
    vertical = ROWS[(2 * row + 1) * 3 // (2 * attention.shape[0])]
    across = COLUMNS[(2 * column + 1) * 3 // (2 * attention.shape[1])]
    words = " ".join(filter(None, (vertical, across)))
    return f"at the {words}" if words else "in the middle"


def other_sentences(others: Sequence[Sentence]) -> Markup:
    """Return the list of sentences after the best one, with their scores."""
    items = [tag("li", s.text, " ", tag("span", f"{s.score:.3f}", class_="faint number")) for s in others]
    return tag("div", tag("p", "Other sentences", class_="faint"), tag("ol", items), class_="others")


def _strip(best: Sentence, pixels: np.ndarray, key: str) -> Markup:
    """All maps side by side, each with its word: they are seen without pointing at anything."""
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
    return tag("details", tag("summary", "Word by word"), tag("ol", panels, class_="maps"), open=True)
