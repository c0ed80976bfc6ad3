"""The sampler against numpy, a gather and torch; the transformations against their equations and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.sample import (
    HORIZON,
    Affine,
    Attention,
    Projective,
    ThinPlateSpline,
    Transform,
    bilinear_sample,
    lattice,
    pixel_centres,
    require_invertible,
)

FAMILIES = {
    "affine": Affine,
    "attention": Attention,
    "projective": Projective,
    "tps": lambda: ThinPlateSpline(lattice(4)),
    "tps of 5": lambda: ThinPlateSpline(torch.tensor([[-0.9, -0.8], [0.7, -1], [0.1, 0.2], [-0.6, 1], [1, 0.5]])),
}
INVERTIBLE = ["affine", "attention", "projective"]
ODD = [math.nan, math.inf, -math.inf]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=generator(seed))


def exact(a: Tensor, b: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def some_theta(transform: Transform, count: int = 3, seed: int = 0, spread: float = 0.2) -> Tensor:
    """(count, P) near the identity, float64."""
    return transform.identity().double() + spread * random(count, transform.count, seed=seed)


def gathering(x: Tensor, grid: Tensor, background: Tensor | float = 0.0) -> Tensor:
    """Equation 5 as four gathers from the map with one pixel of background around it: what the kernel is held to."""
    batch, channels, height, width = x.shape
    framed = torch.as_tensor(background, dtype=x.dtype).expand(batch, channels, height + 2, width + 2).clone()
    framed[:, :, 1:-1, 1:-1] = x
    # From the edges' coordinates to pixels, kept between the centres of the frame's outermost pixels.
    column = (((grid[..., 0] + 1) * width - 1) / 2).clamp(-1, width).flatten(1)
    row = (((grid[..., 1] + 1) * height - 1) / 2).clamp(-1, height).flatten(1)
    left, top = column.detach().floor().clamp(max=width - 1), row.detach().floor().clamp(max=height - 1)
    u, v = (column - left)[:, None], (row - top)[:, None]
    place = ((top + 1) * (width + 2) + left + 1).long()[:, None].expand(-1, channels, -1)
    a, b, c, d = (framed.flatten(2).gather(2, place + step) for step in (0, 1, width + 2, width + 3))
    values = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
    return values.view(batch, channels, *grid.shape[1:3])


def by_numpy(x: np.ndarray, grid: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Equation 5 as it stands: every pixel of the map, and of enough background around it, weighted by its tent."""
    height, width = x.shape[2:]
    pixels = ((grid + 1) * (width, height) - 1) / 2
    margin = int(np.abs(pixels).max()) + 2
    wide = [(0, 0), (0, 0), (margin, margin), (margin, margin)]
    around = background[None, :, None, None]
    field = np.pad(x - around, wide) + around
    m, n = np.arange(-margin, width + margin), np.arange(-margin, height + margin)
    across = np.maximum(0, 1 - np.abs(pixels[..., :1] - m))
    down = np.maximum(0, 1 - np.abs(pixels[..., 1:] - n))
    return np.einsum("bcnm,bijm,bijn->bcij", field, across, down)


# --- coordinates


def test_coordinates_run_from_edge_to_edge() -> None:
    # Four pixels a row lie at -3/4, -1/4, 1/4, 3/4; two rows at -1/2 and 1/2.
    xy = pixel_centres((2, 4))
    assert xy[:4].tolist() == [[-0.75, -0.5], [-0.25, -0.5], [0.25, -0.5], [0.75, -0.5]]
    assert xy[4:, 1].tolist() == [0.5] * 4
    assert pixel_centres((1, 1)).tolist() == [[0, 0]]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 4)])
def test_the_identity_reads_every_pixel_itself(size: tuple[int, int]) -> None:
    x = random(2, 3, *size)
    for build in FAMILIES.values():
        transform = build().double()
        grid = transform(transform.identity().double().expand(2, -1), size)
        assert grid.shape == (2, *size, 2)
        exact(bilinear_sample(x, grid), x, atol=1e-6)  # identity parameters are float32


def test_another_size_is_resizing() -> None:
    """Both sizes share their edges: half the size reads the mean of 2x2 pixels, as interpolation does."""
    x = random(1, 2, 8, 6)
    half = bilinear_sample(x, Affine()(Affine().identity().double()[None], (4, 3)))
    exact(half, F.avg_pool2d(x, 2))
    exact(half, F.interpolate(x, (4, 3), mode="bilinear", align_corners=False))


def test_transformations_move_what_is_read() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    shift = torch.tensor([[1, 0, 2 / 4, 0, 1, 0]])  # one pixel of four is 2 / 4 of the width from -1 to 1
    seen = bilinear_sample(x, Affine()(shift, (3, 4)))
    torch.testing.assert_close(seen[0, 0], torch.tensor([[1.0, 2, 3, 0], [5, 6, 7, 0], [9, 10, 11, 0]]))
    turn = torch.tensor([[0.0, -1, 0, 1, 0, 0]])  # (x, y) is read at (-y, x)
    square = torch.arange(4.0).view(1, 1, 2, 2)
    torch.testing.assert_close(bilinear_sample(square, Affine()(turn, (2, 2)))[0, 0], torch.tensor([[1.0, 3], [0, 2]]))


# --- the sampler


@pytest.mark.parametrize("background", [0.0, 0.7, (0.5, -2.0)])
def test_equals_numpy_and_gathering(background: float | tuple[float, ...]) -> None:
    x, grid = random(2, 2, 4, 3), 0.9 * random(2, 5, 4, 2, seed=1)
    ours = bilinear_sample(x, grid, background)
    around = torch.tensor(background, dtype=torch.float64).expand(2)
    exact(ours, torch.from_numpy(by_numpy(x.numpy(), grid.numpy(), around.numpy())))
    exact(ours, gathering(x, grid, around.view(1, 2, 1, 1)))
    exact(ours, bilinear_sample(x, grid, around))


def test_equals_torchs_kernel_on_black() -> None:
    x, grid = random(2, 3, 6, 5), random(2, 7, 4, 2, seed=1)
    expected = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    assert torch.equal(bilinear_sample(x, grid), expected)
    assert torch.equal(bilinear_sample(x, grid, (0.0, 0.0, 0.0)), expected)


@pytest.mark.parametrize("background", [0.0, 0.6])
def test_gradients_equal_those_of_gathering(background: float) -> None:
    x = random(2, 3, 5, 6).requires_grad_()
    grid = (1.2 * random(2, 4, 4, 2, seed=1)).requires_grad_()
    weight = random(2, 3, 4, 4, seed=2)
    ours = torch.autograd.grad((bilinear_sample(x, grid, background) * weight).sum(), (x, grid))
    theirs = torch.autograd.grad((gathering(x, grid, background) * weight).sum(), (x, grid))
    for a, b in zip(ours, theirs, strict=True):
        exact(a, b, atol=1e-10)
        assert (a != 0).any()


def test_the_border_blends_into_the_background() -> None:
    """Centre of a white pixel, its edge, the first pixel beyond: 1, half background, all background."""
    x = torch.ones(1, 1, 1, 1)
    grid = torch.tensor([[0.0, 0], [1, 0], [2, 0], [0, -1], [1, 1]]).view(1, 1, 5, 2)
    # At a corner one quarter of the tent is inside.
    assert bilinear_sample(x, grid, 0.2)[0, 0, 0].tolist() == pytest.approx([1, 0.6, 0.2, 0.6, 0.4])


def test_a_flat_map_on_its_own_colour_stays_flat_wherever_it_is_read() -> None:
    x = torch.tensor([0.3, -1.5]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    out = bilinear_sample(x, 3 * torch.randn(1, 9, 9, 2, generator=generator()), (0.3, -1.5))
    torch.testing.assert_close(out, x[:, :, :1, :1].expand_as(out))


@pytest.mark.parametrize("odd", [*ODD, 1e30, -1e30])
def test_places_that_are_no_numbers_are_background(odd: float) -> None:
    x = torch.ones(1, 2, 3, 3, requires_grad=True)
    grid = torch.zeros(1, 1, 3, 2)
    grid[0, 0, 0, 0] = grid[0, 0, 1, 1] = odd
    grid.requires_grad_()
    out = bilinear_sample(x, grid, 0.25)
    assert out[0, 0, 0].tolist() == [0.25, 0.25, 1]
    out.sum().backward()
    assert grid.grad is not None and x.grad is not None
    assert grid.grad.isfinite().all()
    assert x.grad.sum() == 2  # the third place alone, of two channels


def test_halves_are_sampled_in_float32() -> None:
    x = torch.rand(1, 1, 40, 40, generator=generator())
    theta = torch.tensor([[0.7, -0.2, 0.1, 0.25, 0.8, -0.1]])
    whole = bilinear_sample(x, Affine()(theta, (40, 40)))
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype):
            grid = Affine()(theta, (40, 40))
            spline = ThinPlateSpline(lattice(4))
            bent = spline(spline.identity()[None], (40, 40))
        assert grid.dtype == bent.dtype == torch.float32
        assert torch.equal(grid, Affine()(theta, (40, 40)))
        exact(bent.flatten(1, 2)[0], pixel_centres((40, 40)), atol=1e-5)
        out = bilinear_sample(x.to(dtype), grid)
        assert out.dtype == dtype
        # One rounding of the map, one of the result.
        torch.testing.assert_close(out.float(), whole, rtol=0, atol=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", FAMILIES)
def test_extreme_parameters_never_make_nan(name: str, dtype: torch.dtype) -> None:
    transform = FAMILIES[name]()
    largest = min(torch.finfo(dtype).max, 1e30)
    for scale in (0.0, 1.0, 100.0, largest):
        theta = (scale * torch.randn(8, transform.count, generator=generator())).clamp(-largest, largest)
        theta = theta.to(dtype).requires_grad_()
        x = torch.rand(8, 1, 9, 9, generator=generator()).to(dtype).requires_grad_()
        out = bilinear_sample(x, transform(theta, (9, 9)), 0.5)
        assert out.isfinite().all()
        out.float().sum().backward()
        assert theta.grad is not None and x.grad is not None
        assert x.grad.isfinite().all()
        if scale <= 100:
            assert theta.grad.isfinite().all()


# --- transformations


def test_numbers_of_parameters() -> None:
    assert {name: build().count for name, build in FAMILIES.items()} == {
        "affine": 6, "attention": 3, "projective": 8, "tps": 32, "tps of 5": 10,
    }  # fmt: skip
    for build in FAMILIES.values():
        transform = build()
        assert transform.identity().shape == (transform.count,)
        assert not list(transform.parameters()) and not transform.state_dict()
        assert f"parameters={transform.count}" in repr(transform)


def test_by_hand() -> None:
    point = torch.tensor([[0.5, -1.0]])
    assert Affine().move(torch.tensor([[1.0, 2, 3, 4, 5, 6]]), point)[0, 0].tolist() == [1.5, 3]
    assert Attention().move(torch.tensor([[0.5, 0.25, -1]]), point)[0, 0].tolist() == [0.5, -1.5]
    # w = 1 + 2 * 0.5 - 1 * (-1) = 3
    theta = torch.tensor([[1.0, 2, 3, 4, 5, 6, 2, -1]])
    torch.testing.assert_close(Projective().move(theta, point)[0, 0], torch.tensor([0.5, 1]))


def test_attention_and_affine_are_special_cases() -> None:
    points = random(7, 2)
    theta = random(4, 3, seed=1)
    s, tx, ty = theta.unbind(1)
    o = torch.zeros_like(s)
    affine = torch.stack([s, o, tx, o, s, ty], 1)
    expected = Affine().move(affine, points)
    exact(Attention().move(theta, points), expected)
    exact(Projective().move(F.pad(affine, (0, 2)), points), expected)
    # A spline whose control points move affinely is affine.
    spline = ThinPlateSpline(lattice(4)).double()
    exact(spline.move(Affine().move(affine, lattice(4)).flatten(1), points), expected)


def test_affine_grids_equal_torchs() -> None:
    theta = some_theta(Affine(), seed=3)
    exact(Affine()(theta, (5, 7)), F.affine_grid(theta.view(-1, 2, 3), [3, 1, 5, 7], align_corners=False))


@pytest.mark.parametrize("name", INVERTIBLE)
def test_there_and_back(name: str) -> None:
    transform = FAMILIES[name]()
    theta = some_theta(transform, 20)
    grid = transform(theta, (6, 5))
    back = transform.move(transform.inverse(theta), grid.flatten(1, 2))
    exact(back, pixel_centres((6, 5), torch.float64).expand_as(back), atol=1e-8)
    exact(transform.inverse(transform.inverse(theta)), theta, atol=1e-8)
    assert transform.inverse(theta.half()).dtype == torch.float16


@pytest.mark.parametrize("name", ["tps", "tps of 5"])
def test_a_spline_meets_its_control_points(name: str) -> None:
    spline = FAMILIES[name]().double()
    theta = some_theta(spline, 3)
    control = spline.control
    exact(spline.move(theta, control), theta.unflatten(1, (-1, 2)))
    points = random(30, 2)
    exact(spline.move(control.flatten()[None], points)[0], points)
    # Read in float32, it is as exact as float32.
    torch.testing.assert_close(
        FAMILIES[name]().move(theta.float(), control.float()), theta.float().unflatten(1, (-1, 2)), rtol=0, atol=1e-5
    )


def test_a_spline_is_scipys() -> None:
    from scipy.interpolate import RBFInterpolator

    spline = ThinPlateSpline(lattice(4)).double()
    theta, points = some_theta(spline, 1), random(40, 2, seed=4)
    theirs = RBFInterpolator(lattice(4).numpy(), theta.view(16, 2).numpy(), kernel="thin_plate_spline", degree=1)
    exact(spline.move(theta, points)[0], torch.from_numpy(theirs(points.numpy())), atol=1e-9)


def test_a_spline_stays_exact_whatever_the_models_precision() -> None:
    spline = ThinPlateSpline(lattice(4))
    solved = spline.solved.clone()
    assert torch.equal(spline.half().solved, solved)
    assert torch.equal(spline.bfloat16().float().solved, solved)
    exact(spline.double().move(lattice(4).flatten()[None], lattice(4))[0], lattice(4))


def test_points_on_the_horizon_are_far_but_finite() -> None:
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, -1, 0]])  # w = 1 - x
    x = torch.tensor([0.5, 1 - HORIZON / 2, 1, 1 + HORIZON / 2, 2])
    moved = Projective().move(theta, torch.stack([x, torch.zeros(5)], 1))[0, :, 0]
    torch.testing.assert_close(moved, x / torch.tensor([0.5, HORIZON, HORIZON, -HORIZON, -1]), rtol=1e-3, atol=0)


def test_the_horizon_is_narrow() -> None:
    """Points with a denominator of a hundredth lie where the equation says."""
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, -1, 0]])  # w = 1 - x
    moved = Projective().move(theta, torch.tensor([[0.99, 0.5]]))[0, 0]
    torch.testing.assert_close(moved, torch.tensor([99.0, 50.0]), rtol=1e-4, atol=0)


# --- gradients


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_are_right(name: str) -> None:
    transform = FAMILIES[name]().double()
    theta = some_theta(transform, 2, spread=0.1).requires_grad_()
    x = random(2, 2, 3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: bilinear_sample(x, transform(t, (2, 3)), 0.3), (x, theta))
    if name in INVERTIBLE:
        assert torch.autograd.gradcheck(transform.inverse, (theta,))


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_point_towards_what_is_looked_for(name: str) -> None:
    """Shown a blob that has moved, every family finds it by gradient descent."""
    transform = FAMILIES[name]()
    xy = pixel_centres((24, 24)).view(24, 24, 2)
    blob = (-8 * (xy - torch.tensor([0.3, -0.2])).square().sum(-1)).exp()[None, None]
    wanted = (-8 * xy.square().sum(-1)).exp()[None, None]
    theta = transform.identity()[None].clone().requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=0.03)
    for _ in range(60):
        loss = (bilinear_sample(blob, transform(theta, (24, 24))) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    centre = transform.move(theta.detach(), torch.zeros(1, 2))[0, 0]
    torch.testing.assert_close(centre, torch.tensor([0.3, -0.2]), rtol=0, atol=0.05)


# --- errors


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, grid = torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 5, 2)
    with pytest.raises(ConfigError, match=r"Affine takes theta of shape \(B, 6\), got \(2, 8\); give 6 parameters"):
        Affine()(torch.zeros(2, 8), (4, 4))
    with pytest.raises(ConfigError, match=r"Projective takes theta of shape \(B, 8\), got \(8,\)"):
        Projective().inverse(torch.zeros(8))
    with pytest.raises(ConfigError, match="an output of 0x4 has no pixels; give a height and a width of 1 or more"):
        Affine()(torch.zeros(2, 6), (0, 4))
    with pytest.raises(ConfigError, match=r"cannot sample a map of shape \(2, 3, 4\)"):
        bilinear_sample(x[..., 0], grid)
    with pytest.raises(ConfigError, match=r"cannot sample a map of shape \(2, 3, 0, 4\)"):
        bilinear_sample(x[:, :, :0], grid)
    with pytest.raises(ConfigError, match=r"cannot sample at a grid of shape \(2, 5, 5, 1\)"):
        bilinear_sample(x, grid[..., :1])
    with pytest.raises(ConfigError, match="2 maps but 1 grids; give one grid per map"):
        bilinear_sample(x, grid[:1])
    for background in ((0.0, 0.0), (0.5, 1.0), torch.zeros(2)):
        with pytest.raises(ConfigError, match="a background of 2 values for a map of 3 channels"):
            bilinear_sample(x, grid, background)


def test_transformations_without_inverse_are_refused() -> None:
    good = Affine().identity()
    flat = torch.tensor([1.0, 2, 0, 2, 4, 0])
    with pytest.raises(ConfigError, match="theta 1 is singular: it maps the plane"):
        Affine().inverse(torch.stack([good, flat]))
    with pytest.raises(ConfigError, match="theta 0 is singular"):
        Attention().inverse(torch.tensor([[0.0, 1, 1]]))
    with pytest.raises(ConfigError, match="theta 0 is singular"):
        Projective().inverse(torch.tensor([[1.0, 0, 1, 0, 1, 1, 1, 0]]))
    with pytest.raises(ConfigError, match="theta 0 has an inverse with h33 = 0"):
        Projective().inverse(torch.tensor([[1.0, 0, 1, 0, 0, 1, 0, 1]]))
    for odd in ODD:
        with pytest.raises(ConfigError, match=r"theta 1 is not finite: .*; the learning rate may be too high"):
            require_invertible(torch.stack([torch.eye(2), torch.full((2, 2), odd)]))
    with pytest.raises(ConfigError, match="a thin plate spline has no exact inverse"):
        ThinPlateSpline(lattice(2)).inverse(lattice(2).flatten()[None])
    # Small is not singular, and nothing is refused while a graph is traced.
    require_invertible(1e-12 * torch.eye(3)[None])


def test_invalid_control_points_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"control points 1 and 3 are the same, \[0.5, 0.0\]; give each point once"):
        ThinPlateSpline(torch.tensor([[0.0, 0], [0.5, 0], [0, 1], [0.5, 0]]))
    with pytest.raises(ConfigError, match="all control points lie on one line"):
        ThinPlateSpline(torch.tensor([[0.0, 0], [0.5, 0.5], [1, 1]]))
    for bad in (torch.zeros(2, 2), torch.zeros(4, 3), torch.full((4, 2), math.nan)):
        with pytest.raises(ConfigError, match=r"give at least three finite ones, as \(N, 2\)"):
            ThinPlateSpline(bad)
    with pytest.raises(ConfigError, match="a lattice of side 1 does not span a map"):
        lattice(1)


# --- graphs


@pytest.mark.parametrize("name", ["affine", "projective", "tps"])
def test_tracing_sees_no_value(name: str) -> None:
    """torch.export holds grids, sampling and inverses alike: no check looks at what theta holds."""

    class Warp(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transform = FAMILIES[name]()

        def forward(self, x: Tensor, theta: Tensor) -> Tensor:
            if name in INVERTIBLE:
                theta = self.transform.inverse(theta)
            return bilinear_sample(x, self.transform(theta, (5, 6)), 0.5)

    warp, batch = Warp(), torch.export.Dim("batch")
    x, theta = torch.rand(2, 3, 7, 8), some_theta(warp.transform, 2).float()
    program = torch.export.export(warp, (x, theta), dynamic_shapes=({0: batch}, {0: batch}))
    x, theta = torch.rand(5, 3, 7, 8), some_theta(warp.transform, 5, seed=1).float()
    torch.testing.assert_close(program.module()(x, theta), warp(x, theta))


def test_a_spline_can_be_built_where_tensors_have_no_values():
    """Shapes alone are asked for on torch's "meta" device; the control points are constants, and stay what they are."""
    with torch.device("meta"):
        spline = ThinPlateSpline(lattice(4))
    assert spline.count == 32
    assert torch.equal(spline.solved, ThinPlateSpline(lattice(4)).solved)


def test_points_are_pairs():
    with pytest.raises(ConfigError, match=r"points of shape \(3,\); expected \(N, 2\) or \(B, N, 2\)"):
        Affine().move(Affine().identity()[None], torch.zeros(3))


@pytest.mark.parametrize(
    ("transform", "theta"), [(Affine(), [1, 0, math.nan, 0, 1, 0]), (Attention(), [1, math.inf, 0])]
)
def test_what_is_not_finite_has_no_inverse(transform, theta):
    with pytest.raises(ConfigError, match="theta 1 is not finite"):
        transform.inverse(torch.stack([transform.identity(), torch.tensor(theta).float()]))


def test_a_spline_is_as_exact_as_its_parameters():
    """Constants are kept in float64: a module that was never made double loses nothing."""
    spline = ThinPlateSpline(lattice(4))
    theta = torch.randn(2, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = spline(theta, (9, 7))
    assert found.dtype == torch.float64
    exact(found, ThinPlateSpline(lattice(4)).double()(theta, (9, 7)), atol=1e-13)
