"""The part of report.html that belongs to translation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foveate.errors import counted
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.translation.alignment import STYLE, translation_figure
from foveate.visualize.bars import score_text
from foveate.visualize.curves import Series, line_chart
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, card, chart_figure, scroll_box

TEXT = ReportText(
    title="Translation report",
    score=(
        "bleu",
        "BLEU",
        "The share of groups of one to four words that the reference has, too, less a penalty for short translations, "
        "over the whole set. 0 is nothing in common, 100 the same words.",
    ),
    found=("bleu", "translated {samples}, with a BLEU of {score:.1f}"),
    facts=(
        ("ter", "TER", "edits for each word of the reference"),
        ("length_ratio", "Length", "words for each word of the reference"),
        ("exact", "Exact", "share that equals the reference"),
    ),
    curves=(("bleu", "BLEU"), ("chrf", "chrF")),
    beside=("chrf", "chrF", "Agreement in groups of one to six characters; 100 is the same text."),
)


def report(evaluation: Evaluation) -> ReportPart:
    """BLEU by the length of the sentence, and the best and worst examples with their alignments."""
    scores = evaluation.to_json()
    examples = [
        (prediction, sample["reference"], own) for sample, prediction, own in evaluation.examples()
    ]  # fmt: skip
    sections = (_length_section(scores.get("by_length") or []), _example_section(examples))
    return ReportPart(
        TEXT,
        [one for one in sections if one],
        rows=_rows(evaluation),
        notes=[_search_note(evaluation), *_signatures(scores)],
        style=STYLE,
    )


def _rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    tables = evaluation.task.tables
    sizes = [(side, counted(len(tables[side]), "token")) for side in ("source", "target")]
    about = evaluation.task.about()["languages"]
    rows = [("Direction", " to ".join(about))] if all(about) else []
    return rows + [(f"Vocabulary, {side}", size) for side, size in sizes]


def _search_note(evaluation: Evaluation) -> str:
    """A sentence on how translations were written."""
    return f"The model wrote every translation {evaluation.options.search_in_words('token')}."


def _signatures(scores: Mapping[str, Any]) -> list[str]:
    found = scores.get("signatures") or {}
    return [f"Scored by sacreBLEU: {', '.join(f'{name} {text}' for name, text in found.items())}."] if found else []


def _length_section(bins: Sequence[Mapping[str, Any]]) -> Section | None:
    """BLEU by the number of words of the source sentence; None for fewer than two groups of lengths."""
    if len(bins) < 2:
        return None
    points = [(float(one["words"]), one["bleu"]) for one in bins]
    chart = line_chart("BLEU by the length of the sentence", [Series("BLEU", points)], x_name="words of the sentence")
    head = tag("tr", [tag("th", name, scope="col", class_="number") for name in ("Words", "Sentences", "BLEU")])
    rows = [
        tag(
            "tr",
            tag("th", one["range"], scope="row"),
            tag("td", one["sentences"], class_="number"),
            tag("td", score_text(one["bleu"], 1), class_="number strong"),
        )
        for one in bins
    ]
    table = scroll_box("BLEU by length", tag("table", tag("thead", head), tag("tbody", rows), class_="bars"))
    lead = "A model that keeps a whole sentence in one vector forgets the beginning of long ones; attention should not."
    figure = chart_figure("BLEU by length", chart, "Each point is a group of sentences; those of few say little.")
    return section("lengths", "Lengths", "Errors by length", lead, tag("div", figure, card(table), class_="charts two"))


def _example_section(examples: Sequence[tuple[Any, str, float]]) -> Section | None:
    """The examples with their references and alignments, best first; None if there are none."""
    if not examples:
        return None
    lead = (
        "A row of a matrix is a word of the translation, a column a word of the sentence; the darker a cell, the more "
        "the model attended to it. chrF is that of the one sentence."
    )
    figures = best_and_worst(examples, lambda one: translation_figure(one[0], _reference(*one[1:]), name=one[0].name))
    return section("sentences", "Examples", "Examples", lead, figures)


def _reference(text: str, score: float) -> Markup:
    return tag("p", tag("span", "Reference: ", class_="faint"), text, " ", tag("span", "chrF ", score_text(score, 1)))
