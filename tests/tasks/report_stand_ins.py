"""Small evaluations to report on, and readers of the page that comes out."""

from __future__ import annotations

import html
import re
from types import SimpleNamespace

import torch
from torchvision import tv_tensors

from foveate.records import Preprocessing
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.options import Options
from foveate.visualize.report import Report, write_report
from foveate.visualize.report.listing import script

EVIL = "</style><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


class StandInTask(SimpleNamespace):
    """A family whose model is a function of a sample and whose scores are plain already."""

    monitor = "score"
    own_score = ""
    inputs = ()
    greater_is_better = True
    batch_size = 2

    def prepare(self, sample):
        return sample

    def answer(self, runner, samples, options, progress=None):
        return [runner(sample) for sample in samples]

    def score_notes(self, scores):
        return ()

    def scores_to_json(self, scores):
        return scores.json


def evaluation(model, dataset, scores, own, tables, *, json, options=None, size=(), config=None) -> Evaluation:
    """An evaluation of a function on a list of samples, whose own scores are `own`."""
    loaded = SimpleNamespace(model=model, preprocessing=Preprocessing(size=size), name="tiny", config=config or {})
    return Evaluation(
        scores=SimpleNamespace(json=json, **scores),
        samples=list(enumerate(own)),
        dataset=dataset,
        loaded=loaded,
        task=StandInTask(tables=tables),
        options=Options() if options is None else options,
        source="photos",
        split="val",
        seconds=1.0,
    )


def image(values) -> tv_tensors.Image:
    """(H, W, C) numbers as a sample's image."""
    return tv_tensors.Image(torch.as_tensor(values).permute(2, 0, 1).contiguous())


def write(tmp_path, part, scores, **changes) -> str:
    """The text of a report's page, without the script that every report has."""
    values = {
        "title": "First run",
        "recipe": "tiny",
        "command": "foveate train tiny --data photos",
        "data": "photos",
        "scores": scores,
        "splits": {"train": 40, "val": 7},
        "nouns": ("picture", "pictures"),
    }
    report = Report(part=part, **(values | changes))
    page = write_report(report, tmp_path / "report.html").read_text(encoding="utf-8")
    own = f"<script>{script()}</script>"
    assert page.count(own) == 1
    return page.replace(own, "")


def text_of(page: str) -> str:
    """The visible text of a page."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def elements(page: str, tag: str) -> list[dict[str, str]]:
    """The attributes of every element of a kind."""
    found = re.findall(rf"<{tag}((?: [\w-]+=\"[^\"]*\")*)/?>", page)
    return [{k: html.unescape(v) for k, v in re.findall(r' ([\w-]+)="([^"]*)"', attributes)} for attributes in found]


def headings(page: str) -> list[str]:
    """The ids of the sections, which are those that the line of contents links to."""
    ids = [attributes["id"] for attributes in elements(page, "h2")]
    assert {a["href"] for a in elements(page, "a")} == {f"#{name}" for name in ids if name != "notes"}
    return ids
