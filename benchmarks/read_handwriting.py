"""Generated words, read by a reader that was trained on real ones: how legible is what a network writes?

    python benchmarks/read_handwriting.py RUN --data WORDS [--bias 1] [--split val] [--steps N] [--seed N] [--json FILE]

RUN is a run of a handwriting recipe that writes a text, WORDS the strokes with texts that it was trained on. The reader is
Listen, Attend and Spell on pen movements. It is trained on the real pieces of train, thinned as RUN thins them, slanted and
scaled a little, and spread over the cells of the recording's grid, since generated points lie on none. It then reads the real
pieces of the split, and each of their texts as RUN writes it once. Texts with characters that RUN or the reader does not know
are left out of both, and their number is printed.

Printed are the character error rates of both and their ratio; the goal is 1.5 at most, at bias 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine

GOAL = 1.5  # largest ratio of the character errors
STEPS = 4000
SIZES = {
    "hidden": 96,
    "speller": 192,
    "attend": 96,
    "dropout": 0.3,
}  # of the reader, where they differ from the claims'


@dataclass(frozen=True)
class Found:
    """Character error rates of real and of generated pieces; pieces read of each; texts left out; points kept in `keep`."""

    real: float
    generated: float
    pieces: int
    left_out: int
    keep: int

    @property
    def ratio(self) -> float:
        """Errors of generated pieces for each of the real ones; infinite where the latter are read without any."""
        return self.generated / self.real if self.real else float("inf") if self.generated else 1.0


def compare(run: Path, data: Path, split: str, bias: float, seed: int, steps: int) -> Found:
    """Train a reader on real pieces, and read those of a split, and its texts as the run writes them."""
    from foveate.claims.handwriting import written
    from foveate.claims.stroke_reader import train_reader
    from foveate.datasets import recognise
    from foveate.errors import ConfigError
    from foveate.predictor import Predictor
    from foveate.tasks.handwriting.writing import unknown_in

    if not bias >= 0 or steps < 1:
        raise ConfigError(f"bias is {bias:g} and steps {steps}; give a bias of 0 or more, and 1 step or more")
    predictor = Predictor.open(run, device="cpu")
    family: Any = predictor.family
    if family.name != "handwriting" or not family_writes(predictor):
        raise ConfigError(
            f"{run} is a run of {family.title} that writes no given text; give one of a handwriting recipe"
        )
    source: Any = recognise(str(data), "handwriting")
    train, others = source.open("train", "handwriting"), source.open(split, "handwriting")
    preprocessing = family.preprocessing
    pieces = [train[i] for i in range(len(train)) if train.texts[i]]
    known = set("".join(piece["transcript"] for piece in pieces))
    chosen = [
        i
        for i, text in enumerate(others.texts)
        if text and set(text) <= known and not unknown_in(text, family.characters)
    ]
    if not pieces or not chosen:
        raise ConfigError(
            f"{data}: {len(pieces)} pieces of train and {len(chosen)} of {split} have a text that is known"
        )
    reader = train_reader(pieces, seed, steps, varied(preprocessing), **SIZES)
    thinned = thinner(preprocessing.keep)
    real = reader.read([thinned(others[i]) for i in chosen])
    generated = reader.read(written(predictor, [others.texts[i] for i in chosen], bias, seed))
    return Found(real.cer, generated.cer, len(chosen), len(others) - len(chosen), preprocessing.keep)


def family_writes(predictor: Any) -> bool:
    """True for a network that writes a given text."""
    return bool(getattr(predictor.runner.config, "text", False))


def thinner(keep: int) -> Callable[[Any], Any]:
    """The function that thins a piece to every keep-th point."""
    from foveate.tasks.handwriting.strokes import thin

    return lambda piece: {**piece, "strokes": thin(piece["strokes"], keep)}


def varied(preprocessing: Any) -> Callable[[Any], Any]:
    """The function that changes a real piece each time that the reader is trained on it."""
    import torch

    from foveate.transforms.handwriting import HandwritingAugment

    augment = HandwritingAugment(skip=preprocessing.keep - 1).build({}, None)
    thinned = thinner(preprocessing.keep)
    cells = torch.tensor([*preprocessing.grid, 0.0])

    def change(piece: Any) -> Any:
        strokes = thinned(augment(piece))["strokes"]
        return {**piece, "strokes": strokes + (torch.rand(len(strokes), 3) - 0.5) * cells}

    return change


def main(argv: Sequence[str]) -> int:
    """Compare, print, and write the figures; 1 if the goal is missed."""
    from foveate.errors import FoveateError

    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--bias", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    try:
        found = compare(args.run, args.data, args.split, args.bias, args.seed, args.steps)
    except FoveateError as error:
        print(f"read_handwriting: {error}", file=sys.stderr)
        return 2
    if found.left_out:
        print(f"note: {found.left_out} texts of {args.split} left out, which are empty or have unknown characters")
    print(
        f"character errors over {found.pieces} pieces of {args.split}: real {found.real:.4f}, generated {found.generated:.4f}"
    )
    met = found.ratio <= GOAL
    print(f"{'met   ' if met else 'MISSED'}  ratio at bias {args.bias:g}, at most {GOAL:g}: {found.ratio:.3f}")
    if args.json:
        content = {
            "cer_real": found.real, "cer_generated": found.generated, "ratio": found.ratio, "pieces": found.pieces,
            "left_out": found.left_out, "keep": found.keep, "split": args.split, "bias": args.bias, "steps": args.steps,
        }  # fmt: skip
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(
            json.dumps(content | {"machine": machine() | {"seed": args.seed}}, indent=1) + "\n", encoding="utf-8"
        )
        print(f"written to {args.json}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
