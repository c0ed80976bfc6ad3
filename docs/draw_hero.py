"""Draw docs/assets/hero.png: scenes of the pasture, and their labels laid over them.

python docs/draw_hero.py              the true labels
python docs/draw_hero.py RUN          what a trained run sees, e.g. runs/fcn8s_pasture
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from foveate.datasets.pasture import CLASSES, Pasture
from foveate.visualize.overlay import overlay
from foveate.visualize.sheets import with_legend

OUT = Path(__file__).resolve().parent / "assets/hero.png"
SCENES = (32, 54, 41)  # of the test split, which no recipe trains on
HEIGHT, WIDTH, GAP, ROUND = 288, 416, 12, 14
PAPER = (255, 255, 255)


def main(argv: list[str]) -> int:
    """Draw it."""
    scenes = Pasture(height=HEIGHT, width=WIDTH, test=max(SCENES) + 1).open("test")
    columns = [column(scenes[i]["image"].numpy().transpose(1, 2, 0), scenes[i]["mask"].numpy(), argv) for i in SCENES]
    width = len(columns) * (WIDTH + GAP) - GAP
    canvas = Image.new("RGB", (width, 2 * HEIGHT + GAP), PAPER)
    for place, pair in enumerate(columns):
        for row, picture in enumerate(pair):
            canvas.paste(Image.fromarray(picture), (place * (WIDTH + GAP), row * (HEIGHT + GAP)), corners())
    OUT.parent.mkdir(exist_ok=True)
    with_legend(canvas, CLASSES).save(OUT, optimize=True)
    print(f"drew {OUT.name}")
    return 0


def column(picture: np.ndarray, truth: np.ndarray, argv: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """A scene (H, W, 3), and the same under its labels: the run's where one is given."""
    labels = truth
    if argv:
        import foveate

        labels = foveate.load(argv[0]).predict(picture).mask
    return picture, overlay(picture, labels, CLASSES)


def corners() -> Image.Image:
    """The mask of a picture with rounded corners, drawn large and reduced so that the edges are smooth."""
    mask = Image.new("L", (4 * WIDTH, 4 * HEIGHT))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * WIDTH - 1, 4 * HEIGHT - 1), 4 * ROUND, fill=255)
    return mask.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
