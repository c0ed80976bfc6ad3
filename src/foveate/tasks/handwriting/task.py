"""Handwriting: batches of strokes with their texts, their likelihood, and texts that a model writes.

Shapes: B pieces of T points, each dx, dy and 1 where the pen is lifted after it; texts of U characters.

A handwriting model offers, beside `forward` and `loss` (see `models.spatial.handwriting`):

    begin_at(pace)                                   let the window start at so many points a character
    score(batch) -> nats, squared error, window      of every point but the first
    begin(R), step(point, text, characters, state)   writing, point by point; an exported file has these two alone

Its `config.text` says if it writes a given text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.handwriting import HandwritingMetrics
from foveate.ops.padding import pad
from foveate.records import HandwritingBatch, HandwritingPrediction, HandwritingPreprocessing, Table
from foveate.registry import task
from foveate.tasks.base import Count, Generated, Runner, Sample, Task, Writer, device_of
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.handwriting.export import graphs, open_runner
from foveate.tasks.handwriting.figures import draw, write_animation, write_json, write_svg
from foveate.tasks.handwriting.inspection import HandwritingFindings
from foveate.tasks.handwriting.reply import HandwritingReplies
from foveate.tasks.handwriting.report import report
from foveate.tasks.handwriting.strokes import learn, normalise, seed_of, thin
from foveate.tasks.handwriting.style import read_style
from foveate.tasks.handwriting.writing import example_text, lay_out, parts_of, require_writable, unknown_in, write
from foveate.tasks.options import GENERATE, Options, flag_text, option
from foveate.text.characters import BLANK, Characters
from foveate.text.splitting import SPECIALS, UNKNOWN
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

WRITTEN = 100  # texts of a set that are written for its scores
MOST_CHARACTERS = 5_000  # of a text
POINTS, MOST_POINTS = 400, 10_000
WIDTH = 40  # characters of a line


@dataclass(frozen=True)
class HandwritingOptions(Options):
    """The text to write, and how it is written.

    text: to write. bias: 0 is the model's own variety, 1 neat. style: a JSON file of strokes, in whose hand the text is
    written. width: characters of a line; None takes 40. points: to write, of a model without text; None takes 400.
    """

    text: str = option("", "the text to write", "TEXT", (GENERATE,))
    bias: float = option(0.0, "0 is the model's own variety, 1 neat", "B", (GENERATE,), served=100)
    style: str = option("", "JSON of strokes; the text is written in the same hand", "FILE", (GENERATE,), served=False)
    width: int | None = option(None, f"characters of a line ({WIDTH})", "N", (GENERATE,), served=1000)
    points: int | None = option(
        None, f"points to write, of a model without text ({POINTS})", "N", (GENERATE,), served=5000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bias >= 0:
            raise ConfigError(f"--bias is {self.bias:g}; give 0 or more: 0 is the model's own variety, 1 is neat")
        if self.width is not None and self.width < 1:
            raise ConfigError(f"--width is {self.width}; give 1 character or more")
        if self.points is not None and not 1 <= self.points <= MOST_POINTS:
            raise ConfigError(f"--points is {self.points}; give 1 to {MOST_POINTS}")
        if len(self.text) > MOST_CHARACTERS:
            raise ConfigError(
                f"the text has {counted(len(self.text), 'character')}; give {MOST_CHARACTERS:,} or fewer, the rest in "
                "another call"
            )


@task("handwriting")
class HandwritingTask(HandwritingReplies, Task):
    """Texts that are written with a pen."""

    name = "handwriting"
    title = "handwriting"
    monitor = "nats_per_point"
    greater_is_better = False
    headline = ("nats_per_point", "sse")
    inputs = ()
    Options = HandwritingOptions
    Preprocessing = HandwritingPreprocessing
    runtimes = ("onnxruntime", "openvino")
    sizes: ClassVar = {"vocabulary": "characters", "sequences": Count("count")}
    batch_size = 50
    endings = (".svg", ".png", ".json", ".gif")

    preprocessing: HandwritingPreprocessing

    @property
    def characters(self) -> Any:
        """The table of characters."""
        return self.tables["characters"]

    # Training

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """The characters of the training texts. Raises DataError if there are none, for a model that needs them."""
        texts = [text for text in train_set.texts if text]
        wanted = getattr(recipe.config, "text", True)
        if wanted and len(texts) < len(train_set):
            without = next(train_set.name(i) for i, text in enumerate(train_set.texts) if not text)
            raise DataError(
                f"{without}: no text, which is what the model learns to write; add it, or train the prediction "
                "network: --config.text false"
            )
        return {"characters": Characters(least=1).learn(texts or ["-"])}

    @classmethod
    def learn_preprocessing(cls, preprocessing: Any, train_set: Any, window: str) -> Any:
        """Mean and deviation of offsets, their grid, and the pace of writing. Raises DataError."""
        samples = (train_set[index] for index in range(len(train_set)))
        return learn(preprocessing, ((sample["strokes"], sample["transcript"]) for sample in samples))

    def initialise(self, model: Any, training_set: Any) -> None:
        """Let the window move at the pace of the training strokes."""
        model.begin_at(self.preprocessing.pace)

    def suit(self, sample: Any, model: str = "") -> tuple[Any, str]:
        """The strokes as they are; a note on characters that the model has never seen."""
        points = len(self._thinned(sample))
        if points < 2:
            raise DataError(f"{sample['name']}: {points} point; expected 2 or more")
        unknown = unknown_in(sample["transcript"], self.characters) if len(self.characters) > len(SPECIALS) else []
        seen = ", ".join(map(repr, unknown))
        note = f"{seen} in the text, which no training text has; read as an unknown character" if unknown else ""
        return sample, note

    def remark(self, training_set: Any) -> str:
        """A note on the grid of the recordings."""
        x, y = self.preprocessing.grid
        if not (x or y):
            return ""
        return (
            f"offsets lie on a grid of {x:g} by {y:g}, and are spread evenly over its cells, so that their density has "
            "a bound"
        )

    def lengths(self, training_set: Any) -> Sequence[int]:
        """Points of each piece."""
        return [len(training_set[index]["strokes"]) for index in range(len(training_set))]

    def collate(self, samples: Sequence[Any]) -> HandwritingBatch:
        """Normalised points and characters, padded."""
        strokes = [s["scored"] if "scored" in s else normalise(self._thinned(s), self.preprocessing) for s in samples]
        texts = [torch.tensor(self.characters.encode(s["transcript"]) or [UNKNOWN]) for s in samples]
        return {
            "strokes": pad(strokes),
            "stroke_lengths": torch.tensor([len(one) for one in strokes]),
            "transcript": pad(texts),
            "transcript_lengths": torch.tensor([len(one) for one in texts]),
            "names": [s["name"] for s in samples],
        }

    def _thinned(self, sample: Any) -> torch.Tensor:
        """The points that the model reads."""
        return thin(sample["strokes"], self.preprocessing.keep)

    def validation_sample(self, sample: Any) -> Any:
        """The points as they are scored: spread over their grid under a seed of their own."""
        return self.prepare(sample)

    # Answering

    def prepare(self, sample: Any) -> Any:
        """With the points that the model reads, and normalised as 'scored'; a text to be written stays as it is."""
        if "strokes" not in sample or "scored" in sample:
            return sample
        thinned = self._thinned(sample)
        scaled = normalise(thinned, self.preprocessing)
        cells = [step / std for step, std in zip(self.preprocessing.grid, self.preprocessing.std, strict=True)]
        noise = torch.rand(len(scaled), 2, generator=torch.Generator().manual_seed(seed_of(thinned))) - 0.5
        scored = torch.cat([scaled[:, :2] + noise * torch.tensor(cells), scaled[:, 2:]], 1)
        return {**sample, "strokes": thinned, "scored": scored}

    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: HandwritingOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[HandwritingPrediction]:
        """Real strokes with their scores, or strokes that are written from a seed, the sample's index."""
        prepared = [self.prepare(sample) for sample in samples]
        if "scored" not in prepared[0]:
            return [self.generate(runner, 1, s.get("index", 0), options).predictions[0] for s in prepared]
        batch = self.collate(prepared)
        device = device_of(runner)
        on_device: Any = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        model: Any = runner
        nats, squared, window = (part.float().cpu().numpy() for part in model.score(on_device))
        found = []
        for i, sample in enumerate(prepared):
            last, end = len(sample["scored"]) - 1, int(batch["transcript_lengths"][i]) + 1
            own = window[i, :last, :end] if window.shape[2] else None
            found.append(
                HandwritingPrediction(
                    sample["strokes"].numpy(),
                    sample["transcript"],
                    own,
                    True,
                    nats[i, :last],
                    squared[i, :last],
                    sample["name"],
                )
            )
        return found

    @classmethod
    def example_options(cls, config: Mapping[str, Any], tables: Mapping[str, Table]) -> Mapping[str, str]:
        """A text of characters that the model knows, for one that writes a text."""
        return {"text": example_text(tables["characters"])} if config.get("text", True) else {}

    def generate(
        self,
        runner: Runner,
        count: int,
        seed: int,
        options: HandwritingOptions,
        progress: Callable[[float], None] | None = None,
    ) -> Generated:
        """The text written `count` times; pieces of it are laid out in lines. Without a text, strokes alone.

        Raises ConfigError for a text that cannot be written, and for an option that this model does not use.
        """
        model: Any = runner
        generators = [torch.Generator().manual_seed(_mixed(seed, number)) for number in range(count)]
        if not model.config.text:
            _refuse(options, ("text", "style", "width"), "writes strokes without a text")
            points = POINTS if options.points is None else options.points
            drawn = write(model, None, self.preprocessing, generators, options.bias, points, None, progress)
            return Generated([HandwritingPrediction(one.strokes, name=f"{i}") for i, one in enumerate(drawn)])
        _refuse(options, ("points",), "writes a given text, whose length decides the number of points")
        if not options.text.strip():
            raise ConfigError('there is no text to write; give one, as in --text "some words"')
        words = require_writable(options.text, self.characters)
        prime = read_style(options.style, self.characters, self.preprocessing) if options.style else None
        longest = max(self.preprocessing.longest - (len(prime.text) if prime else 0), 1)
        parts = parts_of(words, self.characters, longest)
        texts = [self.characters.encode(part) for part in parts]
        if prime and BLANK in self.characters.names:  # the style's text and what follows are different words
            texts = [[self.characters.names.index(BLANK), *text] for text in texts]
        rows = [
            torch.Generator().manual_seed(_mixed(seed, n, part)) for n in range(count) for part in range(len(parts))
        ]
        drawn = write(model, texts * count, self.preprocessing, rows, options.bias, 0, prime, progress)
        found = []
        for number in range(count):
            own = drawn[number * len(parts) : (number + 1) * len(parts)]
            strokes = lay_out([one.strokes for one in own], parts, WIDTH if options.width is None else options.width)
            window = own[0].window if len(own) == 1 and prime is None else None
            finished = all(one.finished for one in own)
            found.append(HandwritingPrediction(strokes, " ".join(words), window, finished, name=f"{number}"))
        return Generated(found)

    # Scoring

    def metrics(self, dataset: Any, whole: bool = True) -> HandwritingMetrics:
        """An empty counter; whole: also write some of the texts."""
        return HandwritingMetrics(whole, WRITTEN)

    def count(self, metrics: HandwritingMetrics, index: int, sample: Any, prediction: HandwritingPrediction) -> float:
        """Count one piece; returns its mean over points, in nats."""
        assert prediction.nats is not None and prediction.squared is not None
        metrics.add(torch.from_numpy(prediction.nats), torch.from_numpy(prediction.squared))
        return float(prediction.nats.mean())

    def observe(self, runner: Runner, metrics: HandwritingMetrics, samples: Sequence[Any]) -> None:
        """Write the texts of the first samples, without bias, and count those that end by themselves."""
        model: Any = runner
        texts = [self.characters.encode(s["transcript"]) for s in samples if s["transcript"]][: max(0, metrics.left)]
        if texts and model.config.text:
            generators = [torch.Generator().manual_seed(_mixed(number, len(t))) for number, t in enumerate(texts)]
            drawn = write(model, texts, self.preprocessing, generators)
            metrics.add_written(sum(one.finished for one in drawn), len(drawn))

    # Keeping and showing

    def record(self, prediction: HandwritingPrediction) -> dict[str, Any]:
        """The text, its points, and if the model ended by itself."""
        return {"text": prediction.text, "points": len(prediction.strokes), "finished": prediction.finished}

    def files(self, prediction: HandwritingPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The piece as SVG, PNG, JSON of strokes, and an animation."""
        return {
            "svg": (".svg", lambda path: write_svg(prediction, path)),
            "image": (".png", lambda path: draw(prediction.strokes).save(path, format="PNG")),
            "strokes": (".json", lambda path: write_json(prediction, path)),
            "animation": (".gif", lambda path: write_animation(prediction, path)),
        }

    def lines(self, records: Sequence[tuple[str, Any]]) -> Any:
        """A line for pieces that did not end by themselves."""
        open_ = [name for name, entry in records if not entry["finished"]]
        if open_:
            yield (
                f"note: {len(open_)} of {len(records)} did not end by themselves, {open_[0]} among them: parts of the "
                "text may be missing or written twice; another --seed or a larger --bias may help"
            )

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Texts written by the model, the window's slide over them, and real pieces by their likelihood."""
        return report(self, evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> HandwritingFindings:
        """Characters, points and strokes of the pieces."""
        return HandwritingFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """One graph: a step of writing."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """An exported file with the model's interface; it writes, and scores nothing."""
        return open_runner(self, file)


def _refuse(options: HandwritingOptions, names: Sequence[str], reason: str) -> None:
    """Raise ConfigError if one of the options was given, none of which the model uses."""
    given = [flag_text(name) for name in names if getattr(options, name) not in ("", None)]
    if given:
        raise ConfigError(f"this model {reason}; leave {' and '.join(given)} out")


def _mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(2, np.uint64)[0] >> np.uint64(1))
