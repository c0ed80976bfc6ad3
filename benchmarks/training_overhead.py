"""What Foveate's training engine costs beside a bare PyTorch loop: the same model, batches, optimiser and averaged weights.

    python benchmarks/training_overhead.py [--rounds N] [--threads N] [--json FILE]

Two trainings: FCN-8s at 128x128 with 8 pictures a batch, and a small FCN-32s at 32x32 with 2, of which a step takes a few
milliseconds. Both loops read the same loader over scenes that are in memory already. A round is one epoch of each: the
bare loop's runs in front of the engine's, inside one training, so that nothing but the loops differs. Both start from the same
weights and see the same batches and dropout: their losses over the first epoch must agree, which is checked (later, rounding
that depends on where tensors lie in memory has been amplified by batch norm over few values).
What comes between epochs (validation, checkpoint, logs) is no part of the figures; the engine's share is printed beside them.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from common import Report, Table, Target, arguments, compare, publish

import torch  # isort: skip

from foveate.datasets.pasture import Pasture
from foveate.engine import Optim, Recipe, train_recipe
from foveate.engine.callbacks import EpochEnd
from foveate.engine.loading import mixed_seed, train_loader
from foveate.engine.optim import lr_factor, make_optimizer
from foveate.engine.prepare import build_model
from foveate.engine.run import RunFolder
from foveate.models.semantic.fcn import Config
from foveate.recipes import resolve
from foveate.tasks import create_task, find_task

ENGINE, BARE = "Foveate's engine", "bare PyTorch loop"
LIMIT = 1.05
AGREE = 0.01  # how far the first epochs' losses may be apart, as a share


@dataclass(frozen=True)
class Case:
    """One training to compare. Its recipe's data has as many scenes as an epoch needs."""

    name: str
    recipe: Recipe
    warmup: int


def cases(rounds: int) -> list[Case]:
    big = resolve("fcn8s_pasture")
    big = replace(
        big,
        config=replace(big.config, pretrained=False),
        data=Pasture(train=32, val=1),
        batch_size=8,
        name="fcn8s_pasture",
    )
    small = Recipe(
        model="fcn32s",
        config=Config(stride=32, backbone="test_efficientnet", head_channels=64, head_kernel=3),
        data=Pasture(height=32, width=32, train=200, val=1),
        batch_size=2,
        ema=0.99,
        name="fcn32s",
    )
    found = []
    for title, recipe, epochs, warmup in (
        ("FCN-8s, 128x128, batch 8", big, rounds, 2),
        ("small FCN-32s, 32x32, batch 2", small, 2 * rounds, 4),
    ):
        # Augmentation would only add the same seconds to both; validation happens once, after the last epoch.
        whole = replace(recipe, augment=None, epochs=epochs + warmup, validate_every=epochs + warmup, workers=0)
        found.append(Case(title, replace(whole, optim=Optim(lr=1e-3)), warmup))
    return found


class BareLoop:
    """A recipe's training as one would write it without an engine."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        dataset = recipe.data.open("train", recipe.task)
        tables = find_task(recipe.task).learn_tables(dataset, recipe)
        self.model = build_model(recipe, tables, dataset).train()
        self.averaged = build_model(recipe, tables, dataset).requires_grad_(False).eval()
        for name in recipe.freeze:
            self.model.get_submodule(name).eval().requires_grad_(False)
        task = create_task(recipe.task, tables, self.model.preprocessing)
        held: Any = [dataset[i] for i in range(len(dataset))]
        self.loader = train_loader(recipe, held, None, task.collate, rank=0, world=1)
        self.optimizer = make_optimizer(self.model, recipe.optim)
        total = recipe.epochs * len(self.loader)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lr_factor(recipe.optim, total))
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        pairs = list(zip(self.averaged.state_dict().values(), self.model.state_dict().values(), strict=True))
        self.smoothed = [mine for mine, _ in pairs if mine.is_floating_point()]
        self.sources = [theirs for _, theirs in pairs if theirs.is_floating_point()]
        self.counted = [(mine, theirs) for mine, theirs in pairs if not mine.is_floating_point()]
        self.epoch = self.steps = 0
        self.losses: list[float] = []  # an epoch's mean each

    def run_epoch(self) -> float:
        """One epoch; returns its seconds."""
        # Lightning's import sets this, which makes each optimiser step ask the driver for GPUs. A process that runs only a
        # bare loop does not have it.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
        torch.manual_seed(mixed_seed(self.recipe.seed, self.epoch, 0, 1))
        self.loader.batch_sampler.set_epoch(self.epoch)  # type: ignore[union-attr]
        started = time.perf_counter()
        total = torch.zeros(())
        for batch in self.loader:
            loss = self.model.loss(batch)["loss"]  # type: ignore[operator]
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optim.clip)
            self.optimizer.step()
            self.schedule.step()
            self.steps += 1
            self._average()
            total += loss.detach()
        seconds = time.perf_counter() - started
        self.losses.append(total.item() / len(self.loader))
        self.epoch += 1
        return seconds

    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.smoothed, self.sources, 1 - decay)
            for mine, theirs in self.counted:
                mine.copy_(theirs)


def run_case(case: Case) -> tuple[Table, str]:
    """The steps' milliseconds by round, and a line on what else the engine did."""
    bare = BareLoop(case.recipe)
    bare_seconds: list[float] = []
    begin_epoch = EpochEnd.on_train_epoch_start

    def after_a_bare_epoch(self: Any, trainer: Any, learner: Any) -> None:
        with mock.patch.dict(os.environ):
            bare_seconds.append(bare.run_epoch())
        begin_epoch(self, trainer, learner)

    with (
        contextlib.redirect_stderr(io.StringIO()),  # a line an epoch
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(EpochEnd, "on_train_epoch_start", after_a_bare_epoch),
    ):
        started = time.perf_counter()
        run = RunFolder(train_recipe(case.recipe, out=Path(folder) / "run"))
        whole = time.perf_counter() - started
        engine_seconds = [row["train_seconds"] for row in run.history()]
        ours, theirs = run.history()[0]["train_loss"], bare.losses[0]
        if abs(ours - theirs) > AGREE * theirs:
            raise SystemExit(f"{case.name}: mean loss of the first epoch {ours} with the engine, {theirs} without")
    steps = len(bare.loader)
    figures = {BARE: bare_seconds[case.warmup :], ENGINE: engine_seconds[case.warmup :]}
    table = compare(f"{case.name}, a step", "ms", figures, BARE, scale=1e3 / steps)
    rest = whole - sum(bare_seconds) - sum(engine_seconds)
    return table, (
        f"{case.name}: {steps} steps an epoch; outside the steps the engine took {rest / case.recipe.epochs * 1e3:.0f} ms an "
        f"epoch (set-up, checkpoint, saved models, logs, one validation); mean loss of the first epoch {ours:.4f}, of the "
        f"bare loop {theirs:.4f}"
    )


def main() -> None:
    options = arguments(__doc__ or "", rounds=60).parse_args()
    torch.set_num_threads(options.threads)
    report = Report("training_overhead", {"rounds": options.rounds})
    for case in cases(options.rounds):
        table, note = run_case(case)
        report.tables.append(table)
        report.notes.append(note)
        ratio = table.row(ENGINE).relative
        report.targets.append(
            Target(f"{case.name}: the engine's step is at most {LIMIT} times the bare loop's", ratio, ratio <= LIMIT)
        )
    publish(report, options.json)


if __name__ == "__main__":
    main()
