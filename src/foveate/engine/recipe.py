"""A training as one typed, frozen value: the model, its data and its schedule."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from foveate.errors import ConfigError
from foveate.pictures.intensities import parse_window
from foveate.registry import find

FIXED = {"fixed": True}  # metadata of fields that no --FIELD changes: other fields depend on them


@dataclass(frozen=True)
class Optim:
    """The optimiser and its learning rate over time.

    name: adamw (which is Adam where weight_decay is 0), sgd with momentum, rmsprop as Graves (2013) writes it, or
        adadelta (Zeiler 2012, rho 0.95, eps 1e-6).
    lr: the peak learning rate; 1e-3 to 3e-3 for adamw, 1e-3 to 1e-1 for sgd, 1e-4 for rmsprop, 1 for adadelta.
    weight_decay: 0.01 to 0.05 for adamw, 1e-4 to 5e-4 for sgd; none on vectors, as biases and norms are.
    momentum: of sgd and rmsprop, and beta1 of adamw: 0.9 as a rule; 0.5 where gradients are mostly noise.
    backbone_lr: factor on lr for parameters under `backbone.`, e.g. 0.1 for a pretrained one.
    bias_lr: factor on lr for biases (2 in the FCN paper).
    schedule: after the warm-up lr falls to 0 along a cosine, along (1 - t)^0.9 (poly), to a tenth again and again
        (step), or stays (constant).
    step: of the schedule step, the share of all steps after which lr falls to a tenth, e.g. 0.33.
    warmup: share of all steps in which lr rises linearly from 0; 0.05 is usual.
    clip: largest norm of the whole gradient, e.g. 1 (0: unlimited).
    """

    name: Literal["adamw", "sgd", "rmsprop", "adadelta"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    backbone_lr: float = 1.0
    bias_lr: float = 1.0
    schedule: Literal["cosine", "poly", "step", "constant"] = "cosine"
    step: float = 0.33
    warmup: float = 0.05
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.lr <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(f"optim.lr {self.lr} must be above 0 and optim.warmup {self.warmup} in 0..1")
        if not 0 < self.step <= 1:
            raise ConfigError(f"optim.step is {self.step}; expected a share of all steps above 0, e.g. 0.33")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optim.momentum is {self.momentum}; expected 0 or more and below 1, e.g. 0.9")
        for name in ("weight_decay", "backbone_lr", "bias_lr", "clip"):
            if getattr(self, name) < 0:
                raise ConfigError(f"optim.{name} is {getattr(self, name)}; expected 0 or more")


FEWEST_STEPS = 200  # of a training; the outcome of a shorter one says little about its recipe and its labels


@dataclass(frozen=True)
class Recipe:
    """A model, its data and its schedule.

    name: the recipe's own, by which it is found again.
    model: a registered model; its class says the family.
    config: the model's Config; what the data decides (classes, channels, vocabulary) is taken from the data.
    data: a source of `foveate.datasets`; None until --data names a folder.
    augment: augmentation of training samples (`foveate.transforms`); None: none.
    window: the values of image files that become black and white: auto (the full range of 8 bits; percentiles of
        everything else), full (of the files' type), percentiles (0.1 and 99.9 of each channel of the training images),
        or LOW,HIGH in the files' own values, such as 0,4095 of a 12-bit camera.
    text: how sentences become tokens (settings of `foveate.text`), for models that read or write text.
    options: the family's options that are stored with the model, as the rules of a search; None: its defaults.
    features: keep the feature maps of a frozen `backbone` on disk and train on these; several times as fast.
    optim: the optimiser and its learning rate, see Optim.
    epochs: passes over the training set; 10 to 40 for most recipes.
    batch_size: samples of one step, over all processes.
    seed: of initial weights, order and augmentation; the same seed gives the same run.
    accumulate: batches whose gradients are averaged before a step; a larger batch in the same memory.
    ema: decay of the averaged weights that are evaluated and kept, e.g. 0.99 or 0.999 (0: none).
    class_weights: none; median (median frequency / frequency); log (1 / log(1.02 + frequency)).
    freeze: modules, by dotted name, that keep their weights and statistics, e.g. backbone.net.conv_stem.
    freeze_norm: every batch norm keeps its statistics, scale and shift; for small batches.
    early_stop: stop at a validation this many epochs after the best one, or later (0: never).
    validate_every: epochs between two validations; the last epoch is always validated.
    overfit: train on the first N training samples, without augmentation, and rank epochs on the same, to see that the
        model can learn them at all, e.g. 8 (0: off).
    cache: keep decoded images in memory, as many as fit in a quarter of it.
    workers: loading processes; -1 chooses by device and cores.
    threads: of a training on the CPU. 0 takes all, or fewer where a few steps before a longer training are faster with
        them, and is stored as what it meant.
    precision: float32, bf16 or float16 (older: 32 and 16); auto is bf16 on GPUs that have it, else float32, and is
        stored as what it meant.
    logger: what gets the numbers of metrics.csv as well: tensorboard (in the run folder), mlflow, wandb, or none.
    devices: processes on each machine; 0 takes every GPU, or one CPU process.
    nodes: machines, of which each runs this command under a launcher such as torchrun or SLURM.
    """

    model: str = field(metadata=FIXED)
    config: Any
    data: Any = None
    augment: Any = None
    window: str = "auto"
    text: Any = None
    options: Any = None
    features: bool = False
    name: str = field(default="", metadata=FIXED)
    epochs: int = 30
    batch_size: int = 8
    accumulate: int = 1
    seed: int = 0
    optim: Optim = field(default_factory=Optim)
    ema: float = 0.0
    class_weights: Literal["none", "median", "log"] = "none"
    freeze: tuple[str, ...] = ()
    freeze_norm: bool = False
    early_stop: int = 0
    validate_every: int = 1
    overfit: int = 0
    cache: bool = True
    workers: int = -1
    threads: int = 0
    precision: Literal["auto", "float32", "bf16", "float16", "32", "16"] = "auto"
    logger: Literal["tensorboard", "mlflow", "wandb", "none"] = "tensorboard"
    devices: int = 0
    nodes: int = 1

    @property
    def task(self) -> str:
        """The family's name, which the model's class states as `task`. Raises ConfigError."""
        cls = find("model", self.model).load()
        family = getattr(cls, "task", None)
        if not isinstance(family, str):
            raise ConfigError(
                f"model '{self.model}' does not say its family; give {cls.__name__} a class attribute such as "
                "task = 'name of the family'"
            )
        return family

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        object.__setattr__(self, "precision", {"32": "float32", "16": "float16"}.get(self.precision, self.precision))
        parse_window(self.window)
        for name, least in (("early_stop", 0), ("workers", -1), ("devices", 0), ("overfit", 0), ("threads", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.features and "backbone" not in self.freeze:
            raise ConfigError(
                "features true keeps the feature maps of a frozen backbone; give --freeze backbone as well"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; expected a decay in 0..1, e.g. 0.999, or 0 for none")


def enough_epochs(epochs: int, samples: int, batch_size: int) -> int:
    """Epochs that make FEWEST_STEPS steps or more of this many samples; `epochs` if these are enough."""
    return max(epochs, -(-FEWEST_STEPS // max(1, samples // batch_size)))


def long_enough_check(recipe: Recipe, given: Collection[str]) -> Recipe:
    """An overfitting check of FEWEST_STEPS steps or more, so that its outcome tells labels from too few steps.

    given: names of the fields that the user chose; epochs and validate_every among them are kept.
    """
    if not recipe.overfit or "epochs" in given:
        return recipe
    epochs = enough_epochs(recipe.epochs, recipe.overfit, recipe.batch_size)
    every = recipe.validate_every if "validate_every" in given else max(recipe.validate_every, epochs // 10)
    return replace(recipe, epochs=epochs, validate_every=every)
