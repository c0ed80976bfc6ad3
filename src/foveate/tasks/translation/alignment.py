"""Drawings of an alignment: which source words each word of a translation attends to, as an image and as SVG.

Shapes: attention (n, m) of n target words to m source words, the end of the source last; rows sum to 1.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from foveate.errors import DataError
from foveate.records import Translation, TranslationPrediction
from foveate.visualize.lettering import letters, shortened
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.sheets import INK, PAPER

CELL, FONT, MARGIN, WIDEST = 26, 15, 12, 220  # pixels: of a cell, of the text, around, and of the longest word
DARK = (20, 50, 110)  # colour of an attention of 1
FAINT = 0.02  # attention that SVG leaves out
LONGEST_WORD = 24  # characters of a word in SVG
STYLE = """
.aligned { display: grid; gap: 0.9rem; margin-top: 1.5rem; padding: 1.1rem; background: var(--card); \
border: 1px solid var(--rule); border-radius: 12px; }
.aligned figcaption { display: grid; gap: 0.4rem; color: var(--ink); font-size: 1rem; }
.aligned .name { font-size: 0.875rem; }
.aligned .matrix { overflow-x: auto; }
.aligned svg { display: block; max-width: none; margin: 0; }
.aligned text { font-size: 13px; fill: var(--ink); }
.aligned .frame { fill: none; stroke: var(--rule); }
.aligned .mass { fill: var(--s1, #2a5db0); }
.aligned ol { margin: 0.2rem 0 0; padding-left: 1.3rem; font-size: 0.9375rem; }
"""


def alignment_png(prediction: TranslationPrediction) -> Image.Image:
    """Draw the best translation's alignment: a row for each of its words, a column for each source word.

    The darker a cell, the more attention. Characters that the font of `letters` does not have are drawn as boxes.
    Raises DataError for a model without attention.
    """
    best = prediction.translations[0]
    attention = _attention(best)
    font = letters(FONT)
    rows = [shortened(word, font, WIDEST) for word in best.words]
    columns = [shortened(word, font, WIDEST) for word in prediction.source_words]
    left = MARGIN + round(max((font.getlength(word) for word in rows), default=0)) + 8
    top = MARGIN + round(max(font.getlength(word) for word in columns)) + 8
    size = (left + CELL * len(columns) + MARGIN, top + CELL * max(len(rows), 1) + MARGIN)
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    for j, word in enumerate(columns):
        label = Image.new("RGB", (top - MARGIN - 8, CELL), PAPER)
        ImageDraw.Draw(label).text((0, CELL // 2), word, fill=INK, font=font, anchor="lm")
        canvas.paste(label.rotate(90, expand=True), (left + j * CELL, MARGIN))
    for i, word in enumerate(rows):
        middle = top + i * CELL + CELL // 2
        draw.text((left - 8, middle), word, fill=INK, font=font, anchor="rm")
        for j in range(len(columns)):
            share = float(np.clip(attention[i, j], 0.0, 1.0))
            color = tuple(round(p + share * (d - p)) for p, d in zip(PAPER, DARK, strict=True))
            x, y = left + j * CELL, top + i * CELL
            draw.rectangle((x, y, x + CELL - 2, y + CELL - 2), fill=color)
    return canvas


def alignment_svg(prediction: TranslationPrediction) -> Markup:
    """Draw the best translation's alignment as SVG. Raises DataError for a model without attention."""
    best = prediction.translations[0]
    attention = _attention(best)
    rows, columns = [_cut(word) for word in best.words], [_cut(word) for word in prediction.source_words]
    left, top = 8 * max(map(len, rows), default=0) + 10, 8 * max(map(len, columns)) + 10
    width, height = left + CELL * len(columns) + 2, top + CELL * len(rows) + 2
    parts: list[Markup] = []
    for j, word in enumerate(columns):
        x, y = left + j * CELL + CELL / 2 + 4, top - 6
        parts.append(tag("text", word, x=x, y=y, transform=f"rotate(-90 {x:g} {y:g})"))
    for i, word in enumerate(rows):
        parts.append(tag("text", word, x=left - 6, y=top + i * CELL + CELL / 2 + 4, text_anchor="end"))
        for j in np.flatnonzero(attention[i] >= FAINT).tolist():
            hint = tag("title", f"{best.words[i]} – {prediction.source_words[j]}: {attention[i, j]:.2f}")
            box = {"x": left + j * CELL, "y": top + i * CELL, "width": CELL - 2, "height": CELL - 2}
            parts.append(tag("rect", hint, class_="mass", fill_opacity=float(attention[i, j]), **box))
    frame = tag("rect", x=left - 1, y=top - 1, width=CELL * len(columns), height=CELL * len(rows), class_="frame")
    title = tag("title", f"{prediction.sentence}: {best.text}")
    return tag(
        "svg", title, frame, parts, width=width, height=height, viewbox=f"0 0 {width} {height}", role="img"
    )  # fmt: skip


def translation_figure(prediction: TranslationPrediction, *beneath: object, name: str = "") -> Markup:
    """A sentence with its translation, the other ones, and the alignment.

    beneath: more on it, under the translation. name: of the sentence, above it.
    """
    best, *others = prediction.translations
    listed = [tag("li", t.text, " ", tag("span", f"{t.score:.3f}", class_="faint number")) for t in others]
    drawn = best.attention is not None and len(best.words) > 0
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("p", tag("b", name), class_="name") if name else None,
            tag("p", prediction.sentence),
            tag("p", tag("b", best.text), " ", tag("span", f"{best.score:.3f}", class_="faint number")),
            beneath,
            join(tag("p", "Other translations", class_="faint"), tag("ol", listed)) if listed else None,
            tag("p", prediction.note, class_="faint") if prediction.note else None,
        ),
        tag("div", alignment_svg(prediction), class_="matrix", tabindex=0) if drawn else None,
        class_="aligned",
    )


def _attention(translation: Translation) -> np.ndarray:
    if translation.attention is None:
        raise DataError(
            f"'{translation.text}' comes from a model without attention, which aligns no words; give one of a model "
            "with attention, such as rnnsearch"
        )
    return translation.attention


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD - 1] + "…"
