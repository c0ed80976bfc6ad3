"""Trials on a copy of a model before a training: threads, time of an epoch, learning rate, a sheet of images."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from foveate.engine.learner import Learner
from foveate.engine.loading import seeded
from foveate.engine.optim import make_optimizer
from foveate.engine.prepare import Batches, Prepared
from foveate.engine.processes import launched
from foveate.engine.recipe import Recipe
from foveate.errors import ConfigError, DataError, TrainingError, counted, duration_text
from foveate.ops.losses import single_process

SHARE = 0.9  # of the given time is planned; the rest is a reserve for steps that are slower than measured
STEPS, SECONDS = 12, 20.0  # of a measurement, after its first step; whichever limit comes first ends it
SHOWN = 12  # samples of a preview
LONG = 500  # steps of a training from which measuring its threads pays
THREAD_STEPS, THREAD_SECONDS = 3, 3.0  # of a measurement of the threads
GAIN = 1.1  # factor in speed from which fewer threads are used
LR_STEPS, LR_LOW, LR_HIGH = 100, 1e-6, 1.0
SMOOTHING = 0.9  # of the losses of a search, an exponential average


class _Steps:
    """Training steps on a copy of a model, which leave model, generators and training order as they were."""

    def __init__(self, prepared: Prepared, batches: Batches) -> None:
        self.device = _device()
        recipe = prepared.recipe
        self.learner = Learner(copy.deepcopy(prepared.model).to(self.device), recipe, 1)
        self.optimizer = make_optimizer(self.learner.model, recipe.optim, fused=True)
        self.base = [group["lr"] / recipe.optim.lr for group in self.optimizer.param_groups]
        self.clip, self.batches = recipe.optim.clip, batches
        half = {"bf16": torch.bfloat16, "float16": torch.float16}.get(recipe.precision)
        self.precision = torch.autocast(self.device.type, half, enabled=half is not None)

    def __iter__(self) -> Iterator[Any]:
        """Batches without end: epoch after epoch."""
        for epoch in itertools.count():
            self.batches.loader.batch_sampler.set_epoch(epoch)
            yield from self.batches.loader

    def step(self, batch: Any, lr: float) -> float:
        """One step at a learning rate; returns the loss before it."""
        for group, factor in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = lr * factor
        batch = self.learner.transfer_batch_to_device(batch, self.device, 0)
        with single_process(), self.precision:
            loss = self.learner.model.loss(batch)["loss"]  # type: ignore[operator]
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_([p for p in self.learner.parameters() if p.requires_grad], self.clip)
        self.optimizer.step()
        return float(loss.detach())


def _device() -> torch.device:
    """The device that steps are tried on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _several(recipe: Recipe) -> bool:
    """True if a launcher or the recipe asks for several processes."""
    return recipe.devices > 1 or recipe.nodes > 1 or launched() > 1


def fit_threads(prepared: Prepared) -> Recipe:
    """The recipe with the number of threads that its steps are fastest with: all, else half, a quarter, and so on.

    Steps of many small operations, as of recurrent networks, lose more by waiting for threads than they win. Nothing is
    measured where the number was given, for a short training, for several processes, and on a GPU.
    """
    recipe, count = prepared.recipe, torch.get_num_threads()
    if recipe.threads or count == 1 or torch.cuda.is_available() or _several(recipe):
        return recipe
    if recipe.epochs * (len(prepared.train_set) // recipe.batch_size) < LONG:
        return recipe
    with seeded(_device(), recipe.seed, -2):
        steps = _Steps(prepared, prepared.batches())
        batch = next(iter(steps))

        def seconds(threads: int) -> float:
            with using_threads(threads):
                return _fastest(steps, batch)

        fastest = fastest_threads(count, seconds)
    if fastest < count:
        used = f"using {fastest} of {counted(count, 'thread')} (measured faster)"
        print(f"{used}; pass --threads {count} to use all", flush=True)
    return dataclasses.replace(recipe, threads=fastest)


def fastest_threads(count: int, seconds: Callable[[int], float]) -> int:
    """`count`, or half of it, and so on, as long as each half gains a tenth. seconds: of a step, by threads."""
    taken = seconds(count)
    while count > 1 and (halved := seconds(count // 2)) * GAIN < taken:
        count, taken = count // 2, halved
    return count


def _fastest(steps: _Steps, batch: Any) -> float:
    """Seconds of the fastest of a few steps after the first."""
    times: list[float] = []
    while len(times) < 2 or (len(times) <= THREAD_STEPS and sum(times) < THREAD_SECONDS):
        began = time.monotonic()
        steps.step(batch, steps.learner.recipe.optim.lr * 1e-3)
        times.append(time.monotonic() - began)
    return min(times[1:])


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Compute with a number of threads; 0 leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit_epochs(prepared: Prepared, seconds: float) -> Recipe:
    """The recipe with as many epochs as fit into a time, by a measurement of a few steps and validations.

    The learning rate's schedule spans these epochs, and the run is one of that many epochs in every way. Raises
    ConfigError where not even one epoch fits, and for a training on several devices.
    """
    recipe = prepared.recipe
    if _several(recipe) or (recipe.devices == 0 and torch.cuda.device_count() > 1):
        raise ConfigError("--time measures one device; give --devices 1, or --epochs instead")
    started = time.monotonic()
    with seeded(_device(), recipe.seed, -2):
        batches = prepared.batches()
        each = _step_seconds(prepared, batches)
        validation = _validation_seconds(prepared, batches)
    left = SHARE * seconds - (time.monotonic() - started)
    training = each * len(batches.loader)
    epochs = _epochs_within(left, training, validation, recipe.validate_every)
    if epochs < 1:
        needed = training + validation
        more = (needed - left) / SHARE
        raise ConfigError(
            f"one epoch with its validation takes about {duration_text(needed)} here, and "
            f"{duration_text(max(0.0, left))} of the time are left after the preparation; give about "
            f"{duration_text(more)} more, or leave out --time and set --epochs"
        )
    epoch = training + validation * math.ceil(epochs / recipe.validate_every) / epochs
    print(f"time for {counted(epochs, 'epoch')} of about {duration_text(epoch)}", flush=True)
    return dataclasses.replace(recipe, epochs=epochs)


def _epochs_within(seconds: float, training: float, validation: float, every: int) -> int:
    """The number of epochs that fit into a time; every `every`-th is validated, and the last one always."""
    if seconds <= 0:
        return 0
    period = every * training + validation
    periods = int(seconds / period)
    rest = int((seconds - periods * period - validation) / training)
    return periods * every + min(max(rest, 0), every - 1)


def _step_seconds(prepared: Prepared, batches: Batches) -> float:
    steps, times = _Steps(prepared, batches), []
    began = last = time.monotonic()
    for number, batch in enumerate(steps):
        steps.step(batch, prepared.recipe.optim.lr * 1e-3)
        now = time.monotonic()
        times.append(now - last)
        last = now
        if number == STEPS or (number >= 1 and now - began > SECONDS):
            break
    return sum(times[1:]) / len(times[1:])


def _validation_seconds(prepared: Prepared, batches: Batches) -> float:
    """Time of a whole validation, from that of its first samples."""
    task, val_set = prepared.task, batches.val_set
    count = min(len(val_set), max(2, task.batch_size))
    device = _device()
    model = copy.deepcopy(prepared.model).to(device).eval()
    began = time.monotonic()
    with torch.inference_mode():
        task.fit(model, batches.training)
        fitted = time.monotonic() - began
        began = time.monotonic()
        for _ in task.score(model, val_set, range(count), task.metrics(val_set, whole=False)):
            pass
        if batches.loss_set is not None:
            with contextlib.suppress(ConfigError, DataError):
                few = [task.validation_sample(batches.loss_set[i]) for i in range(min(count, len(batches.loss_set)))]
                batch = task.collate(few)
                moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
                with single_process():
                    model.loss(moved)  # type: ignore[operator]
    return fitted + (time.monotonic() - began) / count * len(val_set)


@dataclass(frozen=True)
class LearningRates:
    """Losses of a search for the learning rate, which rises from step to step.

    lrs, losses: of each step, the losses smoothed. best: where the loss falls fastest.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    best: float

    def lines(self) -> Iterator[str]:
        """The search as a table of a dozen rows, with a bar for each loss."""
        low, high = min(self.losses), self.losses[0]
        span = max(high - low, 1e-12)
        every = max(1, len(self.lrs) // 14)
        for lr, loss in list(zip(self.lrs, self.losses, strict=True))[::every]:
            bar = "#" * round(30 * min(1.0, max(0.0, (loss - low) / span)))
            yield f"  {lr:8.1e}  {loss:10.4f}  {bar}"


def find_lr(prepared: Prepared) -> LearningRates:
    """Search for a learning rate: one step each at rates that rise from LR_LOW to LR_HIGH.

    The rate is that of the steepest fall of the smoothed loss over the logarithm of the rate, before the lowest loss.
    The search ends where the loss is four times the lowest so far. Source: Smith, "Cyclical Learning Rates for
    Training Neural Networks" (2017), section 3.3; the smoothing and the steepest point are common practice.
    Raises TrainingError where the loss never falls.
    """
    lrs: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with seeded(_device(), prepared.recipe.seed, -2):
        steps = _Steps(prepared, prepared.batches())
        console = Console(stderr=True)
        numbers = track(range(LR_STEPS), "searching", console=console, transient=True, disable=not sys.stderr.isatty())
        for number, batch in zip(numbers, steps, strict=False):
            lr = LR_LOW * (LR_HIGH / LR_LOW) ** (number / (LR_STEPS - 1))
            loss = steps.step(batch, lr)
            if not math.isfinite(loss):
                break
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            lrs.append(lr)
            smoothed.append(average / (1 - SMOOTHING ** (number + 1)))
            if smoothed[-1] > 4 * min(smoothed) and number > 10:
                break
    return LearningRates(tuple(lrs), tuple(smoothed), steepest(lrs, smoothed))


def steepest(lrs: list[float], losses: list[float]) -> float:
    """The rate at which the loss falls fastest, up to the lowest loss; the first tenth of the steps is left out.

    Raises TrainingError where the loss never falls.
    """
    first, last = LR_STEPS // 10, min(range(len(losses)), key=losses.__getitem__, default=0)
    slopes = {i: losses[i + 1] - losses[i - 1] for i in range(max(1, first), last)}
    if not slopes or min(slopes.values()) >= 0:
        raise TrainingError("the loss never falls in the search for a learning rate; look at the data with --preview")
    return lrs[min(slopes, key=slopes.__getitem__)]


def preview(prepared: Prepared) -> Any:
    """A sheet of augmented training samples with their labels, a PIL image: the first batches of the first epoch.

    Raises ConfigError for a family that draws none.
    """
    with seeded(_device(), prepared.recipe.seed, -2):
        batches = prepared.batches()
        keys = itertools.chain.from_iterable(batches.loader.batch_sampler)
        samples = [
            sample for key in itertools.islice(keys, SHOWN) for sample in batches.loader.dataset.__getitems__([key])
        ]
    sheet = prepared.task.preview(samples, batches.training)
    if sheet is None:
        raise ConfigError(
            f"nothing can be drawn of these training samples for {prepared.task.title}; foveate datasets inspect says "
            "what was read"
        )
    return sheet
