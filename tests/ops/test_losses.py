"""Cross-entropy against its formula, alone and in two processes; Lovász-Softmax against the extension's definition.

Run as a script this file is one of the two processes.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.losses import label_cross_entropy, lovasz_softmax, pixel_cross_entropy
from foveate.records import IGNORE

K = 3
WEIGHTS = torch.tensor([0.5, 2.0, 1.25], dtype=torch.float64)


def batch(seed: int = 0, size: int = 2, ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    """(logits, mask), float64, (size, K, 4, 5)."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, K, 4, 5, dtype=torch.float64, generator=random)
    mask = torch.randint(0, K, (size, 4, 5), generator=random)
    return logits, mask.masked_fill(torch.rand(size, 4, 5, generator=random) < ignored, IGNORE)


# --- cross-entropy in one process


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_is_its_formula(weights: Tensor | None) -> None:
    logits, mask = batch()
    total = weight = 0.0
    for b, y, x in itertools.product(range(2), range(4), range(5)):
        label = int(mask[b, y, x])
        if label != IGNORE:
            scores = logits[b, :, y, x].tolist()
            w = 1.0 if weights is None else float(weights[label])
            total += w * (math.log(sum(math.exp(s) for s in scores)) - scores[label])
            weight += w
    assert pixel_cross_entropy(logits, mask, weights).item() == pytest.approx(total / weight, rel=1e-12)
    assert pixel_cross_entropy(logits, mask, weights, reduction="sum").item() == pytest.approx(total, rel=1e-12)


def test_cross_entropy_by_hand() -> None:
    logits = torch.log(torch.tensor([0.5, 0.25, 0.25])).view(1, 3, 1, 1).repeat(1, 1, 1, 3)
    mask = torch.tensor([[[0, 2, IGNORE]]])
    assert pixel_cross_entropy(logits, mask).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert pixel_cross_entropy(logits, mask, torch.tensor([3.0, 9.0, 1.0])).item() == pytest.approx(
        (3 * math.log(2) + math.log(4)) / 4
    )


@pytest.mark.parametrize("loss", [pixel_cross_entropy, lovasz_softmax])
def test_nothing_to_learn_is_zero_with_a_gradient(loss: object) -> None:
    logits, mask = batch()
    logits.requires_grad_()
    value = loss(logits, torch.full_like(mask, IGNORE))  # type: ignore[operator]
    assert value.item() == 0
    value.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", [pixel_cross_entropy, lovasz_softmax])
def test_ignored_pixels_get_no_gradient_and_change_nothing(loss: object) -> None:
    logits, mask = batch()
    ignored = (mask == IGNORE)[:, None].expand_as(logits)
    logits.requires_grad_()
    value = loss(logits, mask)  # type: ignore[operator]
    value.backward()
    assert logits.grad is not None
    assert not logits.grad[ignored].any()
    assert logits.grad[~ignored].any()
    assert loss(torch.where(ignored, 7.0, logits), mask).item() == value.item()  # type: ignore[operator]


@pytest.mark.parametrize("loss", [pixel_cross_entropy, lovasz_softmax])
def test_gradients(loss: object) -> None:
    logits, mask = batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, mask), (logits.requires_grad_(),))  # type: ignore[operator]


def test_half_precision_is_summed_in_full() -> None:
    logits = torch.zeros(1, 2, 300, 300, dtype=torch.float16)
    mask = torch.zeros(1, 300, 300, dtype=torch.int64)
    # 90,000 log 2 is close to what float16 can hold at all, and far beyond what it can count.
    assert pixel_cross_entropy(logits, mask, reduction="sum").item() == pytest.approx(90_000 * math.log(2), rel=1e-4)
    assert pixel_cross_entropy(logits, mask).item() == pytest.approx(math.log(2), rel=1e-4)
    assert lovasz_softmax(logits, mask).item() == pytest.approx(0.5, rel=1e-4)


def test_errors() -> None:
    logits, mask = batch()
    for loss in (pixel_cross_entropy, lovasz_softmax):
        with pytest.raises(ConfigError, match="the mask holds label 3, but the logits have 3 classes; build the model"):
            loss(logits, mask.masked_fill(mask == IGNORE, 3))
        with pytest.raises(ConfigError, match="the mask holds label -1"):
            loss(logits, mask.masked_fill(mask == IGNORE, -1))
        with pytest.raises(ConfigError, match=r"logits of shape \(2, 3, 4, 5\) with a mask of torch.int64 and shape"):
            loss(logits, mask[:, :3])
        with pytest.raises(ConfigError, match=r"give logits .* and an int64 mask"):
            loss(logits, mask.to(torch.uint8))
    with pytest.raises(ConfigError, match=r"class weights of shape \(2,\) for 3 classes; give one weight per class"):
        pixel_cross_entropy(logits, mask, WEIGHTS[:2])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_of_images_as_torch_has_them(weights: Tensor | None, smoothing: float) -> None:
    logits, label = torch.randn(6, K, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0, 2])
    found = label_cross_entropy(logits, label, weights, smoothing)
    assert found.item() == pytest.approx(F.cross_entropy(logits, label, weights, label_smoothing=smoothing).item())
    with pytest.raises(ConfigError, match="label 3, but the logits have 3 classes"):
        label_cross_entropy(logits, label + 1, weights, smoothing)


# --- cross-entropy in two processes


def cases() -> dict[str, tuple[Tensor, Tensor, Tensor | None, float]]:
    """Name -> (images, mask, class weights, label smoothing) of four images, two a process, unlike in what they
    ignore."""
    images = torch.randn(4, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    few, many = batch(4, ignored=0.9)[1], batch(5, ignored=0.1)[1]
    none = torch.full_like(few, IGNORE)
    return {
        "plain": (images, torch.cat([few, many]), None, 0.0),
        "weighted": (images, torch.cat([few, many]), WEIGHTS, 0.0),
        "smoothed": (images, torch.cat([few, many]), WEIGHTS, 0.1),
        "one process has nothing": (images, torch.cat([none, many]), None, 0.0),
        "neither has anything": (images, torch.cat([none, none]), WEIGHTS, 0.0),
    }


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, K, 1)).double()


def gradients(net: nn.Module) -> list[float]:
    return torch.cat([p.grad.ravel() for p in net.parameters() if p.grad is not None]).tolist()


def process(rank: int, folder: Path) -> None:
    """One of two: its half of every case through DistributedDataParallel; writes losses and gradients."""
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    results = {}
    for name, (images, mask, weights, smoothing) in cases().items():
        net = nn.parallel.DistributedDataParallel(network())
        mine = slice(2 * rank, 2 * rank + 2)
        loss = pixel_cross_entropy(net(images[mine]), mask[mine], weights, label_smoothing=smoothing)
        loss.backward()
        results[name] = {"loss": loss.item(), "gradients": gradients(net)}
    (folder / f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def test_two_processes_give_the_gradient_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve())]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)], env=environment) for rank in (0, 1)]
    try:
        assert [p.wait(timeout=120) for p in running] == [0, 0]
    finally:
        for p in running:
            p.kill()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for name, (images, mask, weights, smoothing) in cases().items():
        net = network()
        loss = pixel_cross_entropy(net(images), mask, weights, label_smoothing=smoothing)
        loss.backward()
        for half in (first, second):
            assert half[name]["gradients"] == pytest.approx(gradients(net), rel=1e-10, abs=1e-14), name
        assert (first[name]["loss"] + second[name]["loss"]) / 2 == pytest.approx(loss.item(), rel=1e-12), name
    # The case is a real one: averaging the two processes' own means would be another gradient.
    images, mask, *_ = cases()["plain"]
    net = network()
    own = [F.cross_entropy(net(images[h]), mask[h], ignore_index=IGNORE) for h in (slice(0, 2), slice(2, 4))]
    (sum(own) / 2).backward()
    assert first["plain"]["gradients"] != pytest.approx(gradients(net), rel=1e-2)


# --- Lovász-Softmax


def jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """1 - IoU of a class whose true pixels are `truth`, when the pixels of `wrong` are on the wrong side."""
    predicted = truth ^ wrong
    return 1 - len(truth & predicted) / len(truth | predicted) if truth | predicted else 0.0


def errors(logits: Tensor, mask: Tensor) -> list[tuple[list[float], set[int]]]:
    """Of each class in the mask: its pixels' errors, and which pixels are its own."""
    probability = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    labels = mask.ravel().tolist()
    probability = probability[[i for i, y in enumerate(labels) if y != IGNORE]]
    labels = [y for y in labels if y != IGNORE]
    found = []
    for c in sorted(set(labels)):
        own = {i for i, y in enumerate(labels) if y == c}
        found.append(([float(1 - p[c] if i in own else p[c]) for i, p in enumerate(probability)], own))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_lovasz_is_the_choquet_integral_of_the_jaccard_loss(seed: int) -> None:
    logits, mask = batch(seed)
    expected = []
    for error, own in errors(logits, mask):
        # The integral over t of the loss of the set {i: m_i >= t}, which is constant between the errors.
        levels = sorted({0.0, *error})
        expected.append(
            sum(
                (high - low) * jaccard_loss({i for i, m in enumerate(error) if m >= high}, own)
                for low, high in itertools.pairwise(levels)
            )
        )
    assert lovasz_softmax(logits, mask).item() == pytest.approx(sum(expected) / len(expected), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_lovasz_is_the_convex_closure(seed: int) -> None:
    # The Jaccard loss is submodular, so its extension is the highest of the linear functions that orderings give.
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 2, 1, 5, dtype=torch.float64, generator=random)
    mask = torch.tensor([[[0, 1, 1, 0, 1]]])
    best = []
    for error, own in errors(logits, mask):
        values = []
        for order in itertools.permutations(range(5)):
            steps = [jaccard_loss(set(order[: i + 1]), own) - jaccard_loss(set(order[:i]), own) for i in range(5)]
            values.append(sum(error[pixel] * step for pixel, step in zip(order, steps, strict=True)))
        best.append(max(values))
    assert lovasz_softmax(logits, mask).item() == pytest.approx(sum(best) / 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_lovasz_of_a_sure_prediction_is_one_minus_iou(seed: int) -> None:
    _, mask = batch(seed)
    guess = torch.randint(0, K, mask.shape, generator=torch.Generator().manual_seed(seed + 50))
    sure = 200.0 * F.one_hot(guess, K).permute(0, 3, 1, 2).double()
    valid = mask != IGNORE
    losses = []
    for c in mask[valid].unique():
        a, b = (mask == c) & valid, (guess == c) & valid
        losses.append(1 - ((a & b).sum() / (a | b).sum()).item())
    assert lovasz_softmax(sure, mask).item() == pytest.approx(sum(losses) / len(losses), abs=1e-6)


def test_lovasz_is_zero_when_all_is_right_and_one_when_all_is_wrong() -> None:
    _, mask = batch()
    labels = mask.clamp(min=0)
    right = 200.0 * F.one_hot(labels, K).permute(0, 3, 1, 2).double()
    assert lovasz_softmax(right, mask).item() == pytest.approx(0, abs=1e-12)
    assert lovasz_softmax(right.roll(1, dims=1), mask).item() == pytest.approx(1, abs=1e-12)


def test_lovasz_averages_only_over_classes_of_the_mask() -> None:
    logits = torch.zeros(1, 5, 1, 4, dtype=torch.float64)
    mask = torch.ones(1, 1, 4, dtype=torch.int64)
    assert lovasz_softmax(logits, mask).item() == pytest.approx(1 - 1 / 5)


def test_lovasz_can_be_followed_downhill() -> None:
    logits, mask = batch()
    logits.requires_grad_()
    step = torch.optim.SGD([logits], lr=5.0)
    start = lovasz_softmax(logits, mask).item()
    for _ in range(200):
        step.zero_grad()
        lovasz_softmax(logits, mask).backward()
        step.step()
    assert lovasz_softmax(logits, mask).item() < 0.05 < start


if __name__ == "__main__":
    process(int(sys.argv[1]), Path(sys.argv[2]))
