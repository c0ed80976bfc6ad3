"""What one family's report shows beyond what all have: examples, tables, and how its pictures were looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveate.engine.evaluate import Evaluation
from foveate.tasks import create_task
from foveate.tasks.captioning import BEAMS
from foveate.visualize.captions import Told
from foveate.visualize.report import Canonical, ExampleFind, ExampleGuess, ExamplePicture

SHOWN = 6  # best pictures, and as many worst
MEANT = 1000  # pictures that a class's mean is taken over
NAMED = 12  # words of a vocabulary that are named


class Gatherer:
    """Of a family with nothing of its own to show."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation, self.loaded, self.dataset = evaluation, evaluation.loaded, evaluation.dataset
        self.task = create_task(self.loaded.task, self.loaded.classes, self.loaded.preprocessing)

    def examples(self) -> list[Any]:
        """The best and the worst pictures, best first."""
        return []

    def more(self) -> dict[str, Any]:
        """Fields of the Report that only this family fills."""
        return {}

    def notes(self) -> list[str]:
        """What else has to be known before its scores are quoted."""
        return []

    def manner(self) -> str:
        """How each picture was looked at, as a sentence."""
        said = self.evaluation.how.describe()
        way = f"with {said}" if said else "in one pass, without flips, several scales or refinement"
        return f"Each picture was scored {self.size()}, {way}."

    def size(self) -> str:
        """The size that the network saw, in words."""
        size = self.loaded.preprocessing.size
        return f"brought to {size[1]}x{size[0]} pixels" if size else "at its own size"

    def chosen(self) -> Iterator[tuple[Any, Any, float]]:
        """The best and the worst pictures by their own score, looked at again: (sample, prediction, score)."""
        ranked = sorted((p for p in self.evaluation.pictures if np.isfinite(p[1])), key=lambda p: -p[1])
        for index, own in ranked if len(ranked) <= 2 * SHOWN else ranked[:SHOWN] + ranked[-SHOWN:]:
            sample = self.dataset[index]
            with torch.inference_mode():
                answer = self.task.answer(self.loaded.model, sample["image"].as_subclass(Tensor), self.evaluation.how)
            yield sample, answer, own


class LabelGatherer(Gatherer):
    """Of label maps."""

    def examples(self) -> list[ExamplePicture]:
        """Pictures with true and predicted labels."""
        return [
            ExamplePicture(sample["name"], pixels(sample), sample["mask"].numpy(), prediction, own)
            for sample, prediction, own in self.chosen()
        ]

    def more(self) -> dict[str, Any]:
        """Classes, and what was taken for what."""
        return _confusion(self.evaluation)

    def notes(self) -> list[str]:
        """Which classes were not there."""
        return _absent(self.evaluation)


class ClassGatherer(Gatherer):
    """Of classes of whole pictures."""

    def examples(self) -> list[ExampleGuess]:
        """Pictures with their guesses."""
        names = self.loaded.classes.names
        return [
            ExampleGuess(sample["name"], names[sample["label"]], prediction, own)
            for sample, prediction, own in self.chosen()
        ]

    def more(self) -> dict[str, Any]:
        """Classes, what was taken for what, and each class's mean picture."""
        return _confusion(self.evaluation) | {"canonical": self._canonical()}

    def notes(self) -> list[str]:
        """Which classes were not there."""
        return _absent(self.evaluation)

    def _canonical(self) -> list[Canonical]:
        """The mean picture of each class, and of what the first spatial transformer makes of it, over some pictures."""
        sums: dict[int, list[Any]] = {}
        for index in range(min(MEANT, len(self.dataset))):
            sample = self.dataset[index]
            with torch.inference_mode():
                prediction = self.task.answer(self.loaded.model, sample["image"].as_subclass(Tensor))
            if not prediction.transforms or prediction.transforms[0].output is None:
                return []
            entry = sums.setdefault(sample["label"], [0, 0.0, 0.0])
            entry[0] += 1
            entry[1] = entry[1] + prediction.seen / 255.0
            entry[2] = entry[2] + prediction.transforms[0].output
        names = self.loaded.classes.names
        return [Canonical(names[label], a / n, b / n) for label, (n, a, b) in sorted(sums.items())]


class CaptionGatherer(Gatherer):
    """Of sentences."""

    def examples(self) -> list[Told]:
        """Pictures with what the model says of them, where it looked, and what people said."""
        hard = self.loaded.config.get("attention") == "hard"
        return [
            Told(sample["name"], pixels(sample), answer, hard, [c.text for c in sample["captions"]], own)
            for sample, answer, own in self.chosen()
        ]

    def more(self) -> dict[str, Any]:
        """How many words it knows, and which are the commonest in what people said."""
        said = Counter(
            word
            for index in range(len(self.dataset))
            for caption in self.dataset.captions(index)
            for word, _ in self.loaded.classes.words(self.loaded.classes.encode(caption.text))
        )
        common = ", ".join(word for word, _ in said.most_common(NAMED))
        return {"facts": [("Vocabulary", f"{len(self.loaded.classes)} tokens; the commonest here: {common}")]}

    def manner(self) -> str:
        """How sentences were found."""
        beams = self.evaluation.how.beams or BEAMS
        searched = f"with {beams} beams" if beams > 1 else "greedily, a word at a time"
        return (
            f"The model wrote every sentence alone, each picture {self.size()}; sentences were searched {searched}. No "
            "sentence was given its true beginning."
        )

    def notes(self) -> list[str]:
        """Why published figures are near, but not the same."""
        return [
            "Scores are computed on Foveate's own division into words, not on the Penn Treebank tokenizer of "
            "coco-caption: published figures of these names are near, but not the same."
        ]


class FindGatherer(Gatherer):
    """Of windows on common objects."""

    def examples(self) -> list[ExampleFind]:
        """Pictures with what was found in them."""
        return [ExampleFind(sample["name"], prediction, own) for sample, prediction, own in self.chosen()]

    def notes(self) -> list[str]:
        """Which pictures count in no share."""
        without = self.evaluation.scores.without
        return [f"{without} of these pictures hold no object; no share counts them."] if without else []


def gatherer(evaluation: Evaluation) -> Gatherer:
    """That of the evaluated model's family."""
    families: dict[str, type[Gatherer]] = {
        "semantic": LabelGatherer,
        "classification": ClassGatherer,
        "captioning": CaptionGatherer,
        "colocalisation": FindGatherer,
    }
    return families.get(evaluation.loaded.task, Gatherer)(evaluation)


def pixels(sample: Any) -> np.ndarray:
    """A sample's picture as overlays take it, (H, W, C) uint8."""
    image = sample["image"].as_subclass(Tensor)
    shown: Tensor = (image * 255).byte() if image.is_floating_point() else image
    return shown.permute(1, 2, 0).numpy()


def _confusion(evaluation: Evaluation) -> dict[str, Any]:
    return {"classes": evaluation.classes, "confusion": evaluation.scores.confusion}


def _absent(evaluation: Evaluation) -> list[str]:
    absent = [evaluation.classes.names[i] for i in evaluation.scores.absent]
    return [f"Not in these pictures, and left out of every mean: {', '.join(absent)}."] if absent else []
