"""Replies of a family over HTTP (`foveate serve`): their form, and what is sent only when it is asked for.

A reply is a dict of plain values; a picture in it is a `Media`, which is sent as base64, or alone if a client accepts
nothing else. Every family has a reply, its record in predictions.json, without writing one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from foveate.tasks.options import Options

if TYPE_CHECKING:
    from foveate.tasks.base import Sample

PNG, JPEG, SVG = "image/png", "image/jpeg", "image/svg+xml"


class Media(NamedTuple):
    """A file inside a reply. kind: its media type."""

    data: bytes
    kind: str


class Replies:
    """Defaults of a family's replies, for `Task`.

    Parts: what a reply holds only if it is asked for, a dataclass of options; each is a parameter of a request.
    Reply: the form of a reply, a TypedDict, from which the description of the interface is made.
    """

    Parts: ClassVar[type[Options]] = Options
    Reply: ClassVar[Any] = dict

    def reply(self, prediction: Any, sample: Sample, parts: Any) -> Mapping[str, Any]:
        """The reply to one input; by default its record in predictions.json.

        parts: an instance of `Parts`. Raises ConfigError for a part that this prediction does not have.
        """
        found: Mapping[str, Any] = self.record(prediction)  # type: ignore[attr-defined]
        return found

    def reply_to_all(self, predictions: Sequence[Any], parts: Any) -> Mapping[str, Any]:
        """The reply with what a model generated; by default that of one, or 'results' with one of each."""
        replies = [self.reply(prediction, {"name": prediction.name}, parts) for prediction in predictions]
        return replies[0] if len(replies) == 1 else {"results": replies}

    def hugging_face(self, prediction: Any, parts: Any) -> Any:
        """The prediction in the form of Hugging Face's inference interface; None for a family without one."""
        return None

    def require_served(self, sample: Sample, options: Any) -> None:
        """Raise ConfigError for options that would take too much memory for this input; by default all are taken."""


def png(image: Image.Image | np.ndarray) -> Media:
    """An image as a PNG file; an array is (H, W) or (H, W, C) uint8."""
    return _media(image, "PNG", PNG)


def jpeg(image: Image.Image, quality: int = 90) -> Media:
    """An image as a JPEG file."""
    return _media(image, "JPEG", JPEG, quality=quality)


def _media(image: Image.Image | np.ndarray, format: str, kind: str, **options: Any) -> Media:
    file = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(file, format=format, **options)
    return Media(file.getvalue(), kind)


def attention_png(weights: np.ndarray) -> Media:
    """A map of attention (h, w), the largest weight white, as a grey PNG."""
    peak = max(float(weights.max(initial=0)), 1e-12)
    return png(np.rint(np.clip(weights / peak, 0, 1) * 255).astype(np.uint8))
