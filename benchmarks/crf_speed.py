"""Seconds that the dense CRF takes for a picture of 480x360, by the number of classes.

    python benchmarks/crf_speed.py [--rounds N] [--json FILE]

Time does not depend on what is in the picture: the window is the same everywhere.
"""

from __future__ import annotations

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip

from foveate.ops.crf import CRF

HEIGHT, WIDTH = 360, 480
CLASSES = (2, 11, 21)  # of CamVid and of VOC
MOST = 2.0  # seconds


def refining(classes: int) -> Contender:
    generator = torch.Generator().manual_seed(SEED)
    probabilities = torch.rand(classes, HEIGHT, WIDTH, generator=generator).softmax(0)
    image = (255 * torch.rand(3, HEIGHT, WIDTH, generator=generator)).byte()
    crf = CRF()

    def run() -> None:
        crf(probabilities, image)

    return run


def main() -> None:
    parser = arguments(__doc__ or "", rounds=9)
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures = interleave({f"{classes} classes": refining(classes) for classes in CLASSES}, options.rounds)
    table = compare(f"Dense CRF, {WIDTH}x{HEIGHT}", "s", figures, "11 classes")
    slowest = table.row(f"{max(CLASSES)} classes").median
    report = Report("crf_speed", {"rounds": options.rounds, "iterations": CRF().iterations}, [table])
    report.targets.append(
        Target(f"at most {MOST:g} s with {max(CLASSES)} classes on one core", slowest, slowest <= MOST)
    )
    publish(report, options.json)


if __name__ == "__main__":
    main()
