"""An audit of labelled data by a trained model: labels that are likely wrong, samples that it doubts, near-duplicates.

What is doubted is decided by the family (`Task.audit`); labels are suspects where the model gives another class at
least the probability that it gives to that class's own labels on average (`tasks.auditing`).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foveate.disk import write_atomically
from foveate.engine.loading import SuitedDataset
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError, DataError, counted, unknown
from foveate.metrics import score_name
from foveate.ops.layout import channels_last
from foveate.pictures.fingerprints import Fingerprint, fingerprint, near_duplicates
from foveate.pictures.fitting import shrink
from foveate.pictures.given import as_windows
from foveate.store import load_model
from foveate.tasks import create_task
from foveate.tasks.auditing import Audited, Suspect, thresholds
from foveate.tasks.base import Task
from foveate.visualize.document import data_uri, document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.pixels import rgb8
from foveate.visualize.report.parts import section

Place = tuple[str, int]  # a split and the index of a sample
SHOWN = 24  # suspects, doubted samples and pairs on the page; the JSON file has all
SMALL = 240  # pixels of an image of a pair
STYLE = """
.suspects { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); }
.suspects figure { margin: 0; }
.suspects img { max-width: 100%; height: auto; border-radius: 6px; }
.pair { display: flex; gap: 0.5rem; }
.pair img { width: calc(50% - 0.25rem); }
"""


@dataclass
class Audit:
    """The outcome of an audit.

    suspects: (split, index, suspect), the likeliest first. doubts: (split, index, doubt), the largest first.
    duplicates: ((split, index), (split, index), correlation) of images in two splits, the likest first.
    trained_on: samples that the model was trained on, of all that were audited. score: of the run, in words, or empty.
    """

    task: Any
    model: Any
    options: Any
    path: str
    source: str
    sets: dict[str, Any]
    thresholds: dict[str, float]
    suspects: list[tuple[str, int, Suspect]] = field(default_factory=list)
    doubts: list[tuple[str, int, float]] = field(default_factory=list)
    duplicates: list[tuple[Place, Place, float]] = field(default_factory=list)
    trained_on: int = 0
    score: str = ""

    def name(self, split: str, index: int) -> str:
        """The name of a sample, with its split."""
        return f"{split}/{self.sets[split].name(index)}"

    def notes(self) -> list[str]:
        """Sentences on what the audit can tell."""
        notes = (
            [f"{self.score}: the weaker the model, the more of what follows is its own mistake"] if self.score else []
        )
        if not self.trained_on:
            return notes
        total = sum(map(len, self.sets.values()))
        return [
            *notes,
            f"the model was trained on {self.trained_on} of these {total} samples, and has learned their labels, wrong "
            "ones too; audit with a run of other samples, or each fold with its own run (foveate train --folds)",
        ]

    def lines(self) -> list[str]:
        """The outcome, line by line."""
        nouns = self.task.noun(2)
        found = [f"{self.source}", *(f"note: {note}" for note in self.notes())]
        found.append(f"likely wrong labels: {len(self.suspects)}")
        for split, index, one in self.suspects[:5]:
            where = f" at {one.box[0]},{one.box[1]} ({one.size} pixels)" if one.box else ""
            name = self.name(split, index)
            found.append(f"  {name}{where}: labelled {one.given}, likely {one.likely} ({one.probability:.2f})")
        found.append(f"{nouns} that the model doubts most:")
        found += [f"  {self.name(split, index)}: {doubt:.3f}" for split, index, doubt in self.doubts[:5]]
        found.append(f"near-duplicates across splits: {len(self.duplicates)}")
        found += [
            f"  {self.name(*one)} and {self.name(*other)}: {likeness:.3f}"
            for one, other, likeness in self.duplicates[:5]
        ]
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values for audit.json."""
        return {
            "run": self.path,
            "data": self.source,
            "splits": {split: len(dataset) for split, dataset in self.sets.items()},
            "notes": self.notes(),
            "thresholds": {name: round(value, 4) for name, value in self.thresholds.items()},
            "likely_wrong": [
                {
                    "sample": self.name(split, index), "given": one.given, "likely": one.likely,
                    "probability": round(one.probability, 4), "given_probability": round(one.given_probability, 4),
                }
                | ({"box": list(one.box), "pixels": one.size} if one.box else {})
                for split, index, one in self.suspects
            ],
            "doubts": [{"sample": self.name(s, i), "doubt": round(doubt, 4)} for s, i, doubt in self.doubts],
            "near_duplicates": [
                {"samples": [self.name(*one), self.name(*other)], "correlation": round(likeness, 4)}
                for one, other, likeness in self.duplicates
            ],
        }  # fmt: skip


def audit(
    source: Any,
    path: str | Path,
    split: str | None = None,
    progress: Callable[[int, int], None] = lambda done, count: None,
) -> Audit:
    """Audit labelled data with the best model of a run. split: one split; None for all.

    Raises ConfigError for a family without audits, data of other classes and an unknown split; DataError, ModelError.
    """
    run = RunFolder(Path(path))
    loaded = load_model(run.best if run.recipe_file.is_file() else run.path)
    task = create_task(loaded.task, loaded.tables, loaded.preprocessing, loaded.options)
    if type(task).audit is Task.audit:
        task.audit(loaded.model, None, None)  # says why not
    splits = [name for name in source.splits() if name != "trainval"] if split is None else [split]
    for name in splits:
        if name not in source.splits():
            raise ConfigError(unknown("split", name, source.splits()))
    sets: dict[str, Any] = {}
    for name in splits:
        opened = source.open(name, loaded.task)
        task.require_data(opened, str(path))
        sets[name] = SuitedDataset(opened, task, loaded.name)
    if not sum(map(len, sets.values())):
        raise DataError(f"{source.describe(loaded.task)}: no samples to audit")
    options = task.make_options()
    model = channels_last(loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")).eval()
    prints: dict[str, list[tuple[int, Fingerprint]]] = {}
    found: dict[tuple[str, int], Audited] = {}
    total, done = sum(map(len, sets.values())), 0
    for name, dataset in sets.items():
        prints[name] = []
        for index in range(len(dataset)):
            sample = dataset[index]
            with torch.inference_mode():
                found[name, index] = task.audit(model, sample, options)
            if len(splits) > 1 and (one := fingerprint(_pixels(sample))) is not None:
                prints[name].append((index, one))
            done += 1
            progress(done, total)
    result = Audit(task, model, options, str(path), source.describe(loaded.task), sets, thresholds(found.values()))
    sure = result.thresholds
    result.suspects = sorted(
        ((s, i, one) for (s, i), of in found.items() for one in of.suspects
         if one.probability >= sure.get(one.likely, 0.0)),
        key=lambda entry: -entry[2].weight,
    )  # fmt: skip
    known = ((s, i, of.doubt) for (s, i), of in found.items() if not math.isnan(of.doubt))
    result.doubts = sorted(known, key=lambda entry: -entry[2])
    result.duplicates = _duplicates(prints)
    if run.recipe_file.is_file() and run.evaluation.is_file():
        scores = run.read_json(run.evaluation.name)
        if isinstance(value := scores.get(task.monitor), float):
            result.score = f"the model has {score_name(task.monitor)} {value:.3f} on {scores['split']}"
    trained = set(run.read_json("data.json")["train"]) if (run.path / "data.json").is_file() else set()
    result.trained_on = sum(d.name(i) in trained for d in sets.values() for i in range(len(d)))
    return result


def _duplicates(prints: dict[str, list[tuple[int, Fingerprint]]]) -> list[tuple[Place, Place, float]]:
    """Near-duplicates between every two splits, the likest first."""
    found: list[tuple[Place, Place, float]] = []
    for one, other in itertools.combinations(prints, 2):
        first, second = ([print for _, print in prints[name]] for name in (one, other))
        found += [
            ((one, prints[one][i][0]), (other, prints[other][j][0]), likeness)
            for i, j, likeness in near_duplicates(first, second)
        ]
    return sorted(found, key=lambda entry: -entry[2])


def _pixels(sample: Any) -> np.ndarray:
    """The image of a sample, (H, W, 3) uint8, small."""
    return rgb8(shrink(as_windows(sample["image"]), 256))


def write_audit(found: Audit, folder: str | Path) -> tuple[Path, Path]:
    """Write audit.html and audit.json into a folder, and return their paths."""
    folder = Path(folder)
    write_atomically(folder / "audit.json", json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n")
    return write_page(_page(found), folder / "audit.html"), folder / "audit.json"


def _page(found: Audit) -> str:
    """Suspects with their regions, the samples that are doubted most, and near-duplicates side by side."""
    title = f"Audit of {counted(sum(map(len, found.sets.values())), found.task.noun(1), found.task.noun(2))}"
    head = tag(
        "header",
        tag("p", f"Labels, {found.task.title}", class_="eyebrow"),
        tag("h1", title),
        tag("p", f"{found.source}. Audited with {found.path}.", class_="summary"),
        tag("aside", tag("ul", [tag("li", note) for note in found.notes()]), class_="callout", aria_label="Notes")
        if found.notes()
        else None,
    )
    parts = [_suspects(found), _doubts(found), _pairs(found)]
    return document(f"{title} – Foveate", stylesheet("report") + STYLE, head, parts)


def _suspects(found: Audit) -> Markup:
    figures = []
    for split, index, one in found.suspects[:SHOWN]:
        words = f"labelled {one.given} ({one.given_probability:.2f}), likely {one.likely} ({one.probability:.2f})"
        where = f", {one.size:,} pixels at {one.box[0]},{one.box[1]}" if one.box else ""
        figures.append(_figure(found, split, index, one, words + where))
    lead = (
        f"{counted(len(found.suspects), 'suspect')} that the model contradicts with at least the probability that it "
        "gives to the likely class's own labels on average; of a region image, label and prediction are shown. Look "
        "before you change one: a model is wrong more often than careful labels."
    )
    return _shown_section("suspects", "Likely wrong labels", lead, figures, len(found.suspects))


def _doubts(found: Audit) -> Markup:
    figures = [_figure(found, split, index, None, f"doubt {doubt:.3f}") for split, index, doubt in found.doubts[:SHOWN]]
    lead = "Mean entropy of the model's probabilities, from 0 (sure) to 1: samples unlike the others, or hard ones."
    return _shown_section("doubts", "What the model doubts most", lead, figures, len(found.doubts))


def _pairs(found: Audit) -> Markup:
    figures = []
    for one, other, likeness in found.duplicates[:SHOWN]:
        images = [
            _image(shrink(as_windows(found.sets[s][i]["image"]), SMALL), found.name(s, i)) for s, i in (one, other)
        ]
        caption = f"{found.name(*one)} and {found.name(*other)}: correlation {likeness:.3f}"
        figures.append(tag("figure", tag("div", images, class_="pair"), tag("figcaption", caption), class_="card"))
    lead = "Images of two splits that are nearly the same: the one is no test of what was learned on the other."
    return _shown_section("duplicates", "Near-duplicates across splits", lead, figures, len(found.duplicates))


def _shown_section(name: str, title: str, lead: str, figures: list[Markup], count: int) -> Markup:
    if not figures:
        return section(name, title, title, "None was found.").content
    more = tag("p", f"The first {SHOWN} of {count}; audit.json has all.") if count > SHOWN else None
    return section(name, title, title, lead, tag("div", figures, class_="suspects"), more).content


def _figure(found: Audit, split: str, index: int, one: Suspect | None, words: str) -> Markup:
    with torch.inference_mode():
        drawn = found.task.draw_suspect(found.model, found.sets[split][index], one, found.options)
    name = found.name(split, index)
    caption = tag("figcaption", tag("b", name), " ", words)
    return tag("figure", _image(np.asarray(drawn.convert("RGB")), f"{name}: {words}"), caption, class_="card")


def _image(pixels: np.ndarray, words: str) -> Markup:
    small = rgb8(pixels)
    return tag("img", src=data_uri(small), alt=words, width=small.shape[1], height=small.shape[0], loading="lazy")
