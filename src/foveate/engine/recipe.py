"""What a training is: one typed, frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from foveate.errors import ConfigError

FIXED = {"fixed": True}  # metadata of the fields that no flag changes: other fields hang on them


@dataclass(frozen=True)
class Optim:
    """The optimiser and its learning rate over time.

    name: adamw or sgd.
    lr: the peak learning rate; momentum: of sgd; weight_decay: none on biases and norms.
    backbone_lr: factor on lr for parameters under `backbone.`; bias_lr: factor on lr for biases (2 in the FCN paper).
    schedule: after the warm-up lr falls to 0 along a cosine, along (1 - t)^0.9 (poly), or stays (constant).
    warmup: share of all steps in which lr rises linearly from 0.
    clip: largest norm of the whole gradient (0: unlimited).
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    backbone_lr: float = 1.0
    bias_lr: float = 1.0
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    warmup: float = 0.05
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.lr <= 0 or not 0 <= self.warmup < 1:
            raise ConfigError(f"optim.lr {self.lr} must be above 0 and optim.warmup {self.warmup} in 0..1")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optim.momentum is {self.momentum}; expected 0 or more and below 1, e.g. 0.9")
        for name in ("weight_decay", "backbone_lr", "bias_lr", "clip"):
            if getattr(self, name) < 0:
                raise ConfigError(f"optim.{name} is {getattr(self, name)}; expected 0 or more")


@dataclass(frozen=True)
class Recipe:
    """A model, its data and its schedule.

    name: the recipe's own, by which it is found again.
    model, config: a registered model and its Config (num_classes and in_channels are taken from the data).
    data: where pictures come from (a source of `foveate.datasets`); None until --data says.
    augment: how training pictures are varied.
    text: how sentences become tokens (settings of `foveate.text`), for models that speak.
    features: keep what a frozen `backbone` makes of each picture on disk, and train on that.
    task: the family, a file of `foveate.tasks`.
    optim: the optimiser and its learning rate, see Optim.
    epochs, batch_size, seed: as usual; batch_size is the whole batch of a step, over all processes.
    accumulate: batches whose gradients are averaged before a step.
    ema: decay of the averaged weights that are evaluated and kept (0: none).
    class_weights: none; median (median frequency / frequency); log (1 / log(1.02 + frequency)).
    freeze: modules, by dotted name, that keep their weights and statistics, e.g. backbone.net.conv_stem.
    freeze_norm: every batch norm keeps its statistics, scale and shift.
    early_stop: stop at a validation this many epochs after the best one, or later (0: never).
    validate_every: epochs between two validations; the last epoch is always validated.
    cache: keep decoded pictures in memory, as many as fit in a quarter of it.
    workers: loading processes; -1 chooses by device and cores.
    precision: auto (bf16 where the device has it, else 32 bit), 32, bf16 or 16.
    devices, nodes: processes to train on; 0 devices takes every GPU, or one CPU process.
    """

    model: str = field(metadata=FIXED)
    config: Any
    data: Any = None
    augment: Any = None
    text: Any = None
    features: bool = False
    name: str = field(default="", metadata=FIXED)
    task: str = field(default="semantic", metadata=FIXED)
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
    cache: bool = True
    workers: int = -1
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    devices: int = 0
    nodes: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "nodes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name, least in (("early_stop", 0), ("workers", -1), ("devices", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected {least} or more")
        if self.features and "backbone" not in self.freeze:
            raise ConfigError(
                "features are kept of a backbone that does not learn; give --freeze backbone with --features true"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; expected a decay in 0..1, e.g. 0.999, or 0 for none")
