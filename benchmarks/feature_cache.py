"""Training steps a second of a captioner, with its frozen backbone's features kept on disk and without.

    python benchmarks/feature_cache.py [--rounds N] [--threads N] [--json FILE]

The recipe `show_attend_tell_pasture` (EfficientNet-Lite0, 128x128, batches of 64), on fewer scenes, random weights: a step
costs the same. Batches come from the engine's own loader, and pictures, like features, are in memory from their first use
on, as in training; the step is a bare loop's: loss, backward, clipping, AdamW. Both train the same network on the same
batches, and that their losses agree is checked first. What the cache costs, once, is in the notes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip

from foveate.datasets.pasture import Pasture
from foveate.engine import Recipe
from foveate.engine.features import with_features
from foveate.engine.loading import cached, train_loader
from foveate.engine.optim import make_optimizer
from foveate.engine.prepare import build_model
from foveate.recipes import resolve
from foveate.tasks import create_task, find_task

PICTURES, KEPT = "pictures through the backbone", "features kept"
STEPS = 4  # a round
AGREE = 2e-3  # how far the losses may be apart, as a share: features are kept in 16 bits
LEAST = 1.0


class Training:
    """One training that is stepped through, epoch after epoch."""

    def __init__(self, recipe: Recipe, train_set: Any, tables: Any) -> None:
        self.recipe = recipe
        self.model: Any = build_model(recipe, tables, train_set)
        for name in recipe.freeze:
            self.model.get_submodule(name).requires_grad_(False)
        task: Any = create_task(recipe.task, tables, self.model.preprocessing)
        # The second set is the one to choose by, of which nothing is asked here.
        others: Any = train_set
        self.making = 0.0  # seconds that the cache took
        if recipe.features:
            started = time.perf_counter()
            train_set, others = with_features(train_set, train_set, self.model, 0, 1)
            self.making = time.perf_counter() - started
        kept, _ = cached(train_set, others, recipe, 1)
        training = task.training_set(kept)
        self.loader = train_loader(recipe, training, None, task.collate, 0, 1, task.lengths(training))
        self.optimizer = make_optimizer(self.model, recipe.optim)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.batches = self._endless()
        self.train()

    def train(self) -> None:
        self.model.train()
        for name in self.recipe.freeze:
            self.model.get_submodule(name).eval()

    def _endless(self) -> Iterator[Any]:
        epoch = 0
        while True:
            self.loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
            yield from self.loader
            epoch += 1

    def first_loss(self) -> float:
        """Of the first batch, without dropout; nothing is learned from it."""
        self.model.eval()
        with torch.no_grad():
            loss = float(self.model.loss(next(iter(self.loader)))["loss"])
        self.train()
        return loss

    def run(self) -> float:
        """A round; returns its steps a second."""
        started = time.perf_counter()
        for _ in range(STEPS):
            loss = self.model.loss(next(self.batches))["loss"]
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optim.clip)
            self.optimizer.step()
        return STEPS / (time.perf_counter() - started)


def main() -> None:
    parser = arguments(__doc__ or "", rounds=15)
    parser.add_argument("--scenes", type=int, default=128, help="in the training set, 5 captions each (default 128)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = resolve("show_attend_tell_pasture")
    recipe = replace(
        recipe,
        config=replace(recipe.config, pretrained=False),
        data=Pasture(train=options.scenes, val=1),
        workers=0,
    )
    train_set = recipe.data.open("train", recipe.task)
    captions = sum(len(train_set.captions(i)) for i in range(len(train_set)))
    tables = find_task(recipe.task).learn_tables(train_set, recipe)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FOVEATE_CACHE"] = folder
        kept = Training(recipe, train_set, tables)
        bytes_each = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / len(train_set)
        pictures = Training(replace(recipe, features=False), train_set, tables)
        losses = kept.first_loss(), pictures.first_loss()
        if abs(losses[0] - losses[1]) > AGREE * losses[1]:
            raise SystemExit(f"the first batch's loss is {losses[0]} with kept features, {losses[1]} without")
        for training in (kept, pictures):  # so that every picture, and every feature map, is in memory
            for _ in training.loader:
                pass
        runs: dict[str, Contender] = {PICTURES: pictures.run, KEPT: kept.run}
        figures = interleave(runs, options.rounds)
    table_of_steps = compare("A training step of 64 captions", "steps/s", figures, PICTURES, higher_is_better=True)
    epoch = len(pictures.loader)
    ratio = table_of_steps.row(KEPT).relative
    report = Report(
        "feature_cache",
        {"rounds": options.rounds, "scenes": options.scenes, "captions": captions, "batch": recipe.batch_size},
        [table_of_steps],
        [Target("with features kept there are more steps a second", ratio, ratio > LEAST)],
        [
            f"loss of the first batch: {losses[0]:.4f} with kept features, {losses[1]:.4f} without",
            f"the cache of {options.scenes} scenes took {kept.making:.1f} s once, drawing them included, and "
            f"{bytes_each / 1e3:.0f} kB a scene; an epoch has {epoch} steps",
        ],
    )
    publish(report, options.json)


if __name__ == "__main__":
    main()
