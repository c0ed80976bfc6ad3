"""A clip with its caption as HTML, without a script: the clip plays, and each word shows the frames it attended to.

Frames are embedded once as a film in a row, and as an animation. Under the film, a row a word has the attention of each
frame as a bar; a word that is pointed at, or has the focus, is the one whose row is coloured.

Shapes: K frames that were read, T words.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from PIL import Image

from foveate.records import Clip, Sentence, VideoPrediction
from foveate.tasks.captioning.figure import other_sentences
from foveate.tasks.video.strip import frame_images
from foveate.visualize.document import data_uri
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.report.parts import scroll_box

PLAYED, SHOWN = 320, 96  # pixels of the longer side of the animation, and of a frame of the film
SLOWEST_MS, FASTEST_MS = 500, 60  # that a frame of the animation is shown
COLUMN, BAR = SHOWN + 2, 28  # width of a frame's column, and height of the bars in it


@dataclass
class VideoFigure:
    """A clip with the sentences that a model generated for it.

    references: sentences that people wrote for it, if there are any; score: CIDEr-D of the best sentence against them.
    """

    name: str
    clip: Clip
    prediction: VideoPrediction
    references: Sequence[str] = ()
    score: float | None = None


def video_style(max_words: int) -> str:
    """The CSS of figures whose sentences have up to `max_words` words, to be added to that of every report."""
    rules = (
        f".clip:has(.w{i}:hover) .r{i},.clip:not(:has(.word:hover)):has(.w{i}:focus) .r{i}"
        "{--bar:#c95214;font-weight:700}"
        for i in range(1, max_words + 1)
    )
    captions = files("foveate.tasks.captioning").joinpath("style.css").read_text(encoding="utf-8")
    own = files("foveate.tasks.video").joinpath("style.css").read_text(encoding="utf-8")
    return captions + own + "\n".join(rules) + "\n"


def video_figure(example: VideoFigure, *beneath: object) -> Markup:
    """One clip, playing, with its caption, the other sentences, and the attention of every word over the frames.

    beneath: more on the clip, to be placed under the caption.
    """
    best, others = example.prediction.sentences[0], example.prediction.sentences[1:]
    clip = example.clip
    about = f"{clip.count} frames" + (f", {clip.duration:.1f} s" if clip.duration else "")
    return tag(
        "figure",
        None if clip.is_features else _animation(clip, f"{example.name}: {best.text}"),
        tag(
            "figcaption",
            tag("p", tag("b", example.name), " ", tag("span", about, class_="faint"), class_="name"),
            tag("p", _words(best, example), class_="sentence", lang="en"),
            tag("p", f"score {best.score:.3f}", class_="faint number"),
            beneath,
            other_sentences(others) if others else None,
        ),
        _film(example, best),
        class_="captioned clip",
    )


def _animation(clip: Clip, title: str) -> Markup:
    """The frames that were read, as a WebP that plays in a loop."""
    images = [Image.fromarray(one) for one in frame_images(clip, PLAYED)]
    shown = 1000 * clip.duration / len(images) if clip.duration else 150
    buffer = io.BytesIO()
    images[0].save(
        buffer, "WEBP", save_all=True, append_images=images[1:], loop=0, quality=60, method=0,
        duration=round(min(max(shown, FASTEST_MS), SLOWEST_MS)),
    )  # fmt: skip
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return tag("img", src=uri, alt=title, width=images[0].width, height=images[0].height, class_="view")


def _words(best: Sentence, example: VideoFigure) -> Iterable[Markup]:
    """The words as buttons; without blanks between them if the text has none."""
    blank = " " if " " in best.text else ""
    rows = example.prediction.attention()
    for i, (word, probability) in enumerate(zip(best.words, best.probabilities.tolist(), strict=True), start=1):
        hint = f"probability {probability:.2f}; attended most at {example.clip.time(int(rows[i - 1].argmax()))}"
        yield join(tag("button", word, type="button", class_=f"word w{i}", title=hint, aria_description=hint), blank)


def _film(example: VideoFigure, best: Sentence) -> Markup:
    """The frames in a row with their times, and a row a word below."""
    clip, attention = example.clip, example.prediction.attention()
    count = len(example.prediction.numbers)
    images = [] if clip.is_features else frame_images(clip, SHOWN)
    heads = [
        tag(
            "th",
            tag("img", src=data_uri(images[i]), alt="", width=SHOWN) if images else None,
            clip.time(i),
            scope="col",
        )
        for i in range(count)
    ]
    most = max(float(attention.max()), 1e-12) if attention.size else 1.0
    rows = [
        tag("tr", tag("th", word, scope="row"), tag("td", _bars(row.tolist(), most), colspan=count), class_=f"r{i}")
        for i, (word, row) in enumerate(zip(best.words, attention, strict=True), start=1)
    ]
    table = tag("table", tag("thead", tag("tr", tag("td"), heads)), tag("tbody", rows), class_="film")
    return tag("details", tag("summary", "Frame by frame"), scroll_box("Attention over the frames", table), open=True)


def _bars(weights: Sequence[float], most: float) -> Markup:
    """A bar a frame, whose height is its share of the largest weight."""
    bars = [
        tag("rect", tag("title", f"{weight:.3f}"), x=i * COLUMN + 1, y=BAR - height, width=COLUMN - 2, height=height)
        for i, weight in enumerate(weights)
        if (height := round(BAR * weight / most))
    ]
    return tag("svg", bars, width=len(weights) * COLUMN, height=BAR, aria_hidden="true")
