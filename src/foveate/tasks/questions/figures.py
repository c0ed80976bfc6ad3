"""Drawings of an answer: the map of each hop, and the word that decided each place; and the same as HTML.

Shapes: images (H, W[, C]); maps (h, w), which cover the whole image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from foveate.records import ClassTable, QuestionPrediction
from foveate.tasks.captioning.attention import attention_overlay, sized
from foveate.visualize.bars import score_text
from foveate.visualize.document import data_uri
from foveate.visualize.lettering import letters, shortened
from foveate.visualize.markup import Markup, tag
from foveate.visualize.overlay import overlay
from foveate.visualize.sheets import INK, PAPER, grid

LONGEST_SIDE = 960  # pixels of an image that is drawn
PANEL = 260  # pixels of the longer side of a panel
PADDING = "(padding)"  # where padding decides
HOPS = ("first hop", "second hop")


@dataclass
class QuestionExample:
    """A question that was answered.

    image: (H, W[, C]). answers: true ones, if they are known. accuracy: of the prediction, if it is known.
    """

    name: str
    image: np.ndarray
    prediction: QuestionPrediction
    answers: Sequence[str] = ()
    accuracy: float | None = None


def attention_panels(image: np.ndarray, prediction: QuestionPrediction) -> Image.Image:
    """Draw the image, it under the map of each hop, and it with the places in the colour of their word."""
    resized = sized(image, PANEL)
    panels = [_panel(resized, prediction.text)]
    if prediction.attention is not None:
        panels += [
            _panel(attention_overlay(resized, one), words)
            for one, words in zip(prediction.attention, HOPS, strict=False)
        ]
    if prediction.winner is not None:
        panels.append(_words_panel(resized, prediction))
    return grid(panels, len(panels), PANEL)


def _panel(pixels: np.ndarray, words: str) -> Image.Image:
    height, width = pixels.shape[:2]
    line = PANEL // 9
    panel = Image.new("RGB", (PANEL, height + line), PAPER)
    panel.paste(Image.fromarray(pixels), ((PANEL - width) // 2, 0))
    font = letters(PANEL // 16)
    position = (PANEL // 2, height + line // 2)
    ImageDraw.Draw(panel).text(position, shortened(words, font, PANEL), fill=INK, font=font, anchor="mm")
    return panel


def _words_panel(pixels: np.ndarray, prediction: QuestionPrediction) -> Image.Image:
    """The word of each place as a colour, and below the words with their shares of the first hop's attention."""
    assert prediction.winner is not None
    names = [prediction.words[i] if i >= 0 else PADDING for i in range(-1, len(prediction.words))]
    shown = [name for name in dict.fromkeys(names) if name in {names[i + 1] for i in prediction.winner.flat}]
    table = ClassTable(tuple(shown))
    labels = np.array([shown.index(names[i + 1]) for i in prediction.winner.flat], np.uint8)
    height, width = pixels.shape[:2]
    mask = Image.fromarray(labels.reshape(prediction.winner.shape)).resize((width, height), Image.Resampling.NEAREST)
    painted = overlay(pixels, np.asarray(mask), table)
    weights = dict.fromkeys(shown, 0.0)
    assert prediction.attention is not None
    for i, weight in zip(prediction.winner.flat, prediction.attention[0].flat, strict=True):
        weights[names[i + 1]] += float(weight)
    font = letters(PANEL // 18)
    step = PANEL // 12
    panel = Image.new("RGB", (PANEL, height + step // 2 + step * len(shown)), PAPER)
    panel.paste(Image.fromarray(painted), ((PANEL - width) // 2, 0))
    draw = ImageDraw.Draw(panel)
    for row, name in enumerate(sorted(shown, key=lambda name: -weights[name])):
        top = height + step // 2 + step * row
        draw.rectangle((4, top + 3, 4 + step - 8, top + step - 5), fill=table.colors[shown.index(name)])
        text = shortened(f"{name}  {weights[name]:.0%}", font, PANEL - step - 8)
        draw.text((step + 4, top + step // 2), text, fill=INK, font=font, anchor="lm")
    return panel


def question_figure(example: QuestionExample) -> Markup:
    """One question as HTML: the drawing, the question with its words' shares, and the likeliest answers."""
    prediction = example.prediction
    drawn = attention_panels(example.image, prediction)
    alt = f"{example.name}: {prediction.question} {prediction.text}"
    size = {"width": drawn.width, "height": drawn.height}
    answers = [tag("li", name, " ", tag("span", score_text(p), class_="faint number")) for name, p in prediction.top()]
    unread = tag("p", f"Not read: {', '.join(prediction.unread)}", class_="faint") if prediction.unread else None
    truth = None
    if example.answers:
        verdict = "" if example.accuracy is None else f" (accuracy {example.accuracy:.2f})"
        truth = tag("p", f"True: {', '.join(dict.fromkeys(example.answers))}{verdict}", class_="faint")
    return tag(
        "figure",
        tag(
            "div",
            tag("img", src=data_uri(np.asarray(drawn)), alt=alt, decoding="async", **size),
            class_="wide-panel",
        ),
        tag(
            "figcaption",
            tag("span", tag("b", prediction.question), tag("span", example.name, class_="faint"), class_="headline"),
            tag("p", prediction.text, class_="strong"),
            truth,
            unread,
            tag("ol", answers),
        ),
        class_="example",
    )
