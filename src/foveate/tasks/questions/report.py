"""The part of report.html that belongs to visual question answering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from foveate.errors import counted
from foveate.metrics.questions import answer_accuracy, usual_answer
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.questions.figures import QuestionExample, question_figure
from foveate.tasks.reporting import calibration_section, image_pixels, input_size
from foveate.visualize.bars import score_text
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, card, scroll_box

NUM_CONFUSIONS = 15
TEXT = ReportText(
    title="Report on answers",
    score=(
        "accuracy",
        "Accuracy",
        "The share of questions that were answered right; where several people answered a question, as the VQA "
        "challenge counts it.",
    ),
    found=("accuracy", "answered {samples}, {share:.1f} % of them right"),
    facts=(
        ("question_alone", "Question alone", "right without the picture, by the usual answer of training"),
        ("usual_answer", "Usual answer", "share of questions that got the answer most people gave"),
        ("attention_mass", "Attention on what is asked about", "share of the last hop's, where it is known"),
        ("attention_chance", "By chance", "the same, spread evenly"),
        ("unknown_answers", "Unknown answers", "share of questions whose answer training does not have"),
        ("calibration_error", "Calibration error", "how far confidence and accuracy are apart, on average"),
    ),
    curves=(("accuracy", "accuracy"),),
)


def report(evaluation: Evaluation) -> ReportPart:
    """Accuracy by kind, confused answers, calibration, and the best and worst examples with their maps."""
    scores = evaluation.to_json()
    examples = []
    for sample, prediction, _ in evaluation.examples():
        accuracy = answer_accuracy(prediction.answers.names[prediction.best], sample["answers"])
        accuracy = accuracy if prediction.sure else 0.0
        examples.append(QuestionExample(sample["name"], image_pixels(sample), prediction, sample["answers"], accuracy))
    sections = (
        kind_section(scores),
        confusion_section(evaluation),
        calibration_section(scores, "questions"),
        _examples(examples),
    )
    text: Any = evaluation.task.tables["text"]
    answers = evaluation.task.tables["answers"]
    frequent = ", ".join(answers.names[:12])
    return ReportPart(
        TEXT,
        [section for section in sections if section],
        rows=[
            ("Words", f"{counted(len(text), 'token')}"),
            ("Answers", f"{len(answers)}, the most frequent in training: {frequent}"),
        ],
        notes=list(_notes(evaluation, scores)),
    )


def _notes(evaluation: Evaluation, scores: Mapping[str, Any]) -> list[str]:
    """Sentences on what was scored."""
    size = input_size(evaluation.loaded.preprocessing)
    notes = [f"Each picture was seen {size}; an answer is one of {len(evaluation.task.tables['answers'])}."]
    if (alone := scores.get("question_alone")) is not None:
        notes.append(
            f"The question alone is worth {alone:.1%}: the most frequent answer of training to the same words. What "
            "the picture adds is the rest."
        )
    if options := evaluation.options.describe():
        notes.append(f"Answered with {options}: 'don't know' counts as wrong ({scores['answered']:.1%} were answered).")
    return notes


def kind_section(scores: Mapping[str, Any]) -> Section | None:
    """Accuracy by kind of question beside that of the question alone; None if the data has no kinds."""
    if not scores.get("per_kind"):
        return None
    names = ("Questions", "Accuracy", "Question alone", "Attention, times chance")
    head = tag("tr", tag("th", "Kind", scope="col"), [tag("th", name, scope="col", class_="number") for name in names])
    body = [
        tag(
            "tr",
            tag("th", kind, scope="row"),
            tag("td", f"{scores['questions_per_kind'][kind]:,}", class_="number"),
            tag("td", score_text(accuracy), class_="number strong"),
            tag("td", score_text(scores["question_alone_per_kind"][kind]), class_="number"),
            tag("td", score_text(scores["attention_times_chance_per_kind"][kind], 1), class_="number"),
        )
        for kind, accuracy in scores["per_kind"].items()
    ]
    lead = "What the question alone gives away is no skill of the model: compare the accuracy with it."
    table = tag("table", tag("thead", head), tag("tbody", body), class_="bars")
    return section("kinds", "Kinds", "By kind of question", lead, card(scroll_box("Accuracy by kind", table)))


def confusion_section(evaluation: Evaluation) -> Section | None:
    """The answers that are taken for another one most often; None if all are right."""
    wrong: Counter[tuple[str, str]] = Counter()
    task, dataset = evaluation.task, evaluation.dataset
    missed = [index for index, own in evaluation.samples if own < 0]
    for start in range(0, len(missed), task.batch_size):
        samples = [task.prepare(dataset[index]) for index in missed[start : start + task.batch_size]]
        with torch.inference_mode():
            predictions = task.answer(evaluation.loaded.model, samples, evaluation.options)
        for sample, prediction in zip(samples, predictions, strict=True):
            wrong[usual_answer(sample["answers"]), prediction.text] += 1
    if not wrong:
        return None
    head = tag("tr", [tag("th", name, scope="col") for name in ("True", "Given")], tag("th", "Times", class_="number"))
    body: list[Markup] = [
        tag("tr", tag("td", true), tag("td", given), tag("td", str(n), class_="number"))
        for (true, given), n in wrong.most_common(NUM_CONFUSIONS)
    ]
    lead = "The most frequent wrong answers."
    table = tag("table", tag("thead", head), tag("tbody", body), class_="bars")
    return section("confusions", "Wrong answers", "Wrong answers", lead, card(scroll_box("Wrong answers", table)))


def _examples(examples: list[QuestionExample]) -> Section | None:
    if not examples:
        return None
    lead = (
        "The surest right and the surest wrong answers: the picture, the attention of each hop, and the word that "
        "decided each place in the first hop, with its share of that attention."
    )
    return section("pictures", "Examples", "Examples", lead, best_and_worst(examples, question_figure))
