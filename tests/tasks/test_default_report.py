"""The report of a family that has none of its own: its scores and curves."""

from __future__ import annotations

import pytest
from report_stand_ins import evaluation, headings, text_of, write

from foveate.errors import ConfigError
from foveate.tasks.base import Task


class Restoration(Task):
    name = "restoration"
    title = "image restoration"
    monitor = "mean_error"
    greater_is_better = False
    headline = ("mean_error", "sharpness")

    def collate(self, samples): ...

    def answer(self, runner, samples, options, progress=None): ...

    def metrics(self, dataset, whole=True): ...

    def count(self, metrics, index, sample, prediction): ...

    def record(self, prediction): ...


def test_a_family_without_a_report_shows_its_scores(tmp_path):
    scores = {"mean_error": 0.125, "sharpness": 0.5, "samples": 7}
    part = Restoration({}, None).report(evaluation(None, [], {}, (), {}, json=scores))
    history = [{"epoch": e, "train_loss": 1 / e, "mean_error": 0.1 * e, "sharpness": 0.5} for e in (1, 2)]
    page = write(tmp_path, part, scores, history=history, greater_is_better=False)
    words = text_of(page)
    for expected in (
        "Report on image restoration",
        "tiny reached mean error 0.125 on 7 val pictures.",
        "sharpness 0.500",
        "best: 0.100",
    ):
        assert expected in words
    assert headings(page) == ["training", "learning", "again"]


def test_a_family_that_paints_no_classes_takes_no_colours():
    with pytest.raises(ConfigError, match="drawings of image restoration have no option 'colors'"):
        Restoration({}, None).draw(None, {}, colors={"cow": "#ff0000"})
