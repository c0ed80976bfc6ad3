"""Drawings of a transcript: the spectrogram with the attention of every character below it, and the same as HTML.

Shapes: a spectrogram (M, F), low frequencies in the last row; attention (tokens, U); W words.
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from foveate.metrics.speech import align, scored_text
from foveate.ops.log_mel import LogMel
from foveate.ops.pyramid_rnn import normalize_over_time
from foveate.records import Sound, SpeechPrediction
from foveate.sounds import resampled
from foveate.tasks.captioning.figure import caption_style
from foveate.text import SPECIALS
from foveate.visualize.document import data_uri
from foveate.visualize.lettering import letters
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.sheets import INK, MUTED, PAPER

BANDS = 64  # of a drawn spectrogram
HEIGHT, WIDTH = 160, 960  # pixels of a spectrogram; WIDTH is the most
ROW, MARGIN = 14, 44  # pixels of a character's row of attention, and of the column of characters
MOST_ROWS = 120  # characters whose attention is drawn; of longer transcripts, words are
MOST_SECONDS, MOST_WORDS = 60.0, 120  # of a recording that are drawn; of a longer one its beginning is
MAX_SOUND_BYTES = 160_000  # of one embedded recording, before base64
SOUND_RATE = 16000  # Hz, the most of an embedded recording


def spectrogram(sound: Sound) -> np.ndarray:
    """The log-mel features of a recording, or its own, as (M, F) uint8, dark where it is quiet."""
    if sound.is_features:
        x = normalize_over_time(sound.values[None])[0].numpy()
    else:
        rate = int(sound.rate)
        values = sound.values
        features = LogMel(rate, BANDS if rate >= 8000 else 24, window=0.032)
        if len(values) < features.window:
            values = torch.nn.functional.pad(values, (0, features.window - len(values)))
        x = features(values[None])[0].numpy()
    low, high = np.percentile(x, (5, 99.5))
    scaled: np.ndarray = ((x - low) / max(float(high - low), 1e-6)).clip(0, 1)
    return np.rint(255 * scaled.T[::-1]).astype(np.uint8)


def shown(prediction: SpeechPrediction) -> tuple[int, int, float]:
    """(words, cells, seconds) of a prediction that drawings show: its beginning, where it is long."""
    best = prediction.transcripts[0]
    most = MOST_SECONDS if prediction.seconds > MOST_SECONDS else prediction.seconds
    words = min(int((best.times[:, 1] <= most + 1e-6).sum()), MOST_WORDS)
    if words == MOST_WORDS < len(best.words):
        most = float(best.times[words - 1, 1])
    return words, int(np.searchsorted(prediction.centres, most)), most


def attention_picture(sound: Sound, prediction: SpeechPrediction) -> Image.Image:
    """Draw the spectrogram, and below it a row a character (or a word, where there are many): dark where it attended.

    A recording that was cut has a line at every cut; of a long one the beginning is drawn, and the last line says so.
    """
    best = prediction.transcripts[0]
    words, cells, seconds = shown(prediction)
    rows, labels = _rows(prediction, words, cells)
    picture = spectrogram(_beginning(sound, seconds))
    width = int(min(max(picture.shape[1] * 2, 320), WIDTH))
    top = np.asarray(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.BILINEAR))
    drawn = Image.new("RGB", (MARGIN + width + 8, HEIGHT + ROW * (len(labels) + 3)), PAPER)
    drawn.paste(Image.fromarray(255 - top), (MARGIN, 0))
    if len(labels):
        strong = rows / np.maximum(rows.max(1, keepdims=True), 1e-9)
        pixels = np.rint(255 * (1 - strong[:, _cells_of_pixels(prediction, cells, seconds, width)])).astype(np.uint8)
        drawn.paste(Image.fromarray(np.repeat(pixels, ROW, 0)), (MARGIN, HEIGHT))
    draw = ImageDraw.Draw(drawn)
    font = letters(11)
    for i, label in enumerate(labels):
        name = "␣" if label == " " else label
        draw.text((MARGIN - 6, HEIGHT + ROW * i + ROW // 2), name[:6], fill=INK, font=font, anchor="rm")
    scale = width / max(seconds, 1e-6)
    below = HEIGHT + ROW * len(labels)
    for cut in prediction.cuts:
        if cut < seconds:
            draw.line([(MARGIN + cut * scale, 0), (MARGIN + cut * scale, below)], fill=(200, 60, 40))
    for word, (start, end) in zip(best.words[:words], best.times[:words], strict=True):
        draw.text((MARGIN + (start + end) / 2 * scale, below + ROW), word, fill=MUTED, font=font, anchor="mm")
    if words < len(best.words):
        text = f"the first {words} of {len(best.words)} words, {seconds:.0f} of {prediction.seconds:.0f} s"
        draw.text((MARGIN, below + 2 * ROW + ROW // 2), text, fill=INK, font=font, anchor="lm")
    return drawn


def _beginning(sound: Sound, seconds: float) -> Sound:
    return Sound(sound.values[: round(seconds * sound.rate)], sound.rate)


def _cells_of_pixels(prediction: SpeechPrediction, cells: int, seconds: float, width: int) -> np.ndarray:
    """The cell, of the first ones, that each column of pixels (width,) belongs to: the one with the nearest middle."""
    at = (np.arange(width) + 0.5) / width * seconds
    centres = prediction.centres[:cells]
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, at)


def _rows(prediction: SpeechPrediction, words: int, cells: int) -> tuple[np.ndarray, list[str]]:
    """Attention of each character of the first words, without the end's; or of each word, where there are many."""
    best = prediction.transcripts[0]
    places = word_places(best.tokens, best.words)
    last = places[words - 1][-1] if words and places else -1
    kept = [i for i in range(last + 1) if best.tokens[i] not in SPECIALS]
    if len(kept) <= MOST_ROWS:
        return best.attention_until(cells, kept), [best.tokens[i] for i in kept]
    return word_attention(prediction, words, cells), list(best.words[:words])


def word_places(tokens: Sequence[str], words: Sequence[str]) -> list[list[int]]:
    """The positions of each word's characters among the tokens; blanks and special tokens belong to none."""
    places: list[list[int]] = [[]]
    for position, token in enumerate(tokens):
        if token == " " or token in SPECIALS:
            places.append([])
        else:
            places[-1].append(position)
    found = [own for own in places if own]
    return found if len(found) == len(words) else []


def word_attention(prediction: SpeechPrediction, words: int, cells: int) -> np.ndarray:
    """The mean attention of each of the first words' characters over the first cells, (words, cells)."""
    best = prediction.transcripts[0]
    places = word_places(best.tokens, best.words)[:words]
    maps = [best.attention_until(cells, own).mean(0) for own in places]
    return np.stack(maps) if maps else np.zeros((0, cells), np.float32)


# HTML


@dataclass
class SpeechFigure:
    """A recording with the transcript that a model wrote.

    reference: the true text, if there is one; score: the word error rate against it.
    """

    name: str
    sound: Sound
    prediction: SpeechPrediction
    reference: str | None = None
    score: float | None = None


def speech_style(most_words: int) -> str:
    """The CSS of figures of up to `most_words` words, to be added to that of every report."""
    own = (
        "\n.spoken audio { width: 100%; margin-top: 0.5rem; }\n"
        ".aligned { font-size: 0.9375rem; line-height: 1.9; }\n"
        ".aligned del { color: var(--faint); }\n"
        ".aligned ins { background: #ffd640; color: #141414; text-decoration: none; border-radius: 4px; }\n"
    )
    return caption_style(most_words) + own


def speech_figure(example: SpeechFigure, number: int) -> Markup:
    """One recording as HTML: its sound, its spectrogram, and its words, each of which shows where it attended."""
    prediction = example.prediction
    best, others = prediction.transcripts[0], prediction.transcripts[1:]
    player, remark = audio_player(example.sound)
    parts = [
        tag("p", tag("b", example.name), class_="name"),
        tag("p", _words(example), class_="sentence"),
        tag("p", f"score {best.score:.3f}, {prediction.seconds:.2f} s", class_="faint number"),
    ]
    if example.reference is not None:
        rate = "" if example.score is None else f" (word error rate {example.score:.3f})"
        parts.append(
            tag("p", alignment(example.reference, best.text), tag("span", rate, class_="faint"), class_="aligned")
        )
    if prediction.cuts:
        cuts = ", ".join(f"{cut:.1f} s" for cut in prediction.cuts)
        parts.append(tag("p", f"Cut where it is quietest, and read in parts: {cuts}.", class_="faint"))
    drawn, _, seconds = shown(prediction)
    if drawn < len(best.words):
        parts.append(tag("p", f"The picture shows the first {drawn} words, {seconds:.0f} s.", class_="faint"))
    if others:
        items = [tag("li", one.text, " ", tag("span", f"{one.score:.3f}", class_="faint number")) for one in others]
        parts.append(tag("div", tag("p", "Other transcripts", class_="faint"), tag("ol", items), class_="others"))
    view = tag("div", _view(example, f"p{number}"), player, tag("p", remark, class_="faint") if remark else None)
    return tag("figure", view, tag("figcaption", parts), class_="captioned spoken")


def _view(example: SpeechFigure, key: str) -> Markup:
    """The spectrogram with a veil for each word over it; all are hidden but that of the chosen word."""
    words, cells, seconds = shown(example.prediction)
    picture = 255 - spectrogram(_beginning(example.sound, seconds))
    width = int(min(max(picture.shape[1] * 2, 320), WIDTH))
    pixels = np.asarray(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.BILINEAR).convert("RGB"))
    size = {"width": width, "height": HEIGHT}
    index = _cells_of_pixels(example.prediction, cells, seconds, width)
    veils = [
        tag("image", href=_veil(weights[index]), class_=f"map m{i}", preserveaspectratio="none", **size)
        for i, weights in enumerate(word_attention(example.prediction, words, cells), start=1)
    ]
    return tag(
        "svg",
        tag("title", f"{example.name}: {example.prediction.text}"),
        tag("image", id=key, href=data_uri(pixels), **size),
        veils,
        viewbox=f"0 0 {width} {HEIGHT}",
        role="img",
        class_="view",
    )


def _veil(weights: np.ndarray) -> str:
    """A strip (1, width) as a data URI: blue where attention is high, transparent elsewhere."""
    opacity = np.rint(170 * weights / max(float(weights.max()), 1e-9)).astype(np.uint8)[None]
    colour = np.stack([np.full_like(opacity, 31), np.full_like(opacity, 95), np.full_like(opacity, 200), opacity], 2)
    buffer = io.BytesIO()
    Image.fromarray(colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _words(example: SpeechFigure) -> list[Markup]:
    best = example.prediction.transcripts[0]
    drawn, _, _ = shown(example.prediction)
    found = []
    for i, (word, probability, (start, end)) in enumerate(
        zip(best.words, best.probabilities.tolist(), best.times.tolist(), strict=True), start=1
    ):
        hint = f"{start:.2f} to {end:.2f} s, probability {probability:.2f}"
        if i > drawn:
            found.append(join(tag("span", word, title=hint), " "))
            continue
        found.append(
            join(tag("button", word, type="button", class_=f"word w{i}", title=hint, aria_description=hint), " ")
        )
    return found


def alignment(reference: str, written: str) -> Markup:
    """The transcript, with errors marked: struck out what was not written, and highlighted what was written instead."""
    parts: list[object] = []
    for pair in align(scored_text(reference).split(), scored_text(written).split()):
        if not pair.is_error:
            parts += [pair.reference, " "]
            continue
        parts += [tag("del", pair.reference), " "] if pair.reference is not None else []
        parts += [tag("ins", pair.written), " "] if pair.written is not None else []
    return join("Said: ", parts)


def audio_player(sound: Sound) -> tuple[Markup | None, str]:
    """A player with the recording inside, of at most MAX_SOUND_BYTES, and a remark on what was changed; no sound of
    features."""
    if sound.is_features:
        return None, ""
    remark = ""
    rate = min(int(sound.rate), SOUND_RATE)
    if 2 * len(sound.values) * rate / sound.rate > MAX_SOUND_BYTES and rate > 8000:
        rate, remark = 8000, "At 8000 Hz here."
    kept = int(MAX_SOUND_BYTES / 2 / rate * sound.rate)
    if len(sound.values) > kept:
        remark = f"The first {kept / sound.rate:.0f} s{' at 8000 Hz' if remark else ''} here."
    short = resampled(Sound(sound.values[:kept], sound.rate), rate)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(short.values.numpy().clip(-1, 1) * 32767).astype("<i2").tobytes())
    source = "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()
    return tag("audio", controls=True, preload="metadata", src=source), remark
