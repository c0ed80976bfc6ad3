"""The contents of a report. Nothing is computed here: the report shows what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foveate.errors import DataError
from foveate.visualize.markup import Markup

NOTHING = Markup("")
OWN_SECTIONS = frozenset(
    {"notes", "training", "learning", "each", "again"}
)  # ids of the sections that every report has


@dataclass(frozen=True)
class ReportText:
    """The words of one family's report, and the scores that they are about.

    title: of the page.
    score, beside: key, name and meaning of the large score, and of a second one.
    found: key of the score in the summary, and a sentence about it with {score}, {share} (in per cent) and {samples}
        (the number of samples and their split).
    facts: key, name and meaning of each smaller score.
    curves: key and name of each line in the chart of scores.
    chosen: key and name of the score that ranks epochs, if that is not `score`.
    class_score: name of a class's own score. unit: what a confusion matrix counts. classes, confusion: how to read the
        table of classes and the matrix. All four stay '' for a family without classes.
    """

    title: str
    score: tuple[str, str, str]
    found: tuple[str, str]
    facts: tuple[tuple[str, str, str], ...]
    curves: tuple[tuple[str, str], ...]
    beside: tuple[str, str, str] | None = None
    chosen: tuple[str, str] | None = None
    class_score: str = ""
    unit: str = ""
    classes: str = ""
    confusion: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    name: the id of its heading. label: its entry in the line of contents. content: the section itself, as
    `parts.section` makes it.
    """

    name: str
    label: str
    content: Markup


@dataclass(frozen=True)
class Picture:
    """A small image that the page holds.

    title: one word for what it shows. alt: the image in words. source: a data URI. width, height: in pixels.
    """

    title: str
    alt: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class ReportPart:
    """The part of a report that belongs to a family.

    text: its words.
    sections: in order; they stand after the learning curves and before "Reproduce this run".
    strip: what stands under the large score, e.g. all classes on one line.
    summary: the sentences that follow the first one of the summary.
    rows: (name, value) rows for the table of model and data, e.g. ("Classes", "3: a, b, c").
    notes: sentences that a reader has to know before quoting the score.
    style: CSS that the sections need beside that of every report.
    sound: the sections embed sound.
    pictures: place of a sample in `Report.samples` -> its pictures in the list of all samples.
    own_score: heading of the samples' own scores in it; '' for the name that `text` gives to this score.
    columns: key in `Report.values` and heading of each further score in that list.
    """

    text: ReportText
    sections: Sequence[Section] = ()
    strip: Markup = NOTHING
    summary: Markup = NOTHING
    rows: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    style: str = ""
    sound: bool = False
    pictures: Mapping[int, Sequence[Picture]] = field(default_factory=dict)
    own_score: str = ""
    columns: Sequence[tuple[str, str]] = ()


@dataclass
class Report:
    """A run, as its report shows it.

    title: the run's name. recipe: what was trained. command: the line that trains it again.
    data: the training data in one line.
    scores: as the family's scores give them (`to_json`), and 'samples', their number. What is missing or None is left
        out.
    part: what the family adds.
    splits: split -> number of samples. scored_split: the split of the scores. chosen_split: the split that ranked the
        epochs, whose scores the history holds.
    history: one dict per epoch: epoch, train_loss, val_loss, the scores that the family logs, lr, seconds; all but the
        first may be missing.
    settings: the resolved recipe, nested. environment: versions, hardware, seed. minutes: training time.
    notes: sentences that a reader has to know before quoting the score; those of the part follow them.
    files: what it is -> its path. samples: (name, own score) of each, nan for none. own_score: the name of these
        scores. values: more values of each sample, in the same order.
    greater_is_better: the direction of the score that ranks epochs. nouns: names of one sample and of several.
    Raises DataError if two sections have the same name.
    """

    title: str
    recipe: str
    command: str
    data: str
    scores: Mapping[str, Any]
    part: ReportPart
    splits: Mapping[str, int] = field(default_factory=dict)
    scored_split: str = "val"
    chosen_split: str = "val"
    history: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    minutes: float | None = None
    notes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    samples: Sequence[tuple[str, float]] = ()
    own_score: str = "score"
    values: Sequence[Mapping[str, Any]] = ()
    greater_is_better: bool = True
    nouns: tuple[str, str] = ("sample", "samples")

    def __post_init__(self) -> None:
        taken = set(OWN_SECTIONS)
        for section in self.part.sections:
            if section.name in taken:
                raise DataError(f"the report has two sections named '{section.name}'; give each a name of its own")
            taken.add(section.name)

    @property
    def text(self) -> ReportText:
        """The words of the family's report."""
        return self.part.text

    def score(self, key: str) -> float | None:
        """One score; None if it is missing or not a number."""
        return number(self.scores.get(key))


def number(value: Any) -> float | None:
    """A finite float, or None: CSV logs leave gaps, and JSON has no nan."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        return None
    return result if np.isfinite(result) else None
