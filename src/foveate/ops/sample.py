"""Geometric transformations of the plane, and the bilinear sampler that reads a map at transformed coordinates.

Shapes: maps (B, C, H, W); theta (B, P), the parameters of a transformation; points (N, 2) and grids (B, h, w, 2) hold
x, to the right, and y, down.

Coordinates follow one convention: -1 and 1 are the outer *edges* of a map, not the centres of its outermost pixels
(torch's `align_corners=False`). Pixel j of W has its centre at x = (2 j + 1) / W - 1, so a map and the same map at
another size share their coordinates. A transformation maps backwards, from the output to the map: for the centre of
each output pixel it gives the position where the map is sampled.

Geometry is computed in float32 or better whatever theta is, and under autocast too: bfloat16 cannot tell a pixel of a
600 pixels wide map from its neighbour.

Source: Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks" (2015), sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import ConfigError

Size = tuple[int, int]

# Points whose denominator is nearer to 0 than this lie on the horizon of a projective transformation. Their denominator
# is set to this value: they are hundreds of maps away, but still finite, and so is their gradient.
HORIZON = 1e-3
# Ratio of the smallest to the largest singular value of a matrix at which it is considered singular in float32.
SINGULAR = 1e-6


def pixel_centres(size: Size, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """Return (h w, 2): x and y of each pixel's centre, row by row, in -1..1 over the edges, for a size (h, w).

    Raises ConfigError for a size without pixels.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ConfigError(f"an output of {height}x{width} has no pixels; give a height and a width of 1 or more")
    y = (2 * torch.arange(height, dtype=dtype, device=device) + 1) / height - 1
    x = (2 * torch.arange(width, dtype=dtype, device=device) + 1) / width - 1
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).flatten(0, 1)


def lattice(side: int) -> Tensor:
    """Return (side^2, 2) points in rows and columns from edge to edge of a map; `lattice(4)` is the paper's.

    Raises ConfigError for a side of less than 2.
    """
    if side < 2:
        raise ConfigError(f"a lattice of side {side} does not span a map; give 2 or more (the paper has 4)")
    line = torch.linspace(-1, 1, side, dtype=torch.float64, device="cpu")
    return torch.stack([line.expand(side, side), line[:, None].expand(side, side)], -1).flatten(0, 1)


class Transform(nn.Module):
    """Base class of a family of transformations of the plane, without weights: theta -> grid.

    count: P, the number of parameters of one transformation.
    """

    count: int

    def forward(self, theta: Tensor, size: Size) -> Tensor:
        """Return the grid (B, h, w, 2) of positions at which each output pixel is sampled.

        theta: (B, P).
        size: (h, w) of the output, in pixels.

        The grid is float32, or float64 where theta is. Raises ConfigError for another number of parameters or an empty
        size.
        """
        theta = self._exact(theta)
        return self.move(theta, pixel_centres(size, theta.dtype, theta.device)).unflatten(1, size)

    def move(self, theta: Tensor, points: Tensor) -> Tensor:
        """Transform points (N, 2), shared by all, or (B, N, 2) by theta (B, P) -> (B, N, 2). Raises ConfigError."""
        theta = self._exact(theta)
        if points.ndim not in (2, 3) or points.shape[-1] != 2:
            raise ConfigError(f"points of shape {tuple(points.shape)}; expected (N, 2) or (B, N, 2), x and y each")
        # Autocast would run the products in half precision.
        with torch.autocast(theta.device.type, enabled=False):
            return self._move(theta, points.to(theta))

    def _move(self, theta: Tensor, points: Tensor) -> Tensor:
        raise NotImplementedError

    def identity(self) -> Tensor:
        """Return the parameters (P,), float32, of the identity."""
        raise NotImplementedError

    def inverse(self, theta: Tensor) -> Tensor:
        """Return the parameters (B, P) of the inverse. Raises ConfigError where there is none: see each family."""
        raise NotImplementedError

    def _exact(self, theta: Tensor) -> Tensor:
        if theta.ndim != 2 or theta.shape[1] != self.count:
            raise ConfigError(
                f"{type(self).__name__} takes theta of shape (B, {self.count}), got {tuple(theta.shape)}; "
                f"give {self.count} parameters per map"
            )
        return theta.to(torch.promote_types(theta.dtype, torch.float32))

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"parameters={self.count}"


class Affine(Transform):
    """Affine transformation (equation 1): theta = (a11, a12, a13, a21, a22, a23).

    (x, y)_source = [a11 a12 a13; a21 a22 a23] (x, y, 1)_target
    """

    count = 6

    def matrix(self, theta: Tensor) -> Tensor:
        """Return A of equation 1, (B, 2, 3), for theta (B, P)."""
        return theta.unflatten(1, (2, 3))

    def _move(self, theta: Tensor, points: Tensor) -> Tensor:
        return (self.matrix(theta) @ _homogeneous(points).mT).mT

    def identity(self) -> Tensor:
        """Return (1, 0, 0, 0, 1, 0)."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])

    def inverse(self, theta: Tensor) -> Tensor:
        """Return the parameters (B, 6) of the inverse. Raises ConfigError where one is singular or not finite."""
        matrix = self.matrix(_finite(self._exact(theta)))
        linear, shift = matrix[:, :, :2], matrix[:, :, 2:]
        require_invertible(linear)
        inverted = torch.linalg.inv(linear)
        return torch.cat([inverted, -inverted @ shift], 2).flatten(1).to(theta.dtype)


class Attention(Affine):
    """Isotropic scaling and translation, a window that moves and zooms (equation 2): theta = (s, t_x, t_y).

    (x, y)_source = [s 0 t_x; 0 s t_y] (x, y, 1)_target
    """

    count = 3

    def matrix(self, theta: Tensor) -> Tensor:
        """Return A of equation 2, (B, 2, 3), for theta (B, 3)."""
        s, tx, ty = theta.unbind(1)
        zero = torch.zeros_like(s)
        return torch.stack([s, zero, tx, zero, s, ty], 1).unflatten(1, (2, 3))

    def identity(self) -> Tensor:
        """Return (1, 0, 0)."""
        return torch.tensor([1.0, 0.0, 0.0])

    def inverse(self, theta: Tensor) -> Tensor:
        """Return the parameters (B, 3) of the inverse. Raises ConfigError where a scale is 0 or not finite."""
        s, shift = _finite(self._exact(theta)).split([1, 2], 1)
        require_invertible(s[:, :, None])
        return torch.cat([1 / s, -shift / s], 1).to(theta.dtype)


class Projective(Transform):
    """Projective transformation: theta = (h11, h12, h13, h21, h22, h23, h31, h32), and h33 = 1.

    (x, y)_source = (u / w, v / w),  (u, v, w) = H (x, y, 1)_target

    Where |w| < HORIZON, w is taken to be HORIZON with its sign, so that no coordinate is infinite.
    """

    count = 8

    def matrix(self, theta: Tensor) -> Tensor:
        """Return H, (B, 3, 3), for theta (B, 8)."""
        return torch.cat([theta, torch.ones_like(theta[:, :1])], 1).unflatten(1, (3, 3))

    def _move(self, theta: Tensor, points: Tensor) -> Tensor:
        uvw = self.matrix(theta) @ _homogeneous(points).mT
        uv, w = uvw[:, :2], uvw[:, 2:]
        nearest = torch.where(w < 0, -HORIZON, HORIZON).to(w.dtype)
        return (uv / torch.where(w.abs() < HORIZON, nearest, w)).mT

    def identity(self) -> Tensor:
        """Return the first eight elements of the identity matrix."""
        return torch.eye(3).flatten()[:8]

    def inverse(self, theta: Tensor) -> Tensor:
        """Return the parameters (B, 8) of the inverse.

        Raises ConfigError where one is singular or not finite, or sends some point beyond the horizon to the origin:
        its inverse has h33 = 0, which eight parameters cannot represent.
        """
        matrix = self.matrix(_finite(self._exact(theta)))
        require_invertible(matrix)
        inverse = torch.linalg.inv(matrix)
        last = inverse[:, 2:, 2:]
        _refuse(
            last.flatten().abs() <= SINGULAR * inverse.flatten(1).abs().amax(1),
            lambda i: f"theta {i} has an inverse with h33 = 0, which 8 parameters cannot represent; give less tilt",
        )
        return (inverse / last).flatten(1)[:, :8].to(theta.dtype)


class ThinPlateSpline(Transform):
    """Thin plate spline, the smoothest map that sends N control points to given positions.

    Its parameters are theta = (x_1, y_1, ..., x_N, y_N).

    control: (N, 2), the control points in the output; theta holds the positions in the map where they are sampled.

        (x, y)_source = sum_i w_i U(|p - c_i|) + a_0 + a_x x + a_y y,  U(r) = r^2 log r^2
        (K P; P' 0) (w; a) = (theta; 0),  K_ij = U(|c_i - c_j|), P = (1 c_x c_y)

    The system depends on the control points alone: it is inverted once, in float64, and what remains is a product with
    theta. There is no exact inverse. Source: Bookstein, "Principal Warps" (1989). Raises ConfigError for fewer than
    three control points, repeated ones, and points that all lie on one line.
    """

    control: Tensor
    solved: Tensor

    def __init__(self, control: Tensor) -> None:
        super().__init__()
        control = torch.as_tensor(control, device="cpu").detach().double()
        _require_control_points(control)
        n = len(control)
        self.count = 2 * n
        system = torch.zeros(n + 3, n + 3, dtype=torch.float64, device="cpu")  # also where a model is built on "meta"
        system[:n] = _spline_basis(control, control)
        system[n:, :n] = system[:n, n:].T
        self._constants = control, torch.linalg.inv(system)[:, :n].contiguous()
        # Both follow from the configuration, so they are not saved with the weights.
        self.register_buffer("control", control.float(), persistent=False)
        self.register_buffer("solved", self._constants[1].float(), persistent=False)

    def _move(self, theta: Tensor, points: Tensor) -> Tensor:
        control, solved = self.control, self.solved
        if solved.dtype != theta.dtype:
            control, solved = (exact.to(theta) for exact in self._constants)
        influence = _spline_basis(points, control) @ solved  # (N', N): of each control point on each point
        return (theta.unflatten(1, (-1, 2)).mT @ influence.mT).mT

    def identity(self) -> Tensor:
        """Return the control points themselves."""
        return self._constants[0].flatten().float()

    def inverse(self, theta: Tensor) -> Tensor:
        """Raise ConfigError: a thin plate spline has no exact inverse."""
        raise ConfigError(
            "a thin plate spline has no exact inverse; swap its control points and theta for an approximate one, "
            "or use an affine or projective transformation"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Apply `fn` as in any module, but round the buffers again from float64, and never to half precision."""
        super()._apply(fn, recurse)
        dtype = torch.promote_types(self.solved.dtype, torch.float32)
        self.control, self.solved = (exact.to(self.solved.device, dtype) for exact in self._constants)
        return self


def bilinear_sample(x: Tensor, grid: Tensor, background: float | Sequence[float] | Tensor = 0.0) -> Tensor:
    """Sample a map (B, C, H, W) at the positions of a grid (B, h, w, 2) -> (B, C, h, w), in the map's type.

    V = sum_nm U_nm max(0, 1 - |x - m|) max(0, 1 - |y - n|)   (equation 5; x and y in pixels, U the map), differentiable
    in the map and in the grid (equations 6 and 7).

    background: value outside of the map, a number or one per channel. The map's border blends into it over one pixel,
        as if the map were padded with it. A position that is infinite or nan is background too, with a gradient of 0.

    torch's kernel does the work, on the map's difference to its background: forward and backward it takes a quarter to
    six tenths of the time of gathering four neighbours, which is what the tests hold it to
    (benchmarks/sampler_speed.py). Raises ConfigError where shapes do not fit together.
    """
    _require_fitting(x, grid)
    exact = torch.promote_types(torch.promote_types(x.dtype, grid.dtype), torch.float32)
    outside = _background(background, x.to(exact))
    field = x.to(exact) if outside is None else x.to(exact) - outside
    # Half a pixel beyond the edge and further all is background, and for no width does that lie further out than 2. nan
    # is not within 2, either, so that one comparison covers both.
    positions = grid.to(exact)
    positions = torch.where(positions.abs() <= 2, positions, 2.0)
    out = F.grid_sample(field, positions, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (out if outside is None else out + outside).to(x.dtype)


def require_invertible(matrices: Tensor) -> None:
    """Raise ConfigError unless each of the square matrices (B, n, n) is finite and far enough from singular.

    Nothing is checked while a graph is traced: an exported file cannot raise.
    """
    if torch.compiler.is_compiling():
        return
    exact = matrices.detach().double()
    values = torch.linalg.svdvals(_finite(exact))
    _refuse(
        values[:, -1] <= SINGULAR * values[:, 0],
        lambda i: f"theta {i} is singular: it maps the plane onto a line or a point and has no inverse",
    )


def _finite(theta: Tensor) -> Tensor:
    """Return parameters (B, ...) unchanged. Raises ConfigError where one is not finite."""
    _refuse(
        ~theta.isfinite().flatten(1).all(1),
        lambda i: f"theta {i} is not finite: {theta[i].flatten().tolist()}; the learning rate may be too high",
    )
    return theta


def _refuse(bad: Tensor, message: Callable[[int], str]) -> None:
    """Raise ConfigError about the first True of (B,), unless a graph is being traced."""
    if not torch.compiler.is_compiling() and bool(bad.any()):
        raise ConfigError(message(int(bad.nonzero()[0])))


def _homogeneous(points: Tensor) -> Tensor:
    """Append a 1: (..., 2) -> (..., 3)."""
    return torch.cat([points, torch.ones_like(points[..., :1])], -1)


def _spline_basis(points: Tensor, control: Tensor) -> Tensor:
    """Return U of each distance, then 1, x, y: points (..., 2), control points (N, 2) -> (..., N + 3)."""
    squared = (points[..., None, :] - control).square().sum(-1)
    # U(0) = 0, its limit; the logarithm alone would be infinite, and its gradient nan.
    bent = squared * torch.where(squared > 0, squared, 1.0).log()
    return torch.cat([bent, torch.ones_like(points[..., :1]), points], -1)


def _require_control_points(control: Tensor) -> None:
    if control.ndim != 2 or control.shape[1] != 2 or len(control) < 3 or not bool(control.isfinite().all()):
        raise ConfigError(
            f"control points of shape {tuple(control.shape)}"
            f"{'' if bool(control.isfinite().all()) else ', not all of them finite'}; give at least three finite ones, "
            "as (N, 2): x and y each"
        )
    # Distances relative to the extent of all points; with nearer ones the system is singular in float64.
    extent = float((control - control.mean(0)).abs().max())
    near = (torch.cdist(control, control) <= 1e-6 * extent).triu(1).nonzero()
    if len(near):
        i, j = near[0].tolist()
        raise ConfigError(f"control points {i} and {j} are the same, {control[i].tolist()}; give each point once")
    if torch.linalg.svdvals(control - control.mean(0))[-1] <= SINGULAR * extent:
        raise ConfigError("all control points lie on one line; move one of them off it")


def _require_fitting(x: Tensor, grid: Tensor) -> None:
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise ConfigError(f"cannot sample a map of shape {tuple(x.shape)}; expected (B, C, H, W), all above 0")
    if grid.ndim != 4 or grid.shape[-1] != 2 or 0 in grid.shape[1:]:
        raise ConfigError(f"cannot sample at a grid of shape {tuple(grid.shape)}; expected (B, h, w, 2), all above 0")
    if x.shape[0] != grid.shape[0]:
        raise ConfigError(f"{x.shape[0]} maps but {grid.shape[0]} grids; give one grid per map")


def _background(background: float | Sequence[float] | Tensor, x: Tensor) -> Tensor | None:
    """Return the background as (C or 1, 1, 1) in the map's type; None for 0, which needs no work."""
    if not isinstance(background, Tensor):
        if not (any(background) if isinstance(background, Sequence) else background):
            if isinstance(background, Sequence):
                _require_channels(len(background), x.shape[1])
            return None
        background = torch.tensor(background, dtype=x.dtype)
    values = background.to(x).reshape(-1, 1, 1)
    if background.ndim:
        _require_channels(values.shape[0], x.shape[1])
    return values


def _require_channels(given: int, channels: int) -> None:
    if given != channels:
        raise ConfigError(
            f"a background of {given} values for a map of {channels} channels; give one, or one per channel"
        )
