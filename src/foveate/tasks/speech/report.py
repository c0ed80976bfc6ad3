"""The part of report.html that belongs to speech."""

from __future__ import annotations

from typing import Any

from foveate.errors import counted
from foveate.metrics.speech import SpeechScores
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.speech.figure import SpeechFigure, shown, speech_figure, speech_style
from foveate.visualize.bars import score_text
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, card, scroll_box

MOST_CONFUSIONS = 20
TEXT = ReportText(
    title="Speech report",
    score=(
        "wer",
        "Word error rate",
        "Words that were left out, put in or taken for others, for each word that was said. 0 is none; more than 1 is "
        "possible.",
    ),
    found=("wer", "wrote down {samples}, with a word error rate of {score:.3f}"),
    facts=(
        ("sentence_errors", "Recordings with an error", "share of all"),
        ("substitutions", "Substitutions", "for each word that was said"),
        ("insertions", "Insertions", "for each word that was said"),
        ("deletions", "Deletions", "for each word that was said"),
        ("monotone", "Attention moves on", "share of the recordings without an error in which it never steps back"),
        ("attention_in_span", "Attention on its word", "share of a right word's attention within its true time"),
    ),
    curves=(("wer", "Word error rate"), ("cer", "Character error rate")),
    beside=("cer", "Character error rate", "The same of characters, blanks included."),
)


def report(evaluation: Evaluation) -> ReportPart:
    """Errors by length and by word, and the best and worst examples, to be heard and seen."""
    examples = [
        SpeechFigure(sample["name"], sample["audio"], prediction, sample["transcript"], own)
        for sample, prediction, own in evaluation.examples()
    ]
    scores: SpeechScores = evaluation.scores
    sections = (_lengths(scores), _confusions(scores), _examples(examples))
    longest = max((shown(example.prediction)[0] for example in examples), default=0)
    return ReportPart(
        TEXT,
        sections=[part for part in sections if part is not None],
        rows=[("Characters", _characters(evaluation))],
        notes=[_search_note(evaluation)],
        style=speech_style(longest),
        sound=True,
    )


def _characters(evaluation: Evaluation) -> str:
    table: Any = evaluation.task.tables["text"]
    shown = " ".join("␣" if name == " " else name for name in table.names[4:])
    return f"{counted(len(table), 'token')}: {shown}" if len(table) <= 80 else counted(len(table), "token")


def _search_note(evaluation: Evaluation) -> str:
    return (
        f"The model wrote every transcript {evaluation.options.search_in_words('character')}; it was never given the "
        "true characters. Words are divided at blanks and compared as they are written, case and punctuation included."
    )


def _lengths(scores: SpeechScores) -> Section | None:
    if len(scores.by_length) < 2:
        return None
    head = tag("tr", [tag("th", "Words", scope="col"), _number("Recordings"), _number("Word error rate")])
    rows = [
        tag("tr", tag("th", key, scope="row"), _cell(f"{count:,}"), tag("td", score_text(wer), class_="number strong"))
        for key, (wer, count) in scores.by_length.items()
    ]
    lead = "Attention that loses its place shows as errors that grow with the length."
    return section("lengths", "Lengths", "Errors by length", lead, card(_table("Errors by length", head, rows)))


def _confusions(scores: SpeechScores) -> Section | None:
    if not scores.confusions:
        return None
    head = tag("tr", [tag("th", "Said", scope="col"), tag("th", "Written", scope="col"), _number("Times")])
    rows = [
        tag(
            "tr",
            tag("td", reference or tag("i", "nothing")),
            tag("td", written or tag("i", "nothing")),
            _cell(str(times)),
        )
        for reference, written, times in scores.confusions[:MOST_CONFUSIONS]
    ]
    lead = "The most frequent errors, as the best alignment of both texts pairs their words."
    return section("confusions", "Confusions", "Confusions", lead, card(_table("Confusions", head, rows)))


def _examples(examples: list[SpeechFigure]) -> Section | None:
    if not examples:
        return None
    lead = (
        "Listen, and point at a word, tap it or go to it with the Tab key, to see where the model attended. Words that "
        "were not written are struck out, and those written in their place highlighted."
    )
    numbers = {id(example): i for i, example in enumerate(examples, start=1)}
    figures = best_and_worst(examples, lambda example: speech_figure(example, numbers[id(example)]))
    return section("recordings", "Examples", "Examples", lead, figures)


def _table(name: str, head: Markup, rows: list[Markup]) -> Markup:
    return scroll_box(name, tag("table", tag("thead", head), tag("tbody", rows), class_="bars"))


def _number(name: str) -> Markup:
    return tag("th", name, scope="col", class_="number")


def _cell(text: str) -> Markup:
    return tag("td", text, class_="number")
