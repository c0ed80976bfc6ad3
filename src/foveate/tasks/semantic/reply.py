"""Replies of semantic segmentation over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NotRequired, TypedDict

import numpy as np

from foveate.errors import ConfigError, counted
from foveate.records import SemanticPrediction
from foveate.tasks.base import Sample
from foveate.tasks.instances.reply import InstanceEntry, object_counts, object_entries
from foveate.tasks.options import Options, option
from foveate.tasks.replies import JPEG, PNG, Media, Replies, jpeg, png
from foveate.visualize.overlay import index_image

MOST_CONFIDENCE = 256_000_000  # bytes of the probabilities that a map of confidence is made from
MOST_WHOLE = 4_000_000  # pixels that the network sees at once


@dataclass(frozen=True)
class SemanticParts(Options):
    """Parts of a reply: the overlay, and the confidence of each pixel, for which the network runs once more."""

    overlay: bool = option(False, "also the mask over the image, with a legend")
    confidence: bool = option(False, "also the probability of each pixel's class, for which the network runs again")


class SemanticReply(TypedDict):
    """A predicted label map.

    mask: palette PNG whose pixel values are class indices, of the image's size; 16-bit grey above 256 classes.
    shares: class -> share of the pixels, 0..1.
    confidence: grey PNG, the probability of each pixel's class, 255 for 1.
    overlay: JPEG of the mask over the image, with a legend.
    objects: with the option of this name, the connected parts, split where they narrow.
    counts: class -> number of objects.
    note: a remark on how objects were found, or on how the input was taken.
    """

    mask: Annotated[Media, PNG]
    shares: dict[str, float]
    confidence: NotRequired[Annotated[Media, PNG]]
    overlay: NotRequired[Annotated[Media, JPEG]]
    objects: NotRequired[list[InstanceEntry]]
    counts: NotRequired[dict[str, int]]
    note: NotRequired[str]


class SemanticReplies(Replies):
    """The part of the family that answers over HTTP."""

    Parts: ClassVar = SemanticParts
    Reply: ClassVar = SemanticReply

    def reply(self, prediction: SemanticPrediction, sample: Sample, parts: SemanticParts) -> SemanticReply:
        """The mask and the shares; the overlay and the confidence if they are asked for."""
        found: SemanticReply = {
            "mask": png(index_image(prediction.mask, prediction.classes)),
            "shares": prediction.shares(),
        }
        if prediction.objects is not None:
            found["objects"], found["counts"] = object_entries(prediction.objects), object_counts(prediction.objects)
            if prediction.objects.note:
                found["note"] = prediction.objects.note
        if parts.confidence:
            needed = 4 * len(prediction.classes) * prediction.mask.size
            if needed > MOST_CONFIDENCE:
                classes = counted(len(prediction.classes), "class")
                raise ConfigError(
                    f"confidence of {prediction.mask.size:,} pixels and {classes} takes "
                    f"{needed / 1e6:,.0f} MB; at most {MOST_CONFIDENCE / 1e6:,.0f} are taken: leave it out, or send a "
                    "smaller picture"
                )
            found["confidence"] = png(np.rint(prediction.confidence() * 255).astype(np.uint8))
        if parts.overlay:
            found["overlay"] = jpeg(prediction.overlay())
        return found

    def hugging_face(self, prediction: SemanticPrediction, parts: Any) -> list[dict[str, Any]]:
        """Image segmentation: a mask of 0 and 255 of each class that was found; the classes have no score."""
        present = np.unique(prediction.mask)
        names = prediction.classes.names
        return [
            {"label": names[k], "mask": png(np.where(prediction.mask == k, np.uint8(255), np.uint8(0))), "score": None}
            for k in present.tolist()
        ]

    def require_served(self, sample: Sample, options: Any) -> None:
        """Raise ConfigError for options with which the network would see too many pixels at once."""
        image = sample["image"]
        tiling = options.tiling(image.height, image.width)
        pixels = image.height * image.width
        pixels = pixels if tiling is None else min(pixels, tiling.tile**2)
        scaled = int(pixels * max(options.scales) ** 2)
        if scaled > MOST_WHOLE:
            given = options.describe() or "in tiles as usual"
            raise ConfigError(
                f"the network would see {scaled:,} pixels at once ({given}); at most {MOST_WHOLE:,} are taken: leave "
                "these options out, choose smaller tiles, or send a smaller picture"
            )
