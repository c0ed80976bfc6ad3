"""Captioning: batches of images and token sequences, generated captions, and their scores.

Shapes: B images of C channels, a grid of h x w places, L tokens, V in the vocabulary.

A captioning model offers, beside `forward` and `loss`, what a search needs:

    encode(image (B, C, H, W)) -> features (B, D, h, w)        constant while the backbone is frozen
    begin(features) -> memory, state                           once an image
    step(memory, state, tokens (B,)) -> logits (B, V), state, attention (B, h w) or None
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from foveate.errors import DataError, counted
from foveate.metrics.captioning import CaptioningMetrics
from foveate.ops.padding import pad
from foveate.pictures.fitting import shrink
from foveate.records import CaptionBatch, CaptionDataset, CaptionPrediction
from foveate.registry import task
from foveate.tasks.base import Count, Runner, Sample, Writer
from foveate.tasks.captioning.attention import attention_frames, attention_strip, most
from foveate.tasks.captioning.base import CaptionTask
from foveate.tasks.captioning.decoding import generate_captions
from foveate.tasks.captioning.export import graphs, open_runner
from foveate.tasks.captioning.inspection import CaptioningFindings
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.tasks.captioning.page import CaptionPage
from foveate.tasks.captioning.reply import CaptionReplies
from foveate.tasks.captioning.report import report
from foveate.tasks.captioning.sheet import caption_sheet
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import fit_sample, network_inputs
from foveate.tasks.reporting import image_pixels
from foveate.text import END, PAD, UNKNOWN, CharacterTable, TextTable
from foveate.visualize.clips import write_clip
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

LONGEST_SIDE = 960  # pixels; of an image that is drawn once a word
DIGITS = 5  # of a map's numbers in predictions.json


@task("captioning")
class CaptioningTask(CaptionReplies, CaptionTask):
    """A sentence for an image."""

    name = "captioning"
    title = "captioning"
    hub_tag = "image-to-text"
    headline = ("cider_d", "bleu4")
    sizes: ClassVar = {"vocabulary": "text", "in_channels": Count("channels")}
    runtimes = ("onnxruntime", "openvino")
    endings = ("_attention.png", "_attention.gif")

    # Training

    @classmethod
    def training_noun(cls, count: int = 1) -> str:
        """Training reads each caption of an image by itself."""
        return "caption" if count == 1 else "captions"

    def training_set(self, dataset: CaptionDataset) -> CaptionPairs:
        """The set as pairs of an image and one of its captions."""
        return CaptionPairs(dataset, self.text, self.options.longest(self.text))

    def collate(self, samples: Sequence[Any]) -> CaptionBatch:
        """Samples of `CaptionPairs` -> one batch; shorter captions are filled up with <pad>."""
        batch: CaptionBatch = {
            "tokens": pad([s["tokens"] for s in samples], PAD),
            "names": [s["name"] for s in samples],
        }
        batch.update(self._inputs(samples))  # type: ignore[typeddict-item]
        return batch

    # Answering

    def prepare(self, sample: Any) -> Any:
        """The image at the network's size, as 'fitted', unless the sample has features already."""
        return fit_sample(sample, self.preprocessing)

    def _inputs(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        return network_inputs([self.prepare(sample) for sample in samples], self.preprocessing)

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: CaptioningOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[CaptionPrediction]:
        """The captions of each image, best first, each word with the attention of its step."""
        inputs = self._inputs(samples)
        found = generate_captions(runner, inputs, self.text, options)
        hard = attention_of(runner) == "hard"
        return [CaptionPrediction(own, sample["name"], hard) for own, sample in zip(found, samples, strict=True)]

    # Scoring

    def metrics(self, dataset: CaptionDataset, whole: bool = True) -> CaptioningMetrics:
        """An empty counter of a set's scores; all are cheap."""
        return CaptioningMetrics(self.references(dataset))

    def count(self, metrics: CaptioningMetrics, index: int, sample: Any, prediction: CaptionPrediction) -> float:
        """Count the best caption of an image; returns its own CIDEr-D."""
        best = prediction.sentences[0]
        return metrics.update(index, best.text, best.words, best.attention, sample.get("masks"), sample.get("named"))

    # Keeping and showing

    def record(self, prediction: CaptionPrediction) -> dict[str, Any]:
        """The caption and its score, the alternatives, and each word with its probability and attention."""
        best, *others = prediction.sentences
        return {
            "caption": best.text,
            "score": round(best.score, 6),
            "alternatives": [{"caption": s.text, "score": round(s.score, 6)} for s in others],
            "words": list(_words(prediction)),
        }

    def files(self, prediction: CaptionPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The attention of each word as a strip and as an animation; nothing of a model without attention."""
        best = prediction.sentences[0]
        if best.attention is None or not best.words:
            return {}
        image = shrink(sample["image"], LONGEST_SIDE)

        def write_strip(path: Any) -> None:
            attention_strip(image, best, prediction.hard).save(path, format="PNG")

        def write_animation(path: Any) -> None:
            frames, milliseconds = attention_frames(image, best, prediction.hard)
            write_clip(frames, path, milliseconds, photographs=True)

        return {"strip": ("_attention.png", write_strip), "animation": ("_attention.gif", write_animation)}

    def gallery(self, model: str) -> CaptionPage:
        """captions.html: every image with its captions; pointing at a word shows the attention of its step."""
        return CaptionPage(model)

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Scores of the captions and of the attention, and example images."""
        return report(evaluation)

    def preview(self, samples: Sequence[Any], training_set: Any) -> Any:
        """Images above the captions that go with them, as their tokens spell them; None of features."""
        if any("image" not in sample for sample in samples):
            return None
        return caption_sheet((image_pixels(s), self.spelled(s["tokens"].tolist()), s["name"]) for s in samples)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> CaptioningFindings:
        """Captions an image, words a caption, and the words themselves."""
        return CaptioningFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """Two graphs: the encoder, and one step of the decoder."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """The encoder's file and its step beside it, with the model's interface."""
        return open_runner(self, file)


class CaptionPairs:
    """A set of images as pairs of an image and one of its captions.

    longest: captions are cut after so many tokens; 0 for what the table's tokens need.
    lengths: of each caption in tokens, so that similar ones can be batched. Captions without a known word are left out;
    `remark` says how many, how many are cut, and whether characters are the tokens. Raises DataError if no caption is
    left.
    """

    noun: ClassVar[str] = "image"  # of the input, in messages
    kept: ClassVar[tuple[str, ...]] = ("image", "features", "name")  # of a sample

    def __init__(self, dataset: Any, table: TextTable, longest: int = 0) -> None:
        self.dataset = dataset
        longest = longest or table.max_tokens
        self.pairs: list[tuple[int, Tensor]] = []
        unknown = cut = 0
        for index in range(len(dataset)):
            for caption in dataset.captions(index):
                ids = table.encode(caption.text)
                if not set(ids) - {UNKNOWN}:
                    unknown += 1
                    continue
                cut += len(ids) >= longest
                self.pairs.append((index, torch.tensor([*ids, END][:longest])))
        if not self.pairs:
            raise DataError(
                f"none of the captions of {counted(len(dataset), self.noun)} has a word of the vocabulary; set "
                f"text.least lower, "
                "or train on the captions that the vocabulary was made of"
            )
        self.lengths = [len(ids) for _, ids in self.pairs]
        remarks = ["characters are the tokens (text.tokens)"] if table.kind == CharacterTable.kind else []
        remarks += [f"{counted(unknown, 'caption')} without a known word left out"] if unknown else []
        remarks += [f"{counted(cut, 'caption')} cut after {counted(longest, 'token')}"] if cut else []
        self.remark = "; ".join(remarks)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, pair: int) -> dict[str, Any]:
        index, ids = self.pairs[pair]
        sample: Any = self.dataset[index]
        kept = {key: sample[key] for key in self.kept if key in sample}
        return kept | {"tokens": ids}


def attention_of(runner: Any) -> str:
    """The kind of attention of a captioner's predictions: 'soft', 'hard', or 'none'."""
    return str(getattr(runner, "attention", "none"))


def _words(prediction: CaptionPrediction) -> Iterator[dict[str, Any]]:
    """Each word with its probability and its map (h, w); of hard attention also the one cell, [row, column]."""
    best = prediction.sentences[0]
    for i, word in enumerate(best.words):
        record: dict[str, Any] = {"word": word, "probability": round(float(best.probabilities[i]), 6)}
        if best.attention is not None:
            record["attention"] = [[round(float(a), DIGITS) for a in row] for row in best.attention[i]]
            if prediction.hard:
                record["cell"] = list(most(best.attention[i]))
        yield record
