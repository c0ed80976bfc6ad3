"""Dice: a family that generates from nothing, and that has no tables, no options and no export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foveate.engine import Optim, Recipe
from foveate.records import DataSource
from foveate.tasks.base import Task

SIDES = 6
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 5.0)  # a loaded die


@dataclass(frozen=True)
class Scores:
    """log_loss: mean negative log-probability of a throw."""

    log_loss: float

    def to_json(self) -> dict[str, Any]:
        """The scores by name."""
        return {"log_loss": self.log_loss}


class LogLoss:
    """The sum of negative log-probabilities, and their number."""

    def __init__(self) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64)

    def state(self) -> Tensor:
        """The sums."""
        return self.sums

    def merge(self, state: Tensor) -> None:
        """Add the sums of another counter."""
        self.sums = self.sums + state

    def compute(self) -> Scores:
        """The scores."""
        return Scores(float(self.sums[0] / self.sums[1]))


class Dice(Task):
    """The family: a model gives the logits of the sides of a die."""

    name = "dice"
    title = "throws of dice"
    monitor = "log_loss"
    greater_is_better = False
    headline = ("log_loss",)
    inputs = ()

    def collate(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Samples -> the batch that `loss` takes."""
        return {"side": torch.tensor([s["side"] for s in samples]), "names": [s["name"] for s in samples]}

    def answer(self, runner: nn.Module, samples: Sequence[Any], options: Any, progress: Any = None) -> list[Any]:
        """A throw for each sample, drawn from a seed that is its index, and the log-probabilities of all sides."""
        logits = runner().log_softmax(0).cpu()
        throws = []
        for sample in samples:
            generator = torch.Generator().manual_seed(sample.get("index", 0))
            throws.append({"side": int(torch.multinomial(logits.exp(), 1, generator=generator)), "log": logits})
        return throws

    def metrics(self, dataset: Any, whole: bool = True) -> LogLoss:
        """An empty sum."""
        return LogLoss()

    def count(self, metrics: LogLoss, index: int, sample: Any, prediction: Any) -> float:
        """Add one throw of the data."""
        loss = -float(prediction["log"][sample["side"]])
        metrics.merge(torch.tensor([loss, 1], dtype=torch.float64))
        return loss

    def record(self, prediction: Any) -> dict[str, Any]:
        """The entry in predictions.json."""
        return {"side": prediction["side"] + 1}


@dataclass(frozen=True)
class Config:
    """sides: of the die."""

    sides: int = SIDES


class Die(nn.Module):
    """One logit a side."""

    task: ClassVar[str] = "dice"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.logits = nn.Parameter(torch.zeros(config.sides))

    def forward(self) -> Tensor:
        """-> (sides,)."""
        return self.logits

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Cross-entropy of the throws."""
        side = batch["side"]
        return {"loss": nn.functional.cross_entropy(self.logits.expand(len(side), -1), side)}


class Throws:
    """Throws of the loaded die, the same ones for the same seed."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.sides = torch.multinomial(torch.tensor(WEIGHTS), count, replacement=True, generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.sides)

    def name(self, index: int) -> str:
        """The name of a throw."""
        return f"throw {index}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"side": self.sides[index], "name": self.name(index)}


@dataclass(frozen=True)
class LoadedDie(DataSource):
    """Throws of a loaded die, drawn from a seed."""

    train: int = 64
    val: int = 32
    tasks: ClassVar[tuple[str, ...]] = ("dice",)

    def splits(self) -> tuple[str, ...]:
        """Both."""
        return ("train", "val")

    def open(self, split: str, task: str = "") -> Throws:
        """One split."""
        self.serve(task)
        return Throws(getattr(self, split), self.splits().index(split))

    def describe(self, task: str = "") -> str:
        """The counts, in one line."""
        return f"a loaded die: {self.train} train, {self.val} val"


def dice_recipe() -> Recipe:
    """A loaded die."""
    return Recipe(model="die", config=Config(), data=LoadedDie(), optim=Optim(lr=0.1, weight_decay=0.0), epochs=3)
