"""Peak memory of finding objects in a large picture by tiles: `foveate predict`, with all the files that it writes.

    python benchmarks/tile_memory.py RUN PICTURES [--sides 2000,8000] [--json FILE]

RUN: a run of an instance model, or its exported file. PICTURES: a folder of pictures that it was made for, whose copies
fill a large one of the same number of objects an area. Every prediction is a process of its own, whose largest memory
the system counts. The promise is at most 2 GiB for 8000x8000 pixels.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path

from common import Contender, Report, Target, arguments, compare, interleave, publish

import numpy as np  # isort: skip
from PIL import Image

MOST = 2048  # MiB


def tiled(pictures: Path, side: int) -> Image.Image:
    """A square filled row by row with the folder's pictures."""
    whole = np.zeros((side, side, 3), np.uint8)
    files = cycle(sorted(pictures.iterdir()))
    y = 0
    while y < side:
        x = height = 0
        while x < side:
            picture = np.asarray(Image.open(next(files)).convert("RGB"))[: side - y, : side - x]
            whole[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
            x, height = x + picture.shape[1], max(height, picture.shape[0])
        y += height
    return Image.fromarray(whole)


class Prediction:
    """`foveate predict` of one picture, the peak memory of which is its figure. objects: that it found."""

    def __init__(self, run: Path, picture: Path, out: Path) -> None:
        self.command = [sys.executable, "-m", "foveate", "predict", str(run), str(picture), "--device", "cpu", "--out"]
        self.out, self.objects = out, 0

    def __call__(self) -> float:
        shutil.rmtree(self.out, ignore_errors=True)
        process = subprocess.Popen([*self.command, str(self.out)], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"foveate predict ended with {os.waitstatus_to_exitcode(status)}")
        with (self.out / "objects.csv").open(newline="", encoding="utf-8") as file:
            self.objects = sum(1 for _ in csv.DictReader(file))
        return usage.ru_maxrss / 1024


def main() -> None:
    parser = arguments(__doc__ or "", rounds=1)
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--sides", default="2000,8000", help="pixels of the pictures' sides (default 2000,8000)")
    options = parser.parse_args()
    sides = [int(word) for word in options.sides.split(",")]
    report = Report("tile_memory", {"rounds": options.rounds, "sides": sides})
    with tempfile.TemporaryDirectory() as name:
        contenders: dict[str, Contender] = {}
        for side in sides:
            picture = Path(name) / f"{side}.png"
            tiled(options.pictures, side).save(picture)
            contenders[f"{side}x{side}"] = Prediction(options.run.resolve(), picture, Path(name) / f"out{side}")
        figures = interleave(contenders, options.rounds, warmup=0)
    table = compare("Peak memory of a prediction by tiles", "MiB", figures, next(iter(contenders)))
    report.tables.append(table)
    report.notes += [f"{label}: {one.objects} objects" for label, one in contenders.items()]  # type: ignore[attr-defined]
    label, last = list(contenders)[-1], table.rows[-1].median
    report.targets.append(Target(f"{label}: at most {MOST} MiB", last, last <= MOST))
    publish(report, options.json)


if __name__ == "__main__":
    main()
