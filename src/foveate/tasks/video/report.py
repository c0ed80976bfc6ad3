"""The part of report.html that belongs to video."""

from __future__ import annotations

from foveate.errors import counted
from foveate.metrics.video import VideoScores
from foveate.tasks.captioning.sections import own_score_and_references
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.video.figure import VideoFigure, video_figure, video_style
from foveate.visualize.bars import score_text
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report import ReportPart, ReportText, Section, section
from foveate.visualize.report.parts import best_and_worst, card, pairs, scroll_box

TEXT = ReportText(
    title="Video captioning report",
    score=(
        "cider_d",
        "CIDEr-D",
        "How far a sentence agrees with the sentences that people wrote for its clip, in groups of one to four words, "
        "rare ones counting more; the mean over clips. 0 is nothing in common, 10 the same words.",
    ),
    found=("cider_d", "described {samples}, with a CIDEr-D of {score:.3f}"),
    facts=(
        ("exact", "Word for word", "share of the sentences that are one of their clip's references"),
        ("event_accuracy", "Events", "share that it names rightly; one that does not happen counts as one left out"),
        ("order_accuracy", "Order", "of two events, one after the other: the share told in their true order"),
        ("attention_ratio", "Attention on the event", "times as much as if it were spread evenly"),
        ("distinct", "Different sentences", "for each clip; low if most get the same sentence"),
        ("mean_length", "Words a sentence", "on average"),
    ),
    curves=(
        ("cider_d", "CIDEr-D"), ("bleu4", "BLEU-4"), ("event_accuracy", "Events"), ("order_accuracy", "Order"),
    ),
    beside=(
        "bleu4",
        "BLEU-4",
        "The share of groups of one to four words that people used for the same clip, too. 1 is all.",
    ),
)  # fmt: skip
WORDS_NOTE = (
    "Scores are computed on Foveate's own division into words, not on the Penn Treebank tokenizer of coco-caption: "
    "published figures of these names are near, but not the same."
)


def report(evaluation: Evaluation) -> ReportPart:
    """Attention on events compared with chance, every kind of event, and the best and worst examples."""
    examples = [
        VideoFigure(sample["name"], sample["video"], prediction, [c.text for c in sample["captions"]], own)
        for sample, prediction, own in evaluation.examples()
    ]
    scores: VideoScores = evaluation.scores
    sections = (_attention(scores), _events(scores), _examples(examples))
    longest = max((len(example.prediction.sentences[0].words) for example in examples), default=0)
    return ReportPart(
        TEXT,
        [part for part in sections if part is not None],
        rows=[("Vocabulary", counted(len(evaluation.task.tables["text"]), "token"))],
        notes=[_search_note(evaluation), WORDS_NOTE],
        style=video_style(longest) if examples else "",
    )


def _search_note(evaluation: Evaluation) -> str:
    """A sentence on how captions were generated."""
    search = evaluation.options.search_in_words("word")
    form = evaluation.loaded.preprocessing
    frames = f"up to {counted(form.frames, 'frame')}"
    size = f" of {form.size[1]}x{form.size[0]} pixels" if form.size else ""
    return (
        f"The model generated every sentence {search}, from {frames}{size}, equally "
        "spaced over the clip; it was never given the true words."
    )


def _attention(scores: VideoScores) -> Section | None:
    if not scores.attended:
        return None
    lead = (
        "Attention is useful if the words that name an event fall on the frames in which it happens. Counted are "
        "events that the sentence names and that happen."
    )
    facts = pairs(
        (name, tag("span", score_text(value), " ", tag("span", f"({hint})", class_="faint")))
        for name, value, hint in (
            ("Within the event", scores.attention_mass, "share of the attention of its words"),
            ("Frames of the event", scores.attention_chance, "share of the frames: attention that is spread evenly"),
            ("Spread", scores.attention_entropy_share, "0: on one frame, 1: evenly over all"),
        )
    )
    note = tag("p", f"Over {counted(scores.attended, 'event')}.", class_="faint")
    return section("attention", "Attention", "Attention", lead, card(facts, note))


def _events(scores: VideoScores) -> Section | None:
    if not scores.by_event:
        return None
    heads = ("Event", "Happens", "Named", "Missed", "Invented")
    head = tag("tr", [tag("th", name, scope="col", class_="number" if i else None) for i, name in enumerate(heads)])
    rows = [
        tag("tr", tag("th", kind, scope="row"), [_cell(n) for n in (true, right, true - right, wrong)])
        for kind, (true, right, wrong) in scores.by_event.items()
    ]
    lead = "What happens, and what the sentences say of it."
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="bars")
    return section("events", "Events", "Events", lead, card(scroll_box("Events", table)))


def _cell(count: int) -> Markup:
    return tag("td", f"{count:,}", class_="number")


def _examples(examples: list[VideoFigure]) -> Section | None:
    if not examples:
        return None
    lead = (
        "The model's sentence, and the sentences of people. CIDEr-D is that of the one clip. Point at a word, tap it "
        "or go to it with the Tab key, to see its row."
    )
    figures = best_and_worst(
        examples, lambda example: video_figure(example, own_score_and_references(example.score, example.references))
    )
    return section("clips", "Examples", "Examples", lead, figures)
