"""The part of report.html that belongs to captioning."""

from __future__ import annotations

from collections import Counter
from typing import Any

from foveate.errors import counted
from foveate.tasks.captioning.figure import CaptionFigure, caption_style
from foveate.tasks.captioning.sections import attention_section, caption_section
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.reporting import image_pixels, input_size
from foveate.visualize.report import ReportPart, ReportText

NUM_WORDS = 12  # the most frequent words, which the row on the vocabulary names
TEXT = ReportText(
    title="Captioning report",
    score=(
        "cider_d",
        "CIDEr-D",
        "How far a sentence agrees with the sentences that people wrote for its picture, in groups of one to four "
        "words, rare ones counting more; the mean over pictures. 0 is nothing in common, 10 the same words.",
    ),
    found=("cider_d", "described {samples}, with a CIDEr-D of {score:.3f}"),
    facts=(
        ("bleu1", "BLEU-1", "share of its words that people used, too"),
        ("rouge_l", "ROUGE-L", "the longest part in the same order as a person's sentence"),
        ("distinct", "Different sentences", "for each picture; low if most get the same sentence"),
        ("mean_length", "Words a sentence", "on average"),
        ("vocabulary_used", "Vocabulary used", "of the different words that people used of these pictures"),
    ),
    curves=(("cider_d", "CIDEr-D"), ("bleu4", "BLEU-4")),
    beside=(
        "bleu4",
        "BLEU-4",
        "The share of groups of one to four words that people used for the same picture, too. 1 is all.",
    ),
)
WORDS_NOTE = (
    "Scores are computed on Foveate's own division into words, not on the Penn Treebank tokenizer of coco-caption: "
    "published figures of these names are near, but not the same."
)


def report(evaluation: Evaluation) -> ReportPart:
    """Attention compared with chance, and the best and worst examples with their sentences."""
    examples = [
        CaptionFigure(sample["name"], image_pixels(sample), prediction, [c.text for c in sample["captions"]], own)
        for sample, prediction, own in evaluation.examples()
    ]
    sections = (attention_section(evaluation.to_json()), caption_section(examples))
    return ReportPart(
        TEXT,
        [section for section in sections if section],
        rows=[_vocabulary_row(evaluation)],
        notes=[_search_note(evaluation), WORDS_NOTE],
        style=caption_style(max(len(e.prediction.sentences[0].words) for e in examples)) if examples else "",
    )


def _vocabulary_row(evaluation: Evaluation) -> tuple[str, str]:
    """The size of the vocabulary, and the most frequent words of the data set's captions."""
    table: Any = evaluation.task.tables["text"]
    dataset = evaluation.dataset
    frequencies = Counter(
        word
        for index in range(len(dataset))
        for caption in dataset.captions(index)
        for word, _ in table.words(table.encode(caption.text))
    )
    frequent = ", ".join(word for word, _ in frequencies.most_common(NUM_WORDS))
    return "Vocabulary", f"{counted(len(table), 'token')}; the most frequent here: {frequent}"


def _search_note(evaluation: Evaluation) -> str:
    """A sentence on how captions were generated."""
    search, size = evaluation.options.search_in_words("word"), input_size(evaluation.loaded.preprocessing)
    return f"The model generated every sentence {search}, from the picture {size}; it was never given the true words."
