"""Glimpses: windows of a large image around selected cells of a grid, the only parts of it that are processed further.

Shapes: images (B, C, H, W) under a grid of h x w cells; Q glimpses of each, s x s pixels.

    scores = scout(small_image)                                # (B, h w)
    read = hard_read(scores, scores[..., None], sample=True)   # read.choice (B,)
    window = glimpse(image, read.choice, (h, w), 40)           # (B, C, 40, 40)

A cell is H/h x W/w pixels; cells are counted row by row, as `ops.attend` counts the positions of `grid.flatten(2).mT`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foveate.errors import ConfigError


def cell_centres(choice: Tensor, grid: tuple[int, int], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return row and column (...) of the central pixel of cells (...) of a grid (h, w) over an image (H, W).

    For a cell of even length, the centre is the first pixel of its second half. Raises ConfigError for a grid without
    cells, or with more than there are pixels.
    """
    (h, w), (height, width) = grid, size
    if not (1 <= h <= height and 1 <= w <= width):
        raise ConfigError(
            f"a grid of {h}x{w} cells over an image of {height}x{width}; give 1 cell or more, each of 1 pixel or more"
        )
    row, column = choice // w, choice % w
    # floor((r + 1/2) H / h), in whole numbers
    return (2 * row + 1) * height // (2 * h), (2 * column + 1) * width // (2 * w)


def glimpse(image: Tensor, choice: Tensor, grid: tuple[int, int], size: int, background: float = 0.0) -> Tensor:
    """Crop the window of size x size pixels around each chosen cell: (B, C, H, W) -> (B, Q, C, s, s).

    choice: (B, Q) int64 in 0..h w - 1, or (B,) for one glimpse of each; then Q is missing from the result.
    grid: (h, w), the number of cells.
    size: s, in pixels. The cell's central pixel is at row and column s // 2 of the window.
    background: value outside of the image.

    No other pixel is touched, so the cost depends on Q and s, not on H and W. The image gets the gradient of the pixels
    that were read; the choice has none. Indices outside of the grid raise on a CPU only, where the check does not
    synchronise.

    Source: the glimpse sensor of Mnih, Heess, Graves and Kavukcuoglu, "Recurrent Models of Visual Attention" (2014),
    section 3, at one resolution. Raises ConfigError if shapes do not fit.
    """
    if image.ndim != 4 or choice.ndim not in (1, 2) or choice.shape[0] != image.shape[0] or choice.is_floating_point():
        raise ConfigError(
            f"images of shape {tuple(image.shape)} with choices of {choice.dtype} and shape {tuple(choice.shape)}; "
            "give images (B, C, H, W) and int64 choices (B, Q) or (B,)"
        )
    if size < 1:
        raise ConfigError(f"a glimpse of {size} pixels a side has no pixels; give 1 or more")
    if choice.ndim == 1:
        return glimpse(image, choice[:, None], grid, size, background)[:, 0]
    height, width = image.shape[-2:]
    row, column = cell_centres(choice, grid, (height, width))
    cells = grid[0] * grid[1]
    if choice.device.type == "cpu" and choice.numel() and not 0 <= int(choice.min()) <= int(choice.max()) < cells:
        raise ConfigError(
            f"choices from {int(choice.min())} to {int(choice.max())} on a grid of {grid[0]}x{grid[1]}; "
            f"cells are counted from 0 to {cells - 1}"
        )
    offsets = torch.arange(size, device=image.device) - size // 2
    y, x = row[..., None] + offsets, column[..., None] + offsets  # (B, Q, s)
    inside = ((y >= 0) & (y < height))[..., :, None] & ((x >= 0) & (x < width))[..., None, :]
    y, x = y.clamp(0, height - 1)[..., :, None], x.clamp(0, width - 1)[..., None, :]
    index = torch.arange(len(image), device=image.device)[:, None, None, None]
    window = image[index, :, y, x]  # (B, Q, s, s, C)
    return window.movedim(-1, 2).masked_fill(~inside[:, :, None], background)
