"""Speech: batches of recordings and token sequences, transcripts, and their scores.

Shapes: B recordings of T samples, L tokens of V, U cells of the listener.

A model offers, beside `forward` and `loss`, what a search needs:

    begin(audio (B, T), lengths (B,)) -> memory, state         once a recording; memory.mask (B, U) says its cells
    step(memory, state, tokens (B,)) -> logits (B, V), state, attention (B, U)
    cell_step, cell_first                                      seconds between cells, and of the middle of the first
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.speech import SpeechMetrics, align, scored_text
from foveate.ops.padding import pad
from foveate.records import SoundFormat, SpeechBatch, SpeechDataset, SpeechPrediction, Table
from foveate.registry import task
from foveate.sounds import SHORTEST_PART
from foveate.tasks.base import Count, Runner, Sample, Task, Writer
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.speech.decoding import padded, transcribe
from foveate.tasks.speech.export import graphs, open_runner
from foveate.tasks.speech.figure import attention_picture, word_places
from foveate.tasks.speech.inputs import AUDIO
from foveate.tasks.speech.inspection import SpeechFindings
from foveate.tasks.speech.language import read_language_model
from foveate.tasks.speech.options import SpeechOptions
from foveate.tasks.speech.page import SpeechPage
from foveate.tasks.speech.reply import SpeechReplies
from foveate.tasks.speech.report import report
from foveate.tasks.speech.subtitles import ctm, srt
from foveate.text import END, PAD, SPECIALS, UNKNOWN
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

DIGITS = 5  # of attention in predictions.json


@task("speech")
class SpeechTask(SpeechReplies, Task):
    """A transcript for a recording."""

    name = "speech"
    title = "speech"
    hub_tag = "automatic-speech-recognition"
    monitor = "wer"  # of transcripts that the model wrote alone
    greater_is_better = False
    headline = ("wer", "cer")
    inputs = (AUDIO,)
    Options = SpeechOptions
    Preprocessing = SoundFormat
    sizes: ClassVar = {"vocabulary": "text", "rate": Count("rate"), "features": Count("features")}
    batch_size = 32
    runtimes = ("onnxruntime", "openvino")
    endings = ("_attention.png", "_attention.json", ".srt", ".ctm")

    def __init__(self, tables: Mapping[str, Table], preprocessing: SoundFormat) -> None:
        super().__init__(tables, preprocessing)
        self.text: Any = self.tables["text"]

    # Training

    @classmethod
    def learn_tables(cls, train_set: SpeechDataset, recipe: Any) -> dict[str, Table]:
        """The characters of all training transcripts, as the recipe's `text` builds the table. Reads no recording."""
        if recipe.text is None:
            raise ConfigError(f"recipe '{recipe.name}' does not say how transcripts become tokens; give its field text")
        return {"text": recipe.text.learn(train_set.transcript(index) for index in range(len(train_set)))}

    def training_set(self, dataset: SpeechDataset) -> SpeechPairs:
        """The set with the tokens of its transcripts."""
        return SpeechPairs(dataset, self.text)

    def lengths(self, training_set: SpeechPairs) -> Sequence[int]:
        """Hundredths of a second, or a number that grows with the duration."""
        return training_set.lengths

    def collate(self, samples: Sequence[Any]) -> SpeechBatch:
        """Samples of `SpeechPairs` -> one batch, filled up with zeros and <pad>."""
        audio, lengths = padded([sample["audio"].values for sample in samples])
        tokens = pad([sample["tokens"] for sample in samples], PAD)
        names = [sample["name"] for sample in samples]
        return SpeechBatch(audio=audio, audio_lengths=lengths, tokens=tokens, names=names)

    # Answering

    def require(self, options: SpeechOptions) -> None:
        """Raise ConfigError for more beams than there are characters, and for parts that are too short for the model.

        Raises DataError for a language that is no text.
        """
        options.require(self.text)
        least = SHORTEST_PART * self.preprocessing.shortest / self.preprocessing.rate
        if not self.preprocessing.features and 0 < options.cut < least:
            raise ConfigError(
                f"cut is {options.cut:g} s, and parts may be a quarter as long, but this model reads "
                f"{least / SHORTEST_PART:.3g} s or more; give {math.ceil(10 * least) / 10:g} s or more, or 0 for no "
                "limit"
            )
        if options.language:
            read_language_model(options.language, self.text)

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: SpeechOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[SpeechPrediction]:
        """The transcripts of each recording, best first, each with its words' times."""
        sounds = [sample["audio"] for sample in samples]
        return transcribe(runner, sounds, [sample["name"] for sample in samples], self.text, options)

    # Scoring

    def metrics(self, dataset: SpeechDataset, whole: bool = True) -> SpeechMetrics:
        """An empty counter of errors; all are cheap."""
        return SpeechMetrics()

    def count(self, metrics: SpeechMetrics, index: int, sample: Any, prediction: SpeechPrediction) -> float:
        """Count the best transcript of a recording; returns its own word error rate."""
        reference, written = scored_text(sample["transcript"]), scored_text(prediction.text)
        steps = _steps(prediction) if reference == written else None
        in_span = attention_in_spans(prediction, reference, sample["spans"]) if "spans" in sample else (0.0, 0)
        return metrics.update(reference, written, in_span, steps)

    def outcome(self, sample: Any, prediction: SpeechPrediction) -> dict[str, Any]:
        """The transcript of a recording, and the best one of the model."""
        return {"reference": sample["transcript"], "predicted": prediction.text}

    # Keeping and showing

    def record(self, prediction: SpeechPrediction) -> dict[str, Any]:
        """The transcript and its score, the alternatives, and each word with its probability and time."""
        best, *others = prediction.transcripts
        return {
            "transcript": best.text,
            "score": round(best.score, 6),
            "seconds": round(prediction.seconds, 3),
            "cuts": [round(cut, 3) for cut in prediction.cuts],
            "alternatives": [{"transcript": one.text, "score": round(one.score, 6)} for one in others],
            "words": [
                {"word": word, "from": round(float(a), 3), "to": round(float(b), 3), "probability": round(float(p), 6)}
                for word, (a, b), p in zip(best.words, best.times, best.probabilities, strict=True)
            ],
        }

    def files(self, prediction: SpeechPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The attention as a picture and as JSON, and the words' times as subtitles and as CTM."""
        best = prediction.transcripts[0]
        if not best.words:
            return {}
        attention = {
            "tokens": list(best.tokens),
            "seconds": [round(float(second), 4) for second in prediction.centres],
            "first_cells": best.first_cells.tolist(),
            "attention": [[round(float(weight), DIGITS) for weight in row] for row in best.attention],
        }

        def write(text: str) -> Writer:
            return lambda path: path.write_text(text, encoding="utf-8")

        return {
            "picture": (
                "_attention.png",
                lambda path: attention_picture(sample["audio"], prediction).save(path, format="PNG"),
            ),
            "attention": ("_attention.json", write(json.dumps(attention) + "\n")),
            "subtitles": (".srt", write(srt(prediction))),
            "ctm": (".ctm", write(ctm(prediction))),
        }

    def gallery(self, model: str) -> SpeechPage:
        """transcripts.html: every recording, to be heard, with its transcript and the attention of each word."""
        return SpeechPage(model)

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Errors by length and by word, and examples."""
        return report(evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> SpeechFindings:
        """Durations, words, characters and speakers."""
        return SpeechFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """Two graphs: log-mel features and the listener, and one step of the speller."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """The encoder's file and its step beside it, with the model's interface."""
        return open_runner(self, file)

    def about(self) -> dict[str, Any]:
        """The number of tokens."""
        return {"vocabulary": len(self.text)}

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """All transcripts of a single recording; of several, the best of each."""
        if len(records) > 1:
            yield from (f"{source}: {record['transcript']}" for source, record in records)
            return
        for source, record in records:
            yield f"{source}:"
            for one in (record, *record["alternatives"]):
                yield f"  {one['score']:7.3f}  {one['transcript']}"


class SpeechPairs:
    """A set of recordings with the tokens of their transcripts.

    Raises DataError if no transcript has a known character.
    """

    def __init__(self, dataset: Any, table: Any) -> None:
        self.dataset, self.table = dataset, table
        self.lengths = [round(100 * seconds) for seconds in dataset.seconds]
        texts = [dataset.transcript(index) for index in range(len(dataset))]
        self._characters = set("".join(texts))
        if all(set(table.encode(text)) <= {UNKNOWN} for text in texts):
            raise DataError(
                f"none of {counted(len(dataset), 'transcript')} has a character that training knows; check "
                f"the script and the case"
            )
        if hasattr(dataset, "draw"):
            self.draw = self._draw

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._with_tokens(self.dataset[index])

    def _draw(self, keys: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Drawn samples. Raises DataError for a character that no transcript has: it would not be learned."""
        samples = self.dataset.draw(keys)
        for sample in samples:
            if unknown := set(sample["transcript"]) - self._characters:
                raise DataError(
                    f"{sample['name']}: '{sample['transcript'][:40]}' was drawn with {sorted(unknown)[0]!r}, which no "
                    "transcript of the set has; its transcripts must hold all that it draws"
                )
        return [self._with_tokens(sample) for sample in samples]

    def _with_tokens(self, sample: Any) -> dict[str, Any]:
        return {**sample, "tokens": torch.tensor([*self.table.encode(sample["transcript"]), END])}


def attention_in_spans(
    prediction: SpeechPrediction, reference: str, spans: Sequence[tuple[float, float]]
) -> tuple[float, int]:
    """(sum over correctly written words of the share of their attention within their true span, number of these)."""
    best = prediction.transcripts[0]
    total, count, i, j = 0.0, 0, 0, 0
    places = word_places(best.tokens, best.words)
    if len(places) != len(best.words):
        return 0.0, 0
    for pair in align(reference.split(), list(best.words)):
        if not pair.is_error:
            start, end = spans[i]
            weights = best.attention[places[j]].sum(0)
            centres = prediction.centres[best.first_cells[places[j][0]] :][: len(weights)]
            weights = weights[: len(centres)]
            inside = (centres >= start) & (centres <= end)
            total += float(weights[inside].sum() / max(float(weights.sum()), 1e-12))
            count += 1
        i += pair.reference is not None
        j += pair.written is not None
    return total, count


def _steps(prediction: SpeechPrediction) -> bool:
    """True if the middle of attention never goes back by more than one cell."""
    best = prediction.transcripts[0]
    written = [i for i, token in enumerate(best.tokens) if token not in SPECIALS]
    middles = best.attention[written] @ np.arange(best.attention.shape[1]) + best.first_cells[written]
    return bool((middles[1:] >= middles[:-1] - 1).all())
