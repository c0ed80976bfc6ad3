"""The contract of a family: what its models take, what they answer, and how the answers are scored, kept and shown.

    files -> samples -> collate -> model.loss                     training
    files -> samples -> answer -> count -> metrics                evaluation
    files -> samples -> answer -> record, files, gallery          prediction, in PyTorch or from an exported file

A family is a folder of `foveate.tasks` with a class that is marked `@task("name")`; another package adds one through
the entry-point group `foveate.tasks`. The engine, the predictor, the exporter and the command line know a family by
this class alone.
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from foveate.errors import ConfigError, ModelError
from foveate.labels import Labels
from foveate.metrics import score_name
from foveate.pictures.intensities import choose_window, values_of
from foveate.records import Preprocessing, Table
from foveate.tasks.allowance import Allowance as Allowance
from foveate.tasks.auditing import Audits
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.findings import Findings
from foveate.tasks.inputs import IMAGE, Input
from foveate.tasks.options import EVALUATE, Options, make_options
from foveate.tasks.parts import Count as Count
from foveate.tasks.parts import Gallery as Gallery
from foveate.tasks.parts import Generated as Generated
from foveate.tasks.parts import Metrics as Metrics
from foveate.tasks.parts import Runner as Runner
from foveate.tasks.parts import Sample as Sample
from foveate.tasks.parts import Writer as Writer
from foveate.tasks.parts import device_of as device_of
from foveate.tasks.replies import Replies
from foveate.tasks.showing import Drawings
from foveate.visualize.report import ReportPart, ReportText

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile


class Task(Drawings, Replies, Audits, ABC):
    """A family, made for one model: its tables and its preprocessing.

    options: the model's default options; `create_task` sets those that are stored with it.

    name: the family's, as the registry knows it. title: the same in words, for messages and pages. hub_tag: the
        Hugging Face hub's name for such models, '' if it has none.
    monitor: the score that ranks epochs, one of the headline; greater_is_better: its direction.
    own_score: name of a sample's own score (`count`), where it is another one than the monitor.
    headline: scores that are logged at every validation; the first two are printed.
    inputs: what goes into a model; () generates from nothing. `predict` takes the first from the words of its line, and
        the others from flags of their names, or all from a table.
    Options: the flags of `predict` and `evaluate`, a frozen dataclass.
    sizes: field of a model's Config -> the name of the table whose length it is, or a `Count` of the training set. A
        model without the field is left alone.
    Preprocessing: class of what a model's `preprocessing` is, with `to_json` and `from_json`.
    batch_size: samples that are scored together. loss_batch_size: samples of one batch of the validation loss; 0: as
        many as in training. predict_size: inputs that `foveate predict` answers together; more than 1 suits small ones.
    runtimes: of exported files (`onnx.runtimes`), in which answers were found to be those of PyTorch.
    int8: what the monitored score may lose in an INT8 file, for a family whose one graph takes an image; None: no INT8.
    endings: the ends of every file that `files` may write, for planning: "_overlay.jpg" for 0001_overlay.jpg.

    `name`, `title`, `monitor`, `headline` and the abstract methods have to be given; everything else has a default.
    `tasks.find_task` checks them (`tasks.contract`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    hub_tag: ClassVar[str] = ""
    monitor: ClassVar[str]
    greater_is_better: ClassVar[bool] = True
    own_score: ClassVar[str] = ""
    headline: ClassVar[tuple[str, ...]]
    inputs: ClassVar[tuple[Input, ...]] = (IMAGE,)
    Options: ClassVar[type[Options]] = Options
    Preprocessing: ClassVar[Any] = Preprocessing
    sizes: ClassVar[Mapping[str, str | Count]] = {}
    batch_size: ClassVar[int] = 32
    predict_size: ClassVar[int] = 1
    loss_batch_size: ClassVar[int] = 0
    runtimes: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    int8: ClassVar[Allowance | None] = None
    endings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, tables: Mapping[str, Table], preprocessing: Any) -> None:
        self.tables, self.preprocessing = dict(tables), preprocessing
        self.options: Any = self.Options()

    @classmethod
    def noun(cls, count: int = 1) -> str:
        """The name of `count` samples in messages: that of the first input, or sample for a family without one."""
        if not cls.inputs:
            return "sample" if count == 1 else "samples"
        return cls.inputs[0].noun if count == 1 else cls.inputs[0].nouns

    @classmethod
    def training_noun(cls, count: int = 1) -> str:
        """The name of `count` samples of `training_set`, where they are other than those that are predicted."""
        return cls.noun(count)

    # Training

    @classmethod
    def learn_tables(cls, train_set: Any, recipe: Any) -> dict[str, Table]:
        """Class tables and vocabularies by name, from the training set alone. By default there are none.

        recipe: its `text` says how sentences become tokens. Raises DataError, ConfigError.
        """
        return {}

    def training_set(self, dataset: Any) -> Any:
        """The data set whose samples `collate` takes; by default the set itself. Raises DataError."""
        return dataset

    @classmethod
    def learn_preprocessing(cls, preprocessing: Any, train_set: Any, window: str) -> Any:
        """A model's preprocessing with what the training images decide: the intensity window.

        window: a recipe's setting (`engine.Recipe`). Preprocessing that is none of images stays. Raises DataError for
        values of which the setting makes nothing, ConfigError for a setting that there is not.
        """
        if not isinstance(preprocessing, Preprocessing) or (cls.inputs and IMAGE not in cls.inputs):
            return preprocessing
        images = _Images(train_set)
        channels, values = len(preprocessing.mean), values_of(images[0])
        chosen, values = choose_window(images, channels, values, window)
        return dataclasses.replace(preprocessing, window=chosen, values=values)

    def initialise(self, model: nn.Module, training_set: Any) -> None:
        """Set those weights of a new model that the training set decides; by default none.

        training_set: samples as `suit` gives them. A model that starts from another's weights keeps these.
        """

    def suit(self, sample: Any, model: str = "") -> tuple[Any, str]:
        """A data set's sample with its inputs as this model takes them, as `Predictor.sample` opens them; and a note.

        model: its name, for messages. Raises DataError for an input that does not fit the model.
        """
        notes = []
        for one in self.inputs:
            if one.name in sample:
                value, note = one.suit(sample[one.name], self.preprocessing, model or "the model", sample["name"])
                sample = sample if value is sample[one.name] else {**sample, one.name: value}
                notes += [note] if note else []
        return sample, "; ".join(notes)

    def lengths(self, training_set: Any) -> Sequence[int] | None:
        """The length of every sample, where batches of similar lengths save padding; None otherwise."""
        return None

    def groups(self, training_set: Any) -> Sequence[Hashable] | None:
        """A key of every sample, where those of one key share work, so that a batch has few keys; None otherwise.

        Asked only where samples are not augmented; `lengths` is asked where there are no groups.
        """
        return None

    def remark(self, training_set: Any) -> str:
        """A sentence to print before training; '' for none."""
        return ""

    def weigh_classes(self, samples: Iterable[Sample], kind: str) -> None:
        """Weigh the loss of each class by its share in these samples. Raises ConfigError if there are no classes."""
        raise ConfigError(f"class_weights is '{kind}', but {self.title} has no class labels to weigh; leave it at none")

    @abstractmethod
    def collate(self, samples: Sequence[Any]) -> Any:
        """Samples of `training_set` -> the batch that a model's `loss` takes, a dict with the key 'names'."""

    def validation_sample(self, sample: Any) -> Any:
        """A sample of `training_set` as the validation loss takes it, bounded in size; by default as it is."""
        return sample

    def fit(self, model: nn.Module, training_set: Any) -> None:
        """Fit what gradients do not train, such as support vector machines, before a validation; by default nothing.

        model: in evaluation mode. training_set: as `training_set` returned it, without augmentation.
        """

    def adopt(self, model: nn.Module, scores: Any) -> None:
        """Keep in the model what a validation has chosen, before its weights are saved; by default nothing.

        scores: of the validation.
        """

    def require_data(self, dataset: Any, model: str) -> None:
        """Raise ConfigError for data whose tables are not the model's; by default all data fits.

        model: the path of the model, for the message.
        """

    # Answering

    def make_options(self, given: Any = None, verb: str = EVALUATE) -> Any:
        """Options from an instance of `Options`, or the model's own changed by a dict of them; None changes nothing.

        verb: PREDICT or EVALUATE; an option may belong to one of them alone (`option`). Predictions in Python have
        those of PREDICT. Raises ConfigError for an option that the family does not have, naming those that it has.
        """
        if isinstance(given, Options):
            if not isinstance(given, self.Options):
                name, wanted = type(given).__name__, self.Options.__name__
                raise ConfigError(f"{name} are not options of {self.title}; give {wanted}")
            return given
        return make_options(self, given or {}, verb)

    def require(self, options: Any) -> None:
        """Raise ConfigError for options that do not fit this model; called before any input is opened."""

    def prepare(self, sample: Any) -> Any:
        """A sample with only what `answer` and `count` need, so that a batch fits in memory; by default as it is.

        Preparing a prepared sample changes nothing.
        """
        return sample

    @abstractmethod
    def answer(
        self,
        runner: Runner,
        samples: Sequence[Any],
        options: Any,
        progress: Callable[[float], None] | None = None,
    ) -> list[Any]:
        """Predictions of some samples, in their order. `predict`, `evaluate` and exported files all come here.

        runner: the model. samples: each with the family's inputs (an image is a tensor (C, H, W), or `Windows` that are
        read piece by piece) and 'name'. options: an instance of `Options`. progress: called with the share that is
        done, 0..1, where a single sample takes long.
        Raises ConfigError for options that do not fit, ModelError for tables that are not the model's.
        """

    def generate(
        self,
        runner: Runner,
        count: int,
        seed: int,
        options: Any,
        progress: Callable[[float], None] | None = None,
    ) -> Generated:
        """Samples that the model generates, each a function of the seed and of its number alone.

        options: an instance of `Options`. progress: called with the share that is done, 0..1. Raises ConfigError for a
        family that answers inputs, and for options that do not fit.
        """
        raise ConfigError(f"models for {self.title} generate nothing; they answer {self.noun(2)}: use foveate predict")

    @classmethod
    def example_options(cls, config: Mapping[str, Any], tables: Mapping[str, Table]) -> Mapping[str, str]:
        """Options without which `generate` refuses, by name, for the command that is printed after training.

        config: the model's own, as JSON. By default none.
        """
        return {}

    # Scoring

    @abstractmethod
    def metrics(self, dataset: Any, whole: bool = True) -> Metrics:
        """An empty counter of a data set's scores. whole: those that take long, too."""

    @abstractmethod
    def count(self, metrics: Any, index: int, sample: Any, prediction: Any) -> float:
        """Count one prediction; returns its own score, by which examples are chosen (nan if it has none)."""

    def answer_to_score(self, runner: Runner, samples: Sequence[Any], options: Any, metrics: Any) -> Sequence[Any]:
        """Answers that go to `count`: those of `answer`, with what the family's `metrics` need beside, if anything."""
        return self.answer(runner, samples, options)

    def observe(self, runner: Runner, metrics: Any, samples: Sequence[Any]) -> None:
        """Count what a batch shows as a whole, where `count` does not; by default nothing."""

    def outcome(self, sample: Any, prediction: Any) -> dict[str, Any]:
        """Columns of a sample's row in the table of an evaluation, beside its name and its own score; by default none.

        A family whose answers are texts or classes gives 'reference' and 'predicted'. Several references are a list.
        """
        return {}

    def score(
        self,
        runner: Runner,
        dataset: Any,
        indices: Iterable[int],
        metrics: Any,
        options: Any = None,
        outcomes: dict[int, dict[str, Any]] | None = None,
    ) -> Iterator[tuple[int, float]]:
        """Count the answers to some samples of a data set; yields (index, the sample's own score) of each.

        outcomes: takes the `outcome` of each, by index.
        """
        options = self.options if options is None else options
        remaining = iter(indices)
        while batch := list(itertools.islice(remaining, self.batch_size)):
            samples = [self.prepare(dataset[index]) for index in batch]
            predictions = self.answer_to_score(runner, samples, options, metrics)
            self.observe(runner, metrics, samples)
            for index, sample, prediction in zip(batch, samples, predictions, strict=True):
                if outcomes is not None:
                    outcomes[index] = self.outcome(sample, prediction)
                yield index, self.count(metrics, index, sample, prediction)

    def score_notes(self, scores: Any) -> Sequence[str]:
        """Sentences that a reader of the scores has to know; `foveate evaluate` prints them. By default none."""
        return ()

    def undefined(self, scores: Any) -> Sequence[tuple[str, str]]:
        """Pairs of what the scored split lacks ('no objects') and the scores that have no value for it, in words.

        By default none.
        """
        return ()

    def scores_to_json(self, scores: Any) -> dict[str, Any]:
        """Scores as plain JSON values, by name."""
        return dict(scores.to_json())

    # Keeping and showing

    @abstractmethod
    def record(self, prediction: Any) -> dict[str, Any]:
        """A prediction's entry in predictions.json: plain JSON values. The names of its files are added."""

    def files(self, prediction: Any, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The files of one prediction: key in predictions.json -> (end of its name, what writes it)."""
        return {}

    def annotation(self, prediction: Any) -> Labels | None:
        """A prediction as labels that an annotation tool can read; None for a family of other answers."""
        return None

    def about(self) -> dict[str, Any]:
        """The model's tables for predictions.json, as plain JSON values."""
        return {name: list(table.names) for name, table in self.tables.items()}

    def gallery(self, model: str) -> Gallery | None:
        """An empty page of all predictions of one call; None for a family without one. model: its name."""
        return None

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """Lines that `predict` prints for all predictions; records: (source, entry in predictions.json) of each."""
        yield from ()

    def report(self, evaluation: Evaluation) -> ReportPart:
        """The family's part of report.html; by default its scores alone."""
        names = {key: score_name(key) for key in (self.monitor, *self.headline)}
        text = ReportText(
            title=f"Report on {self.title}",
            score=(self.monitor, names[self.monitor], "The score by which the best epoch was chosen."),
            found=(self.monitor, f"reached {names[self.monitor]} {{score:.3f}} on {{samples}}"),
            facts=tuple((key, names[key], "") for key in self.headline if key != self.monitor),
            curves=tuple((key, names[key]) for key in self.headline),
        )
        return ReportPart(text)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> Findings:
        """An empty record of what `foveate datasets inspect` finds in data of this family."""
        return Findings(path, recognised)

    # Exporting

    def graphs(self, model: nn.Module) -> Graphs:
        """The model as ONNX graphs. Raises ModelError, with the reason, for a family or model without."""
        raise ModelError(f"models for {self.title} have no ONNX export; use the run folder or the model folder")

    def open(self, file: OnnxFile) -> Runner:
        """The exported file of a model with the model's interface. Raises ModelError."""
        raise ModelError(f"{file.path}: models for {self.title} have no ONNX export; give the run that it came from")


class _Images(Sequence[Tensor]):
    """The images of a data set, decoded when they are asked for."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[index][IMAGE.name]
