"""How long a trained run takes to answer: speech for each second of sound, instances for one picture, PyTorch and ONNX.

    python benchmarks/answer_times.py RUN INPUT [INPUT ...] [--onnx FILE] [--most SECONDS] [--rounds N] [--threads N]
        [--json FILE]

RUN is the folder of a run; INPUT are files that it takes, and are read in every round, as `foveate predict` does. --onnx
is what `foveate export RUN` wrote, which is timed beside it. The promise is at most --most seconds, by
default 0.1 for each second of sound, and 1.5 for a picture (of 520x696 pixels, for `mnc_nuclei`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip

from foveate.predictor import Predictor

MOST = {"speech": 0.1, "instances": 1.5}  # seconds


def answering(predictor: Predictor, inputs: list[Path]) -> Contender:
    def run() -> None:
        for path in inputs:
            predictor.predict(path)

    return run


def amount(predictor: Predictor, inputs: list[Path]) -> float:
    """What the seconds are divided by: seconds of sound, or the number of inputs."""
    found: list[Any] = [predictor.predict(path) for path in inputs]
    seconds = [getattr(one, "seconds", None) for one in found]
    return sum(seconds) if all(isinstance(one, float) for one in seconds) else len(inputs)


def main() -> None:
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT")
    parser.add_argument("--onnx", type=Path, metavar="FILE")
    parser.add_argument("--most", type=float, metavar="SECONDS")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predictor = Predictor.open(options.run, device="cpu")
    family = predictor.family.name
    divisor = amount(predictor, options.inputs)
    contenders: dict[str, Contender] = {"PyTorch": answering(predictor, options.inputs)}
    if options.onnx is not None:
        contenders["ONNX Runtime"] = answering(Predictor.open(options.onnx, device="cpu"), options.inputs)
    figures = interleave(contenders, options.rounds)
    unit = "s for a second of sound" if family == "speech" else "s"
    table = compare(f"Answers of {options.run.name}", unit, figures, "PyTorch", scale=1 / divisor)
    most = MOST.get(family) if options.most is None else options.most
    settings = {"rounds": options.rounds, "threads": options.threads, "inputs": len(options.inputs)}
    targets = []
    if most is not None:
        targets = [Target(f"{row.name}: at most {most:g} {unit}", row.median, row.median <= most) for row in table.rows]
    publish(Report("answer_times", settings, [table], targets), options.json)


if __name__ == "__main__":
    main()
