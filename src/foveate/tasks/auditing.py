"""Records of an audit of labels: what a family finds in one sample, and the labels that are likely wrong.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021: a label is
doubted where the model gives another class at least the probability that it gives, on average, to samples that are
labelled as that class (the class's threshold, section 3.1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL.Image import Image
from torch import nn

from foveate.errors import ConfigError

CERTAIN = 0.99  # upper bound of a class's threshold: a prediction this sure may contradict any label


@dataclass(frozen=True)
class Suspect:
    """A label that is likely wrong.

    given, likely: names of its class and of the one that the model is sure of. probability: that the model gives the
    likely class (of a region, its mean). given_probability: of the given class. size: pixels of a region, 1 for a
    whole sample. box: left, top, right and bottom of a region in pixels, right and bottom exclusive; () for a sample.
    """

    given: str
    likely: str
    probability: float
    given_probability: float
    size: int = 1
    box: tuple[int, ...] = ()

    @property
    def weight(self) -> float:
        """The rank of a suspect: its margin, times the square root of its pixels, so that large regions come first."""
        return (self.probability - self.given_probability) * self.size**0.5


@dataclass
class Audited:
    """Findings of a family in one sample.

    doubt: of the model, 0 (sure) to 1; nan for a sample without a label. suspects: labels with a likelier
    class. confidence: class -> (sum of the probabilities that labels of the class are given, their number).
    """

    doubt: float
    suspects: list[Suspect] = field(default_factory=list)
    confidence: dict[str, tuple[float, int]] = field(default_factory=dict)


def thresholds(found: Iterable[Audited]) -> dict[str, float]:
    """Class -> the mean probability that the model gives to the labels of the class, CERTAIN at most."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in found:
        for name, (total, count) in one.confidence.items():
            sums[name][0] += total
            sums[name][1] += count
    return {name: min(total / count, CERTAIN) for name, (total, count) in sums.items() if count}


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of probabilities (K, ...) over that of K equal ones, 0..1."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return np.asarray(-(probabilities * logs).sum(axis=0) / np.log(max(len(probabilities), 2)))


class Audits:
    """The part of a family's contract that audits labels; see `tasks.base.Task`."""

    title: ClassVar[str]

    def audit(self, runner: nn.Module, sample: Any, options: Any) -> Audited:
        """Doubts about the label of one sample, for `foveate datasets audit`.

        Raises ConfigError for a family whose labels cannot be doubted so, and for options without probabilities.
        """
        raise ConfigError(
            f"labels of {self.title} cannot be audited: a label is doubted where the model is sure of another class "
            "of a pixel or of an image; audits are for semantic segmentation and image classification"
        )

    def draw_suspect(self, runner: nn.Module, sample: Any, suspect: Suspect | None, options: Any) -> Image:
        """A drawing of a doubted label with what the model answers; of the whole sample for None."""
        raise ConfigError(f"labels of {self.title} cannot be audited")
