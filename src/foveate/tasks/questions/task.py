"""Visual question answering: batches of images and questions, answers from a fixed list, and their scores.

Shapes: B images of C channels, a grid of h x w places, T words of a question, K answers.

A model takes `answer(features (B, D, h, w), tokens (B, T))`, where features are `encode(image (B, C, H, W))`, and
returns a `QuestionOutput`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, DataError, counted
from foveate.metrics.questions import QuestionAlone, QuestionMetrics, answer_accuracy, usual_answer
from foveate.ops.padding import pad
from foveate.pictures.fitting import shrink
from foveate.records import (
    IGNORE,
    QuestionBatch,
    QuestionDataset,
    QuestionOutput,
    QuestionPrediction,
    QuestionPreprocessing,
    Table,
)
from foveate.registry import task
from foveate.tasks.base import Count, Runner, Sample, Task, Writer, device_of
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.fitting import distinct, fit_sample, network_inputs
from foveate.tasks.inputs import IMAGE, Input, weigh_text
from foveate.tasks.options import Options, option
from foveate.tasks.questions.export import graphs, open_runner
from foveate.tasks.questions.figures import LONGEST_SIDE, attention_panels
from foveate.tasks.questions.inspection import QuestionFindings
from foveate.tasks.questions.page import QuestionPage
from foveate.tasks.questions.reply import QuestionReplies
from foveate.tasks.questions.report import report
from foveate.text import PAD, UNKNOWN, split_words
from foveate.text.answers import normal, vqa_normal
from foveate.visualize.report import ReportPart

if TYPE_CHECKING:
    from foveate.onnx import Graphs, OnnxFile

DIGITS = 5  # of a map's numbers in predictions.json


@dataclass(frozen=True)
class QuestionInput(Input):
    """Questions, as texts."""

    name: ClassVar[str] = "question"
    noun: ClassVar[str] = "question"
    nouns: ClassVar[str] = "questions"
    suffixes: ClassVar[frozenset[str]] = frozenset()

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> str:
        """See `Input.open`. Raises DataError for a question without a word."""
        if not isinstance(given, str):
            raise DataError(f"{name or 'the input'}: a question of type {type(given).__name__}; give a text")
        if not split_words(given):
            raise DataError(f"{name or 'the input'}: '{given.strip()}' is a question without a word; ask something")
        return given

    def weigh(self, given: Any, name: str = "", max_pixels: int | None = None) -> int:
        """Its characters. Raises DataError for a long text."""
        return weigh_text(given, self.noun)

    def example(self, preprocessing: Any) -> str:
        """A question of words that most vocabularies have."""
        return "what is this"


@dataclass(frozen=True)
class QuestionOptions(Options):
    """least: the probability below which the answer is "don't know", 0..1; 0 always answers."""

    least: float = option(0.0, 'answer "don\'t know" below this probability', "P")

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise ConfigError(f"least is {self.least}; give a probability of 0..1")


@task("questions")
class QuestionsTask(QuestionReplies, Task):
    """An answer to a question about an image."""

    name = "questions"
    title = "questions about pictures"
    hub_tag = "visual-question-answering"
    monitor = "accuracy"
    own_score = "signed_probability"
    headline = ("accuracy", "usual_answer", "attention_mass")
    runtimes = ("onnxruntime", "openvino")
    inputs = (IMAGE, QuestionInput())
    Options = QuestionOptions
    Preprocessing = QuestionPreprocessing
    sizes: ClassVar = {"vocabulary": "text", "num_answers": "answers", "in_channels": Count("channels")}
    batch_size = 64
    endings = ("_attention.png",)

    def __init__(self, tables: Mapping[str, Table], preprocessing: QuestionPreprocessing) -> None:
        super().__init__(tables, preprocessing)
        self.text: Any = self.tables["text"]
        self.answers: Any = self.tables["answers"]
        self._numbers = {name: i for i, name in enumerate(self.answers.names)}
        self._alone: tuple[Any, QuestionAlone | None] | None = None  # of the set that was scored last

    @classmethod
    def noun(cls, count: int = 1) -> str:
        """Samples are questions; several may be about one picture."""
        return "question" if count == 1 else "questions"

    # Training

    @classmethod
    def learn_tables(cls, train_set: QuestionDataset, recipe: Any) -> dict[str, Table]:
        """The words of all training questions, and the answers to choose from. Decodes no image."""
        if not hasattr(recipe.text, "learn_answers"):
            raise ConfigError(
                f"recipe '{recipe.name}' does not say which words and answers are kept; give its field text, as "
                "QuestionTables()"
            )
        indices = range(len(train_set))
        answers = recipe.text.learn_answers(train_set.answers(index) for index in indices)
        return {"text": recipe.text.learn(train_set.question(index) for index in indices), "answers": answers}

    def training_set(self, dataset: QuestionDataset) -> KnownQuestions:
        """The questions whose answer is one of the model's."""
        return KnownQuestions(dataset, self)

    def groups(self, training_set: KnownQuestions) -> Sequence[str] | None:
        """The image of each question, unless images are drawn again."""
        if hasattr(training_set, "draw"):
            return None
        return [training_set.dataset.name(index) for index in training_set.members]

    def remark(self, training_set: KnownQuestions) -> str:
        """The questions that are left out or cut."""
        return training_set.remark

    def label(self, answers: Sequence[str]) -> int:
        """The index of the usual answer; -1 for one that the model does not have."""
        return self._numbers.get(usual_answer(answers), -1)

    def encode(self, question: str) -> list[int]:
        """The ids of the words of a question that are read."""
        ids: list[int] = self.text.encode(question)
        return ids[: self.preprocessing.max_words]

    def collate(self, samples: Sequence[Any]) -> QuestionBatch:
        """Samples -> one batch; an image in memory is in it once, and shorter questions are filled up with <pad>."""
        labels = torch.tensor([self.label(s["answers"]) for s in samples])
        batch: QuestionBatch = {
            "tokens": self._tokens(samples),
            "label": labels.where(labels >= 0, IGNORE),
            "names": [s["name"] for s in samples],
        }
        samples, batch["image_of"] = distinct(samples, itemgetter("features" if "features" in samples[0] else "image"))
        batch.update(self._inputs(samples))  # type: ignore[typeddict-item]
        return batch

    def _tokens(self, samples: Sequence[Any]) -> Tensor:
        """Tokens (B, T) of the questions, T of the longest one, PAD after the end of shorter ones."""
        return pad([torch.tensor(self.encode(sample["question"])) for sample in samples], PAD)

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
        options: QuestionOptions,
        progress: Callable[[float], None] | None = None,
    ) -> list[QuestionPrediction]:
        """The answer to each question, with the maps of the model's hops and the word that decided each place."""
        inputs = self._inputs(samples)
        output = _answers(runner, inputs, self._tokens(samples))
        probabilities = output.logits.softmax(1).numpy()
        found = []
        for i, sample in enumerate(samples):
            words = split_words(sample["question"])
            ids = self.encode(sample["question"])
            found.append(
                QuestionPrediction(
                    probabilities[i],
                    self.answers,
                    sample["question"],
                    tuple(words[: len(ids)]),
                    (*(w for w, n in zip(words, ids, strict=False) if n == UNKNOWN), *words[len(ids) :]),
                    None if output.attention is None else output.attention[i].float().numpy(),
                    None if output.winner is None else output.winner[i].numpy(),
                    options.least,
                    sample["name"],
                )
            )
        return found

    # Scoring

    def metrics(self, dataset: QuestionDataset, whole: bool = True) -> QuestionMetrics:
        """An empty counter of a set's scores. whole: also those of the question alone, where train is known."""
        kinds = tuple(dict.fromkeys(dataset.question_kind(index) for index in range(len(dataset))))
        if not whole or not hasattr(dataset, "training"):
            return QuestionMetrics(kinds)
        if self._alone is None or self._alone[0] is not dataset:
            training = list(dataset.training())
            self._alone = (dataset, QuestionAlone(training) if training else None)
        return QuestionMetrics(kinds, self._alone[1])

    def count(self, metrics: QuestionMetrics, index: int, sample: Any, prediction: QuestionPrediction) -> float:
        """Count the answer to one question; returns the probability of a right one, and minus that of a wrong one."""
        asked = sample.get("asked")
        accuracy = metrics.update(
            sample["question"],
            sample.get("question_kind", ""),
            self.answers.names[prediction.best],
            sample["answers"],
            prediction.probability,
            prediction.sure,
            prediction.attention,
            None if asked is None else np.asarray(asked.as_subclass(Tensor)),
            self._knows(sample["answers"]),
        )
        return (2 * accuracy - 1) * prediction.probability

    def outcome(self, sample: Any, prediction: QuestionPrediction) -> dict[str, Any]:
        """A question, the answers of people, the model's, and its accuracy."""
        accuracy = answer_accuracy(prediction.text, sample["answers"]) if prediction.sure else 0.0
        answers = {"reference": list(sample["answers"]), "predicted": prediction.text, "accuracy": accuracy}
        return {"question": sample["question"]} | answers

    def _knows(self, answers: Sequence[str]) -> bool:
        return any(normal(one) in self._numbers or vqa_normal(one) in self._numbers for one in answers)

    # Keeping and showing

    def about(self) -> dict[str, Any]:
        """The number of words, and the answers."""
        return {"vocabulary": len(self.text), "answers": list(self.answers.names)}

    def record(self, prediction: QuestionPrediction) -> dict[str, Any]:
        """The answer with its probability, the likeliest ones, and the maps with the words that decided the places."""
        found: dict[str, Any] = {
            "answer": prediction.text,
            "probability": round(prediction.probability, 6),
            "sure": prediction.sure,
            "top": [{"answer": name, "probability": round(p, 6)} for name, p in prediction.top()],
            "words": list(prediction.words),
            "unread": list(prediction.unread),
        }
        if prediction.attention is not None:
            found["attention"] = [
                [[round(float(a), DIGITS) for a in row] for row in one] for one in prediction.attention
            ]
        if prediction.winner is not None:
            found["word_weights"] = [round(weight, 6) for weight in prediction.word_weights()]
            found["winning_words"] = [
                [prediction.words[i] if i >= 0 else None for i in row] for row in prediction.winner.tolist()
            ]
        return found

    def files(self, prediction: QuestionPrediction, sample: Sample) -> dict[str, tuple[str, Writer]]:
        """The image, the map of each hop, and the words by place; nothing of a model without attention."""
        if prediction.attention is None:
            return {}
        image = shrink(sample["image"], LONGEST_SIDE)

        def write(path: Any) -> None:
            attention_panels(image, prediction).save(path, format="PNG")

        return {"drawing": ("_attention.png", write)}

    def gallery(self, model: str) -> QuestionPage:
        """answers.html: every image with its question, the answers and the maps."""
        return QuestionPage(model)

    def lines(self, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
        """The answer to each question, and its words that were not read; of a single one, other answers, too."""
        for source, record in records:
            unread = f"  (not read: {', '.join(record['unread'])})" if record["unread"] else ""
            best = record["top"][0]
            likely = "" if record["sure"] else f", most likely {best['answer']}"
            yield f"{source}: {record['question']} {record['answer']} ({record['probability']:.3f}{likely}){unread}"
        if len(records) == 1:
            for one in records[0][1]["top"][1:]:
                yield f"  {one['probability']:.3f}  {one['answer']}"

    def report(self, evaluation: Evaluation) -> ReportPart:
        """Accuracy by kind beside that of the question alone, attention, confusions and examples."""
        return report(evaluation)

    @classmethod
    def inspection(cls, path: str, recognised: str) -> QuestionFindings:
        """Questions a picture, words a question, and the answers."""
        return QuestionFindings(path, recognised)

    # Exporting

    def graphs(self, model: Any) -> Graphs:
        """One graph: image and tokens -> logits, attention, and the words by place."""
        return graphs(self, model)

    def open(self, file: OnnxFile) -> Runner:
        """An exported file with the model's interface."""
        return open_runner(self, file)


class KnownQuestions:
    """The questions of a set whose usual answer is one that the model has.

    `remark` says how many are left out, and how many are cut. Raises DataError if no question is left.
    """

    def __init__(self, dataset: QuestionDataset, own: QuestionsTask) -> None:
        self.dataset = dataset
        indices = range(len(dataset))
        labels = [own.label(dataset.answers(index)) for index in indices]
        self.members = [index for index in indices if labels[index] >= 0]
        if not self.members:
            raise DataError(
                f"none of the answers to {counted(len(dataset), 'question')} is one of the model's "
                f"{len(own.answers)}; set "
                "text.answers_least lower, or train on the questions that the model was made for"
            )
        most = own.preprocessing.max_words
        cut = sum(len(split_words(dataset.question(index))) > most for index in self.members)
        left = len(dataset) - len(self.members)
        questions = counted(len(dataset), "question")
        remarks = [f"{left} of {questions} left out, whose answers are too rare"] if left else []
        remarks += [f"{cut} questions cut after {most} words (config.max_words)"] if cut else []
        self.remark = "; ".join(remarks)
        if hasattr(dataset, "draw"):
            self.draw = self._draw

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.members[index]]

    def _draw(self, keys: Sequence[tuple[int, int]]) -> list[Any]:
        drawn: list[Any] = self.dataset.draw(  # type: ignore[attr-defined]
            [(epoch, self.members[index]) for epoch, index in keys]
        )
        return drawn


@torch.no_grad()
def _answers(runner: Any, inputs: Mapping[str, Tensor], tokens: Tensor) -> QuestionOutput:
    """The network's output on the CPU in float32."""
    device = device_of(runner)
    if "features" in inputs:
        output = runner.answer(inputs["features"].to(device), tokens.to(device))
    else:
        output = runner(inputs["image"].to(device, memory_format=torch.channels_last), tokens.to(device))
    logits, *maps = output
    return QuestionOutput(logits.float().cpu(), *(x if x is None else x.cpu() for x in maps))
