"""Draw docs/assets/receptive_field.png: what a recurrent CNN's answer depends on, after each iteration.

python docs/draw_receptive_field.py

The network is the one of the claim `iterating_widens_the_view`, trained anew, which takes a minute or two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from foveate.claims.iteration import fields, recurrent

OUT = Path(__file__).resolve().parent / "assets/receptive_field.png"
SIDE, GAP = 288, 12  # of a heat map, and between two, in pixels
PAPER = (255, 255, 255)


def main() -> None:
    """Train, and draw it."""
    maps = fields(recurrent(seed=0))
    canvas = Image.new("RGB", (len(maps) * (SIDE + GAP) - GAP, SIDE), PAPER)
    for place, field in enumerate(maps):
        canvas.paste(heat(field), (place * (SIDE + GAP), 0))
    canvas.save(OUT, optimize=True)
    print(f"drew {OUT.name}")


def heat(field: Tensor) -> Image.Image:
    """A field (H, W), its peak brightest. The root is shown: gradients span more than the eye tells apart."""
    shade = (field / field.max()).sqrt().numpy()
    colours = (255 * colormaps["magma"](shade)[..., :3]).round().astype(np.uint8)
    return Image.fromarray(colours).resize((SIDE, SIDE), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
