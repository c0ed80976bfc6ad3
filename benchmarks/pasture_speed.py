"""Scenes a second that the pasture draws on one core.

    python benchmarks/pasture_speed.py [--rounds N] [--json FILE]

Every round draws scenes that no round has drawn before, picture and labels, as training sees them.
"""

from __future__ import annotations

import time

from common import Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip

from foveate.datasets.pasture import Pasture

SIZES = ((128, 128), (192, 192), (360, 480))
SCENES = 50
LEAST = 100


def drawing(height: int, width: int) -> Contender:
    scenes = Pasture(height=height, width=width, train=10**6).open("train")
    drawn = 0

    def run() -> float:
        nonlocal drawn
        started = time.perf_counter()
        for index in range(drawn, drawn + SCENES):
            scenes[index]
        drawn += SCENES
        return SCENES / (time.perf_counter() - started)

    return run


def main() -> None:
    parser = arguments(__doc__ or "", rounds=15)
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    contenders = {f"{width}x{height}": drawing(height, width) for height, width in SIZES}
    figures = interleave(contenders, options.rounds)
    table = compare("Drawing scenes", "scenes/s", figures, "128x128", higher_is_better=True)
    rate = table.row("128x128").median
    report = Report("pasture_speed", {"rounds": options.rounds, "scenes a round": SCENES}, [table])
    report.targets.append(Target(f"at least {LEAST} scenes/s at 128x128 on one core", rate, rate >= LEAST))
    publish(report, options.json)


if __name__ == "__main__":
    main()
