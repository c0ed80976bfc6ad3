"""Video: batches of clips and token sequences, generated captions, and their scores.

Shapes: B clips of K frames of C channels, or of D features; L tokens, V in the vocabulary.

A model offers, beside `forward` and `loss`, what a search needs:

    encode(clips (B, K, C, H, W), lengths (B,)) -> features (B, K, D)    constant while the backbone is frozen
    begin(features, lengths) -> memory, state                            once a clip; memory.mask (B, K) says its frames
    step(memory, state, tokens (B,)) -> logits (B, V), state, attention (B, K)

Options, search and vocabularies are those of captioning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from foveate.metrics.video import VideoMetrics
from foveate.ops.padding import pad
from foveate.records import Clip, ClipFormat, Sentence, VideoBatch, VideoDataset, VideoPrediction
from foveate.registry import task
from foveate.tasks.base import Count, Runner, Sample, Writer, device_of
from foveate.tasks.captioning.base import CaptionTask
from foveate.tasks.captioning.decoding import search_captions
from foveate.tasks.captioning.options import CaptioningOptions
from foveate.tasks.captioning.task import CaptionPairs
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import distinct
from foveate.tasks.video.export import graphs, open_runner
from foveate.tasks.video.inputs import VIDEO
from foveate.tasks.video.inspection import VideoFindings, clip_sheet
from foveate.tasks.video.page import VideoPage
from foveate.tasks.video.reply import VideoReplies
from foveate.tasks.video.report import report
from foveate.tasks.video.strip import attention_matrix, film_strip
from foveate.text import END, PAD
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

DIGITS = 5  # of attention in predictions.json


@task("video")
class VideoTask(VideoReplies, CaptionTask):
    """A sentence for a clip."""

    name = "video"
    title = "video captioning"
    headline = ("cider_d", "bleu4", "event_accuracy", "order_accuracy")
    inputs = (VIDEO,)
    Preprocessing = ClipFormat
    sizes: ClassVar = {"vocabulary": "text", "in_channels": Count("channels"), "features": Count("features")}
    endings = ("_film.png", "_attention.png")

    # Training

    @classmethod
    def training_noun(cls, count: int = 1) -> str:
        """Training reads each caption of a clip by itself."""
        return "caption" if count == 1 else "captions"

    def training_set(self, dataset: VideoDataset) -> ClipPairs:
        """The set as pairs of a clip and one of its captions."""
        return ClipPairs(dataset, self.text, self.options.longest(self.text))

    def groups(self, training_set: ClipPairs) -> Sequence[int] | None:
        """The clip of each caption, unless clips are drawn again."""
        return None if hasattr(training_set, "draw") else [clip for clip, _ in training_set.pairs]

    def collate(self, samples: Sequence[Any]) -> VideoBatch:
        """Samples of `ClipPairs` -> one batch; shorter clips are filled up with zeros, shorter captions with <pad>.

        A clip that is in memory is in the batch once, with all of its captions.
        """
        clips, clip_of = distinct(samples, lambda sample: sample["video"].frames)
        batch: VideoBatch = {
            **self._inputs(clips),  # type: ignore[typeddict-item]
            "clip_of": clip_of,
            "tokens": pad([s["tokens"] for s in samples], PAD),
            "names": [s["name"] for s in samples],
        }
        return batch

    # Answering

    def _inputs(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Clips, or features, and their lengths; padding is zero after normalisation."""
        clips = [s["video"].frames for s in samples]
        lengths = torch.tensor([len(one) for one in clips])
        if clips[0].ndim == 2:  # given as features, or kept of a frozen backbone
            return {"features": pad([one.float() for one in clips]), "clip_lengths": lengths}
        return {"clips": pad([self.preprocessing(one) for one in clips]), "clip_lengths": lengths}

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: CaptioningOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[VideoPrediction]:
        """The captions of each clip, best first, each word with its attention over the frames that were read."""
        options.require(self.text)
        predictions = []
        for own, sample in zip(self._search(runner, samples, options), samples, strict=True):
            clip: Clip = sample["video"]
            for sentence in own:
                assert sentence.attention is not None  # every video model attends
                sentence.attention = sentence.attention[:, : len(clip.frames)]
            predictions.append(VideoPrediction(own, clip.numbers, clip.seconds, sample["name"]))
        return predictions

    @torch.no_grad()
    def _search(self, runner: Runner, samples: Sequence[Any], options: CaptioningOptions) -> list[tuple[Sentence, ...]]:
        captioner: Any = runner
        inputs = self._inputs(samples)
        device = device_of(runner)
        lengths = inputs["clip_lengths"].to(device)
        if "features" in inputs:
            features = inputs["features"].to(device)
        else:
            features = captioner.encode(inputs["clips"].to(device), lengths)
        memory, state = captioner.begin(features, lengths)
        return search_captions(captioner, memory, state, self.text, options, (int(lengths.max()),))

    # Scoring

    def metrics(self, dataset: VideoDataset, whole: bool = True) -> VideoMetrics:
        """An empty counter of a set's scores; all are cheap."""
        return VideoMetrics(self.references(dataset), dataset.phrases)

    def count(self, metrics: VideoMetrics, index: int, sample: Any, prediction: VideoPrediction) -> float:
        """Count the best caption of a clip; returns its own CIDEr-D."""
        best = prediction.sentences[0]
        attention, numbers = prediction.attention(), prediction.numbers
        return metrics.update(index, best.text, best.words, attention, numbers, sample.get("events"))

    # Keeping and showing

    def record(self, prediction: VideoPrediction) -> dict[str, Any]:
        """The caption and its score, the alternatives, the frames that were read, and each word with its attention."""
        best, *others = prediction.sentences
        attention = prediction.attention()
        words = []
        for word, probability, row in zip(best.words, best.probabilities.tolist(), attention, strict=True):
            peak = int(row.argmax())
            entry = {"word": word, "probability": round(float(probability), 6), "frame": prediction.numbers[peak]}
            if prediction.seconds:
                entry["second"] = round(prediction.seconds[peak], 3)
            words.append(entry | {"attention": [round(float(a), DIGITS) for a in row]})
        return {
            "caption": best.text,
            "score": round(best.score, 6),
            "alternatives": [{"caption": s.text, "score": round(s.score, 6)} for s in others],
            "frames": list(prediction.numbers),
            "seconds": [round(second, 3) for second in prediction.seconds],
            "words": words,
        }

    def files(self, prediction: VideoPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """A film strip, each word under its frame, and the attention of each word over all frames."""
        clip: Clip = sample["video"]
        if not prediction.sentences[0].words:
            return {}
        found: dict[str, tuple[str, Writer]] = {
            "matrix": ("_attention.png", lambda path: attention_matrix(clip, prediction).save(path, format="PNG"))
        }
        if clip.is_features:
            return found
        return {"film": ("_film.png", lambda path: film_strip(clip, prediction).save(path, format="PNG"))} | found

    def gallery(self, model: str) -> VideoPage:
        """captions.html: every clip, playing, with its captions and the frames that each word attended to."""
        return VideoPage(model)

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Scores of the captions, of events and their order, and of the attention; and example clips."""
        return report(evaluation)

    def preview(self, samples: Sequence[Any], training_set: Any) -> Any:
        """Frames above the captions that go with their clips, as their tokens spell them; None of features."""
        if any(sample["video"].is_features for sample in samples):
            return None
        return clip_sheet((s["video"], self.spelled(s["tokens"].tolist()), s["name"]) for s in samples)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> VideoFindings:
        """Frames and sizes of clips, captions a clip, words, and events."""
        return VideoFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """Two graphs: the encoder of a clip, and one step of the decoder."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """The encoder's file and its step beside it, with the model's interface."""
        return open_runner(self, file)


class ClipPairs(CaptionPairs):
    """A set of clips as pairs of a clip and one of its captions, as `CaptionPairs` makes them of images.

    Of a set that is drawn again in every epoch, the first caption of what was drawn.
    """

    noun: ClassVar[str] = "clip"
    kept: ClassVar[tuple[str, ...]] = ("video", "name")

    def __init__(self, dataset: Any, table: Any, longest: int = 0) -> None:
        super().__init__(dataset, table, longest)
        self.table, self.longest = table, longest or table.max_tokens
        if hasattr(dataset, "draw"):
            self.draw = self._draw

    def _draw(self, keys: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        drawn = self.dataset.draw([(epoch, self.pairs[pair][0]) for epoch, pair in keys])
        return [
            {key: sample[key] for key in self.kept}
            | {"tokens": torch.tensor([*self.table.encode(sample["captions"][0].text), END][: self.longest])}
            for sample in drawn
        ]
