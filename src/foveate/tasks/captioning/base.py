"""The parts of a family that writes captions, which do not depend on what they are written of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foveate.errors import ConfigError
from foveate.metrics.captioning import References
from foveate.records import Table
from foveate.tasks.base import Task
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.text import UNKNOWN


class CaptionTask(Task):
    """A family that writes captions: their vocabulary, what people wrote, and the lines that are printed."""

    monitor = "cider_d"  # of captions that the model generated alone
    Options = CaptioningOptions
    batch_size = 32

    def __init__(self, tables: Mapping[str, Table], preprocessing: Any) -> None:
        super().__init__(tables, preprocessing)
        self.text: Any = self.tables["text"]
        self._references: tuple[Any, References] | None = None  # of the set that was scored last

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """The vocabulary of all training captions, as the recipe's `text` builds it. Decodes no input."""
        if recipe.text is None:
            raise ConfigError(f"recipe '{recipe.name}' does not say how captions become tokens; give its field text")
        texts = (caption.text for index in range(len(train_set)) for caption in train_set.captions(index))
        return {"text": recipe.text.learn(texts)}

    def lengths(self, training_set: Any) -> Sequence[int]:
        """Tokens a caption."""
        lengths: Sequence[int] = training_set.lengths
        return lengths

    def remark(self, training_set: Any) -> str:
        """The captions that are left out or cut."""
        return str(training_set.remark)

    def spelled(self, ids: Sequence[int]) -> str:
        """A caption as training reads it: the words that tokens spell, and '[unknown]' for those that they do not."""
        parts = []
        for unknown, run in itertools.groupby(ids, lambda token: token == UNKNOWN):
            parts += ["[unknown]"] if unknown else [word for word, _ in self.text.words(list(run))]
        return " ".join(parts)

    def require(self, options: CaptioningOptions) -> None:
        """Raise ConfigError for more beams than the vocabulary has tokens."""
        options.require(self.text)

    def references(self, dataset: Any) -> References:
        """The captions that people wrote for a set, counted once."""
        if self._references is None or self._references[0] is not dataset:
            texts = [[caption.text for caption in dataset.captions(index)] for index in range(len(dataset))]
            self._references = (dataset, References(texts))
        return self._references[1]

    def undefined(self, scores: Any) -> Sequence[tuple[str, str]]:
        """CIDEr-D of a single input: it weighs words by how few of the inputs they are used for."""
        return ((f"only one {self.noun()}", "CIDEr-D"),) if math.isnan(scores.cider_d) else ()

    def outcome(self, sample: Any, prediction: Any) -> dict[str, Any]:
        """The captions that people wrote, and the best one of the model."""
        return {"reference": [one.text for one in sample["captions"]], "predicted": prediction.sentences[0].text}

    def about(self) -> dict[str, Any]:
        """The number of tokens."""
        return {"vocabulary": len(self.text)}

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """All captions of a single input; of several, the best caption of each."""
        if len(records) > 1:
            yield from (f"{source}: {record['caption']} ({record['score']:.3f})" for source, record in records)
            return
        for source, record in records:
            yield f"{source}:"
            for one in (record, *record["alternatives"]):
                yield f"  {one['score']:7.3f}  {one['caption']}"
