"""Colours: a picture and a question go in, the share of the colour that the question names comes out.

Two inputs: `foveate predict RUN photo.png --question "how red is it"`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foveate.engine import Optim, Recipe
from foveate.errors import DataError
from foveate.pictures.given import read_all
from foveate.records import DataSource, Preprocessing
from foveate.tasks.base import Task
from foveate.tasks.inputs import IMAGE, Input

COLOURS = ("red", "green", "blue")


class QuestionInput(Input):
    """Questions that name one of the colours, as text."""

    name: ClassVar[str] = "question"
    noun: ClassVar[str] = "question"
    nouns: ClassVar[str] = "questions"
    suffixes: ClassVar[frozenset[str]] = frozenset()

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> str:
        """See `Input.open`."""
        if sum(colour in given.split() for colour in COLOURS) != 1:
            raise DataError(f"{name}: '{given}' does not name one of {', '.join(COLOURS)}")
        return given


@dataclass(frozen=True)
class Scores:
    """mean_error: the mean absolute error."""

    mean_error: float

    def to_json(self) -> dict[str, Any]:
        """The scores by name."""
        return dataclasses.asdict(self)


class Errors:
    """The sum of absolute errors, and their number."""

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


class Colours(Task):
    """The family: a model maps a picture's mean colour and a colour asked for to a number."""

    name = "colours"
    title = "questions on colours"
    monitor = "mean_error"
    greater_is_better = False
    headline = ("mean_error",)
    inputs = (IMAGE, QuestionInput())
    endings = ("_answer.txt",)

    def inputs_of(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Mean colours (B, 3) in 0..1 and the indices of the colours asked for (B,)."""
        images = [read_all(sample["image"]) for sample in samples]
        asked = [next(i for i, c in enumerate(COLOURS) if c in sample["question"].split()) for sample in samples]
        return {"mean": torch.stack([i.float().mean((1, 2)) / 255 for i in images]), "asked": torch.tensor(asked)}

    def collate(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Samples -> the batch that `loss` takes."""
        target = torch.tensor([sample["target"] for sample in samples])
        return self.inputs_of(samples) | {"target": target, "names": [sample["name"] for sample in samples]}

    def answer(self, runner: nn.Module, samples: Sequence[Any], options: Any, progress: Any = None) -> list[float]:
        """The share of the colour in each picture."""
        return runner(**self.inputs_of(samples)).tolist()

    def metrics(self, dataset: Any, whole: bool = True) -> Errors:
        """An empty sum of errors."""
        return Errors()

    def count(self, metrics: Errors, index: int, sample: Any, prediction: float) -> float:
        """Add the absolute error of one answer, and return it."""
        error = abs(prediction - sample["target"])
        metrics.merge(torch.tensor([error, 1], dtype=torch.float64))
        return error

    def record(self, prediction: float) -> dict[str, Any]:
        """The entry in predictions.json."""
        return {"share": prediction}

    def files(self, prediction: float, sample: Any) -> dict[str, Any]:
        """A text file with the question and the answer."""
        text = f"{sample['question']}: {prediction:.3f}\n"
        return {"text": ("_answer.txt", lambda path: path.write_text(text, encoding="utf-8"))}


@dataclass(frozen=True)
class Config:
    """gain: factor on the answer at the start of training; 1 is usual."""

    gain: float = 1.0


class ColourModel(nn.Module):
    """The mean of the colour asked for, times a learned factor."""

    task: ClassVar[str] = "colours"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.gain = nn.Parameter(torch.tensor(config.gain))
        self.preprocessing = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def forward(self, mean: Tensor, asked: Tensor) -> Tensor:
        """(B, 3), (B,) -> (B,)."""
        return self.gain * mean.gather(1, asked[:, None])[:, 0]

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Mean squared error; 'loss' is what is minimised."""
        return {"loss": nn.functional.mse_loss(self(batch["mean"], batch["asked"]), batch["target"])}


class SwatchDataset:
    """Plain pictures, and a question about each."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.colours = torch.randint(0, 256, (count, 3), generator=generator)

    def __len__(self) -> int:
        return len(self.colours)

    def name(self, index: int) -> str:
        """The name of a picture."""
        return f"swatch {index}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.colours[index].to(torch.uint8)[:, None, None].expand(3, 4, 4)
        asked = index % 3
        target = float(self.colours[index, asked]) / 255
        return {"image": image, "question": f"how {COLOURS[asked]}", "target": target, "name": self.name(index)}


@dataclass(frozen=True)
class Swatches(DataSource):
    """Plain pictures with questions, drawn from a seed."""

    train: int = 12
    val: int = 6
    tasks: ClassVar[tuple[str, ...]] = ("colours",)

    def splits(self) -> tuple[str, ...]:
        """Both."""
        return ("train", "val")

    def open(self, split: str, task: str = "") -> SwatchDataset:
        """One split."""
        self.serve(task)
        return SwatchDataset(getattr(self, split), self.splits().index(split))

    def describe(self, task: str = "") -> str:
        """The counts, in one line."""
        return f"swatches: {self.train} train, {self.val} val"


def colours_recipe() -> Recipe:
    """Questions on the colours of swatches."""
    return Recipe(
        model="colour_gain", config=Config(), data=Swatches(), optim=Optim(lr=1e-3, weight_decay=0.0), epochs=1
    )
