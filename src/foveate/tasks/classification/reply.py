"""Replies of image classification over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NotRequired, TypedDict

from foveate.errors import ConfigError
from foveate.records import ClassificationPrediction
from foveate.tasks.base import Sample
from foveate.tasks.options import Options, option
from foveate.tasks.replies import Replies
from foveate.tasks.views import corners


@dataclass(frozen=True)
class ClassificationParts(Options):
    """Parts of a reply. top: the number of classes."""

    top: int = option(5, "number of classes, the likeliest first", "N")

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ConfigError(f"top is {self.top}; give 1 or more")


class ClassEntry(TypedDict):
    """A class. probability: 0..1."""

    label: str
    probability: float


class Region(TypedDict):
    """The region that a spatial transformer sampled. corners: x, y in -1..1 over the network's input, clockwise."""

    corners: list[list[float]]


class ClassificationReply(TypedDict):
    """The likeliest classes.

    top: classes, the likeliest first.
    transforms: regions that the model's spatial transformers sampled.
    """

    top: list[ClassEntry]
    transforms: NotRequired[list[Region]]


class ClassificationReplies(Replies):
    """The part of the family that answers over HTTP."""

    Parts: ClassVar = ClassificationParts
    Reply: ClassVar = ClassificationReply

    def reply(
        self, prediction: ClassificationPrediction, sample: Sample, parts: ClassificationParts
    ) -> ClassificationReply:
        """The likeliest classes, and the regions that spatial transformers sampled."""
        found: ClassificationReply = {"top": [{"label": n, "probability": p} for n, p in prediction.top(parts.top)]}
        if prediction.transforms:
            found["transforms"] = [{"corners": corners(view.grid)} for view in prediction.transforms]
        return found

    def hugging_face(self, prediction: ClassificationPrediction, parts: ClassificationParts) -> list[dict[str, Any]]:
        """Image classification."""
        return [{"label": name, "score": p} for name, p in prediction.top(parts.top)]
