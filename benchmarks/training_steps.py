"""Training steps a second: a recipe's step as Foveate takes it, in bf16, and as a plain loop takes it; by layer on demand.

    python benchmarks/training_steps.py [--recipes A,B=FOLDER] [--layers] [--rounds N] [--threads N] [--json FILE]

A step is loss, backward pass, clipping and optimiser, on one batch of the recipe's own first epoch. The plain loop has the
same model and batch in torch's usual memory order, with torch's optimiser as it is called by default. "channels_last" is
the plain loop in that order, so that it can be told from the optimiser; "as trained" adds the fused optimiser; "bf16" is the
same under autocast. The losses of the first step must agree: within 1e-3 of it in float32, and within 5 % in bf16, else
the script stops. A recipe whose data set is not generated needs its folder: `draw_mnist=FOLDER`.

--layers prints one more table a recipe: its convolutions by kind, forward and backward pass of each alone, at the sizes
that the batch gives them, in both memory orders and in bf16.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish

import torch  # isort: skip
from torch import Tensor, nn

from foveate.engine.optim import make_optimizer
from foveate.engine.prepare import prepare
from foveate.engine.recipe import Recipe
from foveate.ops.layout import channels_last
from foveate.recipes import resolve

RECIPES = "fcn8s_pasture,recurrent_cnn_pasture,inception_v4_pasture,show_attend_tell_pasture"
PLAIN, LAYOUT, OURS, BF16 = "plain loop", "... in channels_last", "as trained", "... in bf16"
AGREE = {LAYOUT: 1e-3, OURS: 1e-3, BF16: 0.05}  # largest difference of the first loss, as a share


def opened(name: str, data: Path | None) -> Recipe:
    """A recipe with as little data as one batch needs, where its data is generated."""
    recipe = resolve(name, data=data)
    few: dict[str, Any] = {"train": recipe.batch_size, "val": 10, "test": 1}
    if recipe.data is not None and all(hasattr(recipe.data, field) for field in few):
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **few))
    return recipe


class Loop:
    """One way to take steps on a batch. kind: one of the contenders."""

    def __init__(self, kind: str, model: nn.Module, batch: Any, recipe: Recipe) -> None:
        self.kind, self.recipe = kind, recipe
        self.model = copy.deepcopy(model).train()
        ordered = channels_last if kind != PLAIN else contiguous
        self.model = ordered(self.model)
        order = torch.channels_last if kind != PLAIN else torch.contiguous_format
        self.batch = {
            key: x.contiguous(memory_format=order) if isinstance(x, Tensor) and x.ndim == 4 else x
            for key, x in batch.items()
        }
        for name in recipe.freeze:
            self.model.get_submodule(name).eval().requires_grad_(False)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.model, recipe.optim, fused=kind in (OURS, BF16))

    def step(self) -> float:
        """One step; returns its loss."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.kind == BF16):
            loss = self.model.loss(self.batch)["loss"]  # type: ignore[operator]
        self.optimizer.zero_grad()
        loss.backward()
        if self.recipe.optim.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optim.clip)
        self.optimizer.step()
        return float(loss.detach())


def contiguous(model: nn.Module) -> nn.Module:
    return model._apply(lambda x: x.contiguous() if x.ndim == 4 else x)


def timed(loop: Loop) -> Contender:
    def run() -> float:
        started = time.perf_counter()
        loop.step()
        return time.perf_counter() - started

    return run


def first_losses(loops: dict[str, Loop]) -> dict[str, float]:
    """The losses of the first step from the same weights and random numbers. Raises SystemExit if they differ."""
    found = {}
    for kind, loop in loops.items():
        torch.manual_seed(SEED)
        found[kind] = loop.step()
    for kind, allowed in AGREE.items():
        if abs(found[kind] - found[PLAIN]) > allowed * abs(found[PLAIN]):
            raise SystemExit(f"the first loss is {found[kind]:.5f} {kind} and {found[PLAIN]:.5f} in the plain loop")
    return found


# By layer


def kind_of(layer: nn.Module) -> str:
    """What a convolution is, as far as speed is concerned."""
    assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    size = "x".join(map(str, layer.kernel_size))
    if isinstance(layer, nn.ConvTranspose2d):
        return f"transposed {size}"
    if layer.groups == layer.in_channels and layer.groups > 1:
        return f"depthwise {size}"
    return f"{size}, 3 channels in" if layer.in_channels <= 4 else size


def layer_inputs(loop: Loop) -> list[tuple[nn.Module, Tensor, bool]]:
    """(layer, its input, True if gradients reach the input) of every convolution of one loss."""
    found: list[tuple[nn.Module, Tensor, bool]] = []

    def seen(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            found.append((layer, inputs[0].detach(), inputs[0].requires_grad))

    layers = [m for m in loop.model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    handles = [layer.register_forward_hook(seen) for layer in layers]
    loop.model.loss(loop.batch)  # type: ignore[operator]
    for handle in handles:
        handle.remove()
    return found


def layer_seconds(layer: nn.Module, x: Tensor, needs: bool, order: Any, bf16: bool) -> float:
    """Seconds of one forward and backward pass, the best of three."""
    own = copy.deepcopy(layer)._apply(lambda t: t.contiguous(memory_format=order) if t.ndim == 4 else t)
    given = x.contiguous(memory_format=order).requires_grad_(needs)
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = own(given)
        output.backward(torch.ones_like(output))
        best = min(best, time.perf_counter() - started)
    return best


def by_layer(loop: Loop) -> list[str]:
    """Milliseconds of the convolutions by kind: contiguous, channels_last, channels_last in bf16."""
    ways = ((torch.contiguous_format, False), (torch.channels_last, False), (torch.channels_last, True))
    sums: dict[str, list[float]] = {}
    for layer, x, needs in layer_inputs(loop):
        row = sums.setdefault(kind_of(layer), [0, 0.0, 0.0, 0.0])
        row[0] += 1
        for place, (order, bf16) in enumerate(ways, start=1):
            row[place] += layer_seconds(layer, x, needs, order, bf16) * 1e3
    lines = [f"{'convolutions':<24}{'layers':>8}{'contiguous':>12}{'channels_last':>15}{'bf16':>9}  ms"]
    for kind, (count, *times) in sorted(sums.items(), key=lambda item: -item[1][1]):
        lines.append(f"{kind:<24}{count:>8}{times[0]:>12.1f}{times[1]:>15.1f}{times[2]:>9.1f}")
    return lines


def run_recipe(name: str, folder: str, rounds: int, layers: bool, report: Report) -> None:
    recipe = opened(name, Path(folder) if folder else None)
    prepared = prepare(recipe)
    batch = next(iter(prepared.batches().loader))
    kinds = (PLAIN, LAYOUT, OURS, BF16)
    loops = {kind: Loop(kind, prepared.model, batch, prepared.recipe) for kind in kinds}
    losses = first_losses(loops)
    runs: dict[str, Callable[[], float | None]] = {kind: timed(loop) for kind, loop in loops.items()}
    table = compare(f"{name}, a step of {recipe.batch_size}", "ms", interleave(runs, rounds), PLAIN, scale=1e3)
    report.tables.append(table)
    speeds = ", ".join(f"{row.name} {1e3 / row.median:.2f}" for row in table.rows)
    report.notes.append(f"{name}: steps a second: {speeds}; first loss {losses[PLAIN]:.4f}, in bf16 {losses[BF16]:.4f}")
    ratio = table.row(OURS).relative
    report.targets.append(Target(f"{name}: a step as trained takes no longer than the plain loop's", ratio, ratio <= 1))
    if layers:
        print("\n" + name)
        print("\n".join(by_layer(loops[OURS])), flush=True)


def main() -> None:
    parser = arguments(__doc__ or "", rounds=12)
    help_text = f"recipes, with commas between them, and NAME=FOLDER where data are needed (default {RECIPES})"
    parser.add_argument("--recipes", default=RECIPES, help=help_text)
    parser.add_argument("--layers", action="store_true", help="also print the convolutions of each by kind")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = Report("training_steps", {"rounds": options.rounds})
    for item in options.recipes.split(","):
        name, _, folder = item.partition("=")
        run_recipe(name, folder, options.rounds, options.layers, report)
    publish(report, options.json)


if __name__ == "__main__":
    main()
