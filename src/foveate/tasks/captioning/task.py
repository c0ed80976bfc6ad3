"""The family of captioning: how pictures and sentences become batches, and how sentences are searched and scored.

Shapes: B pictures of C channels, a grid of h x w places, L tokens, V in the vocabulary.

A captioning model offers, beside `forward` and `loss`, what a search needs:

    encode(image (B, C, H, W)) -> features (B, D, h, w)        what does not change while the backbone is frozen
    begin(features) -> memory, state                           once a picture
    step(memory, state, tokens (B,)) -> logits (B, V), state, attention (B, h w) or None
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from foveate.errors import ConfigError, DataError, ModelError
from foveate.metrics.captioning import CaptioningMetrics, References
from foveate.ops.search import Hypothesis, beam_search
from foveate.records import CaptionBatch, CaptionDataset, CaptionPrediction, Preprocessing, Sentence
from foveate.registry import task
from foveate.tasks.classification import fit
from foveate.tasks.inference import Inference
from foveate.text import END, PAD, START, UNKNOWN, Table

BEAMS = 5
LONGEST = 40  # tokens that are learned of a sentence, or written of one
AT_ONCE = 32  # pictures that are described together


@task("captioning")
class CaptioningTask:
    """What the engine needs to know of a vocabulary and a model's input."""

    monitor = "cider_d"  # the score that says which epoch is best, of sentences that the model wrote alone
    headline = ("cider_d", "bleu4")  # what an epoch logs

    def __init__(self, classes: Table, preprocessing: Preprocessing) -> None:
        self.classes, self.preprocessing = classes, preprocessing
        self._references: tuple[Any, References] | None = None  # of the set that was scored last

    def training_view(self, dataset: CaptionDataset) -> Pairs:
        """The set as pairs of a picture and one of its sentences."""
        return Pairs(dataset, self.classes)

    def collate(self, samples: Sequence[Any]) -> CaptionBatch:
        """Samples of `Pairs` -> one batch; shorter sentences are filled up with <pad>."""
        longest = max(len(s["tokens"]) for s in samples)
        tokens = torch.full((len(samples), longest), PAD)
        for row, sample in zip(tokens, samples, strict=True):
            row[: len(sample["tokens"])] = sample["tokens"]
        batch: CaptionBatch = {"tokens": tokens, "names": [s["name"] for s in samples]}
        batch.update(self._pictures(samples))  # type: ignore[typeddict-item]
        return batch

    def _pictures(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        if "features" in samples[0]:
            return {"features": torch.stack([s["features"] for s in samples]).float()}
        fitting = [fit(s["image"].as_subclass(Tensor), self.preprocessing) for s in samples]
        return {"image": self.preprocessing(torch.stack(fitting)).contiguous(memory_format=torch.channels_last)}

    def weigh_classes(self, samples: Iterable[Any], kind: str) -> None:
        """There are no classes to weigh. Raises ConfigError."""
        raise ConfigError(f"class_weights '{kind}' is for labels, and captions have none; leave it at none")

    def metrics(self, dataset: CaptionDataset, whole: bool = True) -> CaptioningMetrics:
        """An empty counter of a set's scores. whole: no matter here, all of them are cheap."""
        if self._references is None or self._references[0] is not dataset:
            said = [[caption.text for caption in dataset.captions(index)] for index in range(len(dataset))]
            self._references = (dataset, References(said))
        return CaptioningMetrics(self._references[1])

    def filled(self, how: Inference) -> Inference:
        """A way to look with the number of beams that it has where none is given."""
        return replace(how, beams=how.beams or BEAMS)

    def score(
        self,
        model: nn.Module,
        dataset: CaptionDataset,
        indices: Iterable[int],
        metrics: CaptioningMetrics,
        how: Inference = Inference(),  # noqa: B008 - frozen
    ) -> Iterator[tuple[int, float]]:
        """Count the sentences that the model writes of some pictures; yields (index, its own CIDEr-D) of each."""
        indices = iter(indices)
        while some := list(itertools.islice(indices, AT_ONCE)):
            samples = [dataset[i] for i in some]
            for index, sample, (best, *_) in zip(
                some, samples, describe(model, self._pictures(samples), self.classes, how, n_best=1), strict=True
            ):
                masks, named = sample.get("masks"), sample.get("named")
                own = metrics.update(index, best.text, best.words, best.attention, masks, named)
                yield index, own

    def answer(
        self,
        model: nn.Module,
        image: Tensor,
        how: Inference = Inference(),  # noqa: B008 - frozen
        *,
        n_best: int = 0,
    ) -> CaptionPrediction:
        """What the model says of a picture (C, H, W); n_best as in `describe`."""
        (sentences,) = describe(model, self._pictures([{"image": image}]), self.classes, how, n_best=n_best)
        return CaptionPrediction(sentences)


class Pairs:
    """A set of pictures as pairs of a picture and one of its sentences.

    lengths: of each, in tokens, so that like ones can be batched. Sentences without a known word are left out, long
    ones are cut after LONGEST tokens; `remark` says of how many. Raises DataError if no sentence is left.
    """

    def __init__(self, dataset: CaptionDataset, table: Table) -> None:
        self.dataset = dataset
        self.pairs: list[tuple[int, Tensor]] = []
        strange = cut = 0
        for index in range(len(dataset)):
            for caption in dataset.captions(index):
                ids = table.encode(caption.text)
                strange += not set(ids) - {UNKNOWN}
                if set(ids) - {UNKNOWN}:
                    cut += len(ids) >= LONGEST
                    self.pairs.append((index, torch.tensor([*ids, END][:LONGEST])))
        if not self.pairs:
            raise DataError(
                f"none of the captions of {len(dataset)} pictures has a word of the vocabulary; set text.least lower, "
                "or train on the captions that the vocabulary was made of"
            )
        self.lengths = [len(ids) for _, ids in self.pairs]
        words = [f"{strange} captions without a known word left out"] if strange else []
        words += [f"{cut} captions cut after {LONGEST} tokens"] if cut else []
        self.remark = "; ".join(words)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, pair: int) -> dict[str, Any]:
        index, ids = self.pairs[pair]
        sample: Any = self.dataset[index]
        kept = {key: sample[key] for key in ("image", "features", "name") if key in sample}
        return kept | {"tokens": ids}


def require_search(how: Inference, tokens: int) -> None:
    """A sentence is searched; there is no label map to refine, and no view to average. Raises ConfigError.

    So does a search with more beams than the vocabulary has tokens, here before memory is taken for each.
    """
    if how != Inference(beams=how.beams):
        raise ConfigError(
            f"a picture is not described with {replace(how, beams=0).describe()}; only --beams is for captions"
        )
    if how.beams > tokens:
        raise ConfigError(
            f"cannot search with {how.beams} beams over a vocabulary of {tokens} tokens; give 1..{tokens}"
        )


@torch.no_grad()
def describe(
    model: Any,
    pictures: dict[str, Tensor],
    table: Table,
    how: Inference = Inference(),  # noqa: B008 - frozen
    *,
    n_best: int = 0,
) -> list[tuple[Sentence, ...]]:
    """What a model says of B pictures: up to `n_best` sentences of each (0: as many as beams), best first.

    pictures: 'image' (B, C, H, W), normalised, or 'features' (B, D, h, w).
    Raises ConfigError for a look that is none for captions, or more beams than tokens, ModelError for a table that is
    not the model's.
    """
    require_search(how, len(table))
    beams = how.beams or BEAMS
    # An exported model has no parameters, and takes what is on the CPU.
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    on_device = {key: value.to(device) for key, value in pictures.items()}
    features = on_device["features"] if "features" in on_device else model.encode(on_device["image"])
    memory, state = model.begin(features)

    def step(memory: Any, state: Any, tokens: Tensor) -> tuple[Tensor, Any, Tensor | None]:
        logits, state, attention = model.step(memory, state, tokens)
        if logits.shape[1] != len(table):
            raise ModelError(
                f"the model writes {logits.shape[1]} different tokens, but its vocabulary has {len(table)}; take both "
                "from the folder of one training"
            )
        return logits, state, attention

    found = beam_search(
        step,
        memory,
        state,
        start=START,
        end=END,
        beams=beams,
        n_best=n_best or beams,
        max_length=LONGEST,
        min_length=2,  # a word, and the end
        forbidden=(PAD, START, UNKNOWN),
    )
    grid = tuple(features.shape[-2:])
    return [tuple(_sentence(hypothesis, table, grid) for hypothesis in own) for own in found]


def _sentence(found: Hypothesis, table: Table, grid: tuple[int, ...]) -> Sentence:
    """A hypothesis as words. A word of several tokens has the product of their probabilities, and their mean map."""
    spelled = table.words(found.tokens.tolist())
    probabilities = [float(found.log_probs[places].sum().exp()) for _, places in spelled]
    attention = None
    if found.attention is not None:
        maps = [found.attention[places].float().mean(0).unflatten(0, grid) for _, places in spelled]
        attention = torch.stack(maps).numpy() if maps else found.attention.new_zeros(0, *grid).numpy()
    words = tuple(word for word, _ in spelled)
    return Sentence(
        " ".join(words), found.score, words, torch.tensor(probabilities, dtype=torch.float32).numpy(), attention
    )
