"""Distorted digits drawn a second of one core's time, each kind in batches of 256.

    python benchmarks/distorted_mnist_speed.py [--rounds N] [--json FILE]

The digits are random strokes; how much is drawn does not depend on what. A round draws pictures that no round has drawn
before, as training does, the table of an epoch's parameters included. Seconds are the process's own, of its one thread:
what it waits for a busy machine's core is not counted.
"""

from __future__ import annotations

import struct
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

from common import Contender, Report, Target, arguments, compare, interleave, publish

import numpy as np  # isort: skip
import torch  # isort: skip

from foveate.datasets.distorted_mnist import DistortedMNIST, Kind

DIGITS, BATCH = 2560, 256
LEAST = {"r": 20_000, "clutter": 3_000}


def write_digits(folder: Path) -> None:
    """IDX files of blurred strokes in the middle 20x20, about as much ink as a digit has."""
    rng = np.random.default_rng(0)
    images = np.zeros((DIGITS, 28, 28), np.uint8)
    walk = np.clip(14 + np.cumsum(rng.integers(-1, 2, (DIGITS, 60, 2)), 1), 4, 22)
    for step in range(60):
        for row, column in ((0, 0), (0, 1), (1, 0)):
            images[np.arange(DIGITS), walk[:, step, 0] + row, walk[:, step, 1] + column] = 200
    for part in ("train", "val"):
        head = struct.pack(">4I", 0x803, DIGITS, 28, 28), struct.pack(">2I", 0x801, DIGITS)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head[0] + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            head[1] + (np.arange(DIGITS) % 10).astype(np.uint8).tobytes()
        )


def drawing(folder: Path, kind: Any, interpolation: Any) -> Contender:
    dataset = DistortedMNIST(str(folder), kind, interpolation=interpolation).open("train")
    dataset.draw([(0, 0)])
    epoch = 0

    def run() -> float:
        nonlocal epoch
        epoch += 1
        started = time.process_time()
        for start in range(0, DIGITS, BATCH):
            dataset.draw([(epoch, index) for index in range(start, start + BATCH)])
        return DIGITS / (time.process_time() - started)

    return run


def main() -> None:
    parser = arguments(__doc__ or "", rounds=9)
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = Report("distorted_mnist_speed", {"rounds": options.rounds, "pictures a round": DIGITS, "batch": BATCH})
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder))
        for how in ("mixed", "bilinear"):
            contenders = {kind: drawing(Path(folder), kind, how) for kind in get_args(Kind)}
            figures = interleave(contenders, options.rounds)
            table = compare(f"Drawing, {how}", "pictures/s of CPU time", figures, "r", higher_is_better=True)
            report.tables.append(table)
            for kind, least in LEAST.items():
                rate = table.row(kind).median
                report.targets.append(Target(f"at least {least:,} of {kind} a second, {how}", rate, rate >= least))
    publish(report, options.json)


if __name__ == "__main__":
    main()
