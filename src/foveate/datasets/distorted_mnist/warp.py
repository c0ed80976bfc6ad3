"""Warping of many small images at once, each by its own warp; the result of one never depends on the others.

Shapes: B images of H x W pixels; S x S readings for a new image each. A point is (x, y) in pixels, (0, 0) the
middle of the upper left pixel. A warp is a function from points of the new image to where they are read in the old
one: `Locate`. What is done to coordinates is elementwise, with no matrix product whose rounding could depend on B.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# (members (b,) of the batch, steps (S,) float32) -> (b, S, S, 2) float32: where each member's points, at every y and x
# of `steps`, are read.
Locate = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Ways to compute an image's pixels, and their shares in a mixture; see `sample`.
MODES = ("bilinear", "cubic", "area", "nearest", "soft")
SHARES = (0.4, 0.2, 0.15, 0.1, 0.15)
BILINEAR, CUBIC, AREA, NEAREST, SOFT = range(5)
LATTICE = 4  # control points of the spline along a side
_FAR, _SMALL = np.float32(1e4), np.float32(1e-6)


def sample(pictures: np.ndarray, locate: Locate, side: int, modes: np.ndarray, softness: np.ndarray) -> Tensor:
    """(B, H, W) uint8 -> (B, side, side) uint8, zero where a point lies outside of its image.

    modes: (B,) indices of MODES. bilinear: between the four nearest pixels. cubic: the image is first doubled with
    bicubic weights, so that strokes stay sharper. area: four bilinear readings a pixel, averaged. nearest: the nearest
    pixel. soft: bilinear, then blurred along both axes with the weights (a, 1 - 2a, a); softness: (B,) a.
    """
    result = torch.empty((len(pictures), side, side), dtype=torch.uint8)
    # With align_corners=False, -1 and 1 are the image's edges, half a pixel beyond the outer pixels' middles.
    to_edges = np.array((2 / pictures.shape[2], 2 / pictures.shape[1]), np.float32)
    for mode in np.unique(modes):
        members = np.flatnonzero(modes == mode)
        source = torch.from_numpy(pictures[members][:, None]).float()
        if mode == CUBIC:
            source = F.interpolate(source, scale_factor=2, mode="bicubic", align_corners=False)
        located = locate(members, _steps(side, 2 if mode == AREA else 1))
        located += np.float32(0.5)
        located *= to_edges
        located -= np.float32(1)
        reading = "nearest" if mode == NEAREST else "bilinear"
        grid = torch.from_numpy(located)
        read = F.grid_sample(source, grid, mode=reading, padding_mode="zeros", align_corners=False)[:, 0]
        if mode == AREA:
            read = (read[:, ::2, ::2] + read[:, ::2, 1::2] + read[:, 1::2, ::2] + read[:, 1::2, 1::2]) * 0.25
        if mode == SOFT:
            read = blur(read, torch.from_numpy(softness[members]))
        result[torch.from_numpy(members)] = (read + 0.5).clamp_(0, 255).to(torch.uint8)
    return result


def blur(pictures: Tensor, amount: Tensor) -> Tensor:
    """(B, H, W) float, (B,) -> each smoothed along both axes with the weights (a, 1 - 2a, a), zero outside."""
    a = amount[:, None, None]
    for axis in (1, 2):
        size = pictures.shape[axis]
        around = F.pad(pictures, (1, 1, 0, 0) if axis == 2 else (0, 0, 1, 1))
        pictures = pictures * (1 - 2 * a) + (around.narrow(axis, 0, size) + around.narrow(axis, 2, size)) * a
    return pictures


def _steps(side: int, finer: int) -> np.ndarray:
    """(side * finer,) float32: the middles of `finer` equal parts of every pixel."""
    return (np.arange(side * finer, dtype=np.float32) + np.float32(0.5)) / np.float32(finer) - np.float32(0.5)


def projective(matrices: np.ndarray) -> Locate:
    """(B, 3, 3), whose product with (x, y, 1) is where to read, up to its third entry -> the warp.

    Matrices whose last rows are all (0, 0, 1) are affine, and divided by nothing.
    """
    matrices = matrices.astype(np.float32)
    affine = bool((matrices[:, 2] == (0, 0, 1)).all())

    def locate(members: np.ndarray, steps: np.ndarray) -> np.ndarray:
        own = matrices[members]
        across = own[:, :, 0, None] * steps  # (b, 3, S): what x contributes to each entry
        down = own[:, :, 1, None] * steps + own[:, :, 2, None]
        located = np.empty((len(own), len(steps), len(steps), 2), np.float32)
        for i in (0, 1):
            np.add(across[:, i, None, :], down[:, i, :, None], out=located[..., i])
        if not affine:
            under = across[:, 2, None, :] + down[:, 2, :, None]
            located /= np.where(np.abs(under) < _SMALL, _SMALL, under)[..., None]
            np.clip(located, -_FAR, _FAR, out=located)  # near the horizon points are read far outside
        return located

    return locate


def thin_plate(shifts: np.ndarray, scale: np.ndarray, side: int) -> Locate:
    """(B, 16, 2), (B,) -> the warp that reads control point k of the new image shifts[:, k] away from where it was.

    Between the 4 x 4 control points, regular from corner pixel to corner pixel of a `side` x `side` image, a thin
    plate spline carries on. What is read is the image `scale` times as large, about its middle.
    """
    shifts, scale = shifts.astype(np.float32), scale.astype(np.float32)
    middle = np.float32((side - 1) / 2)

    def locate(members: np.ndarray, steps: np.ndarray) -> np.ndarray:
        basis = _spline_basis(side, len(steps) // side)
        own, size = shifts[members], scale[members, None, None]
        located = np.empty((len(own), len(steps), len(steps), 2), np.float32)
        for i, start in enumerate((steps[None, :], steps[:, None])):
            moved = np.repeat(np.broadcast_to(start, basis.shape[1:])[None], len(own), 0)
            for k in range(LATTICE**2):
                moved += basis[k] * own[:, k, i, None, None]
            located[..., i] = (moved - middle) / size + middle
        return located

    return locate


@cache
def _spline_basis(side: int, finer: int) -> np.ndarray:
    """(16, S, S) float32: how much control point k's shift moves the points of `_steps`.

    A thin plate spline f(p) = sum_k w_k U(|p - c_k|) + a + b p with U(r) = r^2 log r^2, sum w = 0 and sum w c = 0
    (Bookstein 1989) is linear in its values at the control points c.
    """
    at, control = _lattice(_steps(side, finer)), _lattice(np.linspace(0, side - 1, LATTICE))
    count = len(control)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _bending(control, control)
    system[:count, count:] = np.concatenate((np.ones((count, 1)), control), 1)
    system[count:, :count] = system[:count, count:].T
    terms = np.concatenate((_bending(at, control), np.ones((len(at), 1)), at), 1)
    basis = np.linalg.solve(system, terms.T)[:count].astype(np.float32)
    return np.ascontiguousarray(basis).reshape(count, side * finer, side * finer)


def _lattice(steps: np.ndarray) -> np.ndarray:
    """(S,) -> (S * S, 2) float64: points row by row."""
    return np.stack(np.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2).astype(np.float64)


def _bending(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(M, 2), (N, 2) -> (M, N): r^2 log r^2 of the distances."""
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    return squared * np.log(np.maximum(squared, 1e-12))
