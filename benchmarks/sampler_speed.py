"""How long a spatial transformer's grid and sampler take, forward and backward, beside torch's, kornia's and a gather.

    python benchmarks/sampler_speed.py [--rounds N] [--threads N] [--json FILE]

Each contender warps a batch by affine theta and returns gradients: with respect to theta alone where a picture is read,
as in front of a network, and to the map too where it lies in the middle of one. Inputs, float32, and coordinates are the
same for all, and so is a background of zero except where a row says another; that they agree is checked before they are
timed. The gather is the readable reference that `tests/ops/test_sample.py` holds `bilinear_sample` to: what writing the
kernel in Python costs. kornia takes part where it is installed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip
from torch import Tensor
from torch.nn import functional as F

from foveate.ops.sample import Affine, ThinPlateSpline, bilinear_sample, lattice

# What is read: batch, channels, side, and whether the map gets a gradient.
CASES = {
    "256 digits of 28x28": (256, 1, 28, False),
    "256 digits of 60x60": (256, 1, 60, False),
    "64 maps of 32x14x14": (64, 32, 14, True),
}
OURS, GREY = "foveate", "foveate, background 0.5"
MOST = 1.15  # times torch's own affine_grid and grid_sample
Warp = Callable[[Tensor, Tensor], Tensor]


def reference() -> Callable[[Tensor, Tensor], Tensor]:
    """`gathering` of the tests."""
    path = Path(__file__).parent.parent / "tests" / "ops" / "test_sample.py"
    spec = importlib.util.spec_from_file_location("sampler_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found: Callable[[Tensor, Tensor], Tensor] = module.gathering
    return found


def warps(side: int) -> dict[str, Warp]:
    """Name -> (map, theta (B, 6)) -> the warped map."""
    size, affine, spline, gathering = (side, side), Affine(), ThinPlateSpline(lattice(4)), reference()

    def torchs(x: Tensor, theta: Tensor) -> Tensor:
        grid = F.affine_grid(theta.view(-1, 2, 3), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)

    def splined(x: Tensor, theta: Tensor) -> Tensor:
        return bilinear_sample(x, spline(affine.move(theta, spline.control).flatten(1), size))

    found: dict[str, Warp] = {
        OURS: lambda x, theta: bilinear_sample(x, affine(theta, size)),
        "torch": torchs,
        GREY: lambda x, theta: bilinear_sample(x, affine(theta, size), 0.5),
        "foveate, spline of 16 points": splined,
        "gather": lambda x, theta: gathering(x, affine(theta, size)),
    }
    kornia = kornias(side)
    return found | ({"kornia": kornia} if kornia else {})


def kornias(side: int) -> Warp | None:
    """kornia's warp_affine, told the same transformation: in pixels, from the picture to the output."""
    try:
        from kornia.geometry.transform import warp_affine
    except ImportError:
        return None
    # Edges at -1 and 1 -> centres at 0 and side - 1.
    half = side / 2
    to_pixels = torch.tensor([[half, 0, half - 0.5], [0, half, half - 0.5], [0, 0, 1]])
    to_edges = torch.linalg.inv(to_pixels)

    def run(x: Tensor, theta: Tensor) -> Tensor:
        last = theta.new_tensor([0.0, 0.0, 1.0]).expand(len(theta), 1, 3)
        matrix = torch.cat([theta.view(-1, 2, 3), last], 1)
        forward = to_pixels @ torch.linalg.inv(matrix) @ to_edges
        return warp_affine(x, forward[:, :2], (side, side), padding_mode="zeros", align_corners=True)

    return run


def training(warp: Warp, x: Tensor, theta: Tensor, with_map: bool) -> Contender:
    x, theta = x.clone().requires_grad_(with_map), theta.clone().requires_grad_()

    def run() -> None:
        x.grad = theta.grad = None
        warp(x, theta).sum().backward()

    return run


def main() -> None:
    parser = arguments(__doc__ or "", rounds=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = Report("sampler_speed", {"rounds": options.rounds})
    slowest = 0.0
    for title, (batch, channels, side, with_map) in CASES.items():
        torch.manual_seed(SEED)
        x = torch.randn(batch, channels, side, side)
        theta = Affine().identity() + 0.2 * torch.randn(batch, 6)
        contenders = warps(side)
        for name, warp in contenders.items():
            if name == GREY:  # another answer, at the border
                continue
            torch.testing.assert_close(warp(x, theta), contenders[OURS](x, theta), rtol=0, atol=2e-3, msg=name)
        runs = {name: training(warp, x, theta, with_map) for name, warp in contenders.items()}
        table = compare(
            f"{title}, forward and backward", "ms", interleave(runs, options.rounds, 3), "torch", scale=1000
        )
        report.tables.append(table)
        slowest = max(slowest, table.row(OURS).relative)
    if "kornia" not in contenders:
        report.notes.append("kornia is not installed and did not take part")
    report.targets.append(Target(f"at most {MOST} times as long as torch's own", slowest, slowest <= MOST))
    publish(report, options.json)


if __name__ == "__main__":
    main()
