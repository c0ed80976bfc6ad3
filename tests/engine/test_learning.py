"""The steps of a training against a bare loop, hand-computed numbers, and what must not move."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from foveate.engine.learner import Learner
from foveate.engine.loading import EpochBatches
from foveate.engine.optim import is_bias, lr_factor, make_optimizer
from foveate.engine.prepare import build_model
from foveate.engine.recipe import Optim, Recipe
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError, DataError
from foveate.recipes import resolve
from foveate.records import IGNORE, ClassTable, traits_of
from foveate.registry import create_model
from foveate.tasks import create_task
from foveate.tasks.semantic.task import class_shares, class_weights

Tiny = Callable[..., Recipe]
SGD = {
    "optim__name": "sgd",
    "optim__lr": 0.05,
    "optim__weight_decay": 0.01,
    "freeze_norm": True,
    "augment__flip": False,
}


def fresh(recipe: Recipe) -> nn.Module:
    data = recipe.data.open("train")
    return build_model(recipe, {"classes": data.classes}, data)


def last_weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "last" / "model.safetensors")


def largest_difference(run: Path, model: nn.Module) -> float:
    saved = last_weights(run)
    return max(float((saved[k] - v).abs().max()) for k, v in model.state_dict().items() if v.is_floating_point())


def bare_loop(recipe: Recipe, groups: Sequence[int], factors: Sequence[float]) -> nn.Module:
    """One epoch of SGD, written out. groups: pictures in each step; factors: of the learning rate at each step."""
    data, model, optim = recipe.data.open("train"), fresh(recipe), recipe.optim
    task = create_task("semantic", {"classes": data.classes}, model.preprocessing)
    order = [index for batch in EpochBatches(len(data), recipe.batch_size, recipe.seed) for _, index in batch]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False).eval()
    moments: dict[str, Tensor] = {}
    for size, factor in zip(groups, factors, strict=True):
        taken, order = order[:size], order[size:]
        model.zero_grad()
        model.loss(task.collate([data[i] for i in taken]))["loss"].backward()  # type: ignore[operator]
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in trained.values()))  # type: ignore[union-attr]
        shrink = min(1.0, optim.clip / norm) if optim.clip else 1.0
        for name, p in trained.items():
            assert p.grad is not None
            lr = optim.lr * factor * (optim.backbone_lr if name.startswith("backbone.") else 1)
            lr *= optim.bias_lr if name.endswith(".bias") else 1
            step = p.grad * shrink + (optim.weight_decay * p.detach() if p.ndim > 1 else 0)
            moments[name] = optim.momentum * moments[name] + step if name in moments else step
            p.data -= lr * moments[name]
    return model


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_an_epoch_is_the_bare_loop(tiny: Tiny, tmp_path: Path, clip: float) -> None:
    recipe = tiny(
        epochs=1, optim__clip=clip, optim__backbone_lr=0.5, optim__bias_lr=2.0, optim__warmup=0.0, batch_size=2, **SGD
    )
    run = train_recipe(recipe, out=tmp_path / "run")
    factors = [0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(4)]
    expected = bare_loop(recipe, (2, 2, 2, 2), factors)
    assert largest_difference(run, expected) < 2e-6
    assert largest_difference(run, fresh(recipe)) > 1e-3


def test_accumulation_is_the_big_batch(tiny: Tiny, tmp_path: Path) -> None:
    big = train_recipe(tiny(batch_size=8, **SGD), out=tmp_path / "big")
    parts = train_recipe(tiny(batch_size=2, accumulate=4, **SGD), out=tmp_path / "parts")
    expected = last_weights(big)
    for name, tensor in last_weights(parts).items():
        assert torch.allclose(tensor, expected[name], atol=2e-6), name


def test_batches_left_over_at_the_end_weigh_what_they_should(tiny: Tiny, tmp_path: Path) -> None:
    """Three batches in steps of two: the second step is the third batch's whole gradient, not half of it."""
    recipe = tiny(data__train=6, batch_size=2, accumulate=2, epochs=1, optim__clip=0.0, optim__schedule="constant",
                  optim__warmup=0.0, **SGD)  # fmt: skip
    run = train_recipe(recipe, out=tmp_path / "run")
    assert largest_difference(run, bare_loop(recipe, (4, 2), (1, 1))) < 2e-6


def test_averaged_weights_are_those_computed_by_hand(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(epochs=2, batch_size=2, ema=0.3, optim__lr=0.01)
    expected = {k: v.double() for k, v in fresh(recipe).state_dict().items()}
    original, steps = Learner.optimizer_step, 0

    def spy(self: Learner, *arguments: Any, **more: Any) -> None:
        nonlocal steps
        original(self, *arguments, **more)
        steps += 1
        decay = min(0.3, (1 + steps) / (10 + steps))  # 2/11, 3/12, 4/13, then 0.3
        for name, weight in self.model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * weight.double()
            if not weight.is_floating_point():  # a counter is not averaged
                expected[name] = weight.double()

    monkeypatch.setattr(Learner, "optimizer_step", spy)
    run = train_recipe(recipe, out=tmp_path / "run")
    assert steps == 8
    saved = last_weights(run)
    for name, tensor in expected.items():
        assert torch.allclose(saved[name].double(), tensor, atol=1e-6), name
    assert int(saved["backbone.net.bn1.num_batches_tracked"]) == 8


def test_without_averaging_the_last_weights_are_kept(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    original = Learner.take_losses

    def spy(self: Learner) -> dict[str, float]:
        seen.append(copy.deepcopy(self.model.state_dict()))
        return original(self)

    monkeypatch.setattr(Learner, "take_losses", spy)
    saved = last_weights(train_recipe(tiny(), out=tmp_path / "run"))
    assert all(torch.equal(saved[name], tensor) for name, tensor in seen[-1].items())


def test_the_same_seed_gives_the_same_weights_and_another_others(tiny: Tiny, tmp_path: Path) -> None:
    fields = {"config__dropout": 0.3, "augment__crop": (32, 32), "epochs": 1}
    runs = {n: train_recipe(tiny(seed=n // 2, **fields), out=tmp_path / str(n)) for n in range(3)}
    first, again, other = (last_weights(runs[n]) for n in range(3))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["fc6.weight"], other["fc6.weight"])


# The learning rate and the parameters' groups


def test_the_schedule_has_the_values_of_its_formula() -> None:
    cosine = lr_factor(Optim(schedule="cosine", warmup=0.1), 100)
    assert [cosine(s) for s in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert cosine(55) == pytest.approx(0.5)
    assert cosine(100) == pytest.approx(0.0)
    assert cosine(40) == pytest.approx(0.75)  # a third of the way down: cos 60 degrees
    poly = lr_factor(Optim(schedule="poly", warmup=0.0), 100)
    assert [poly(s) for s in (0, 50, 90, 100)] == pytest.approx([1.0, 0.5358867, 0.1258925, 0.0])
    constant = lr_factor(Optim(schedule="constant", warmup=0.5), 10)
    assert [constant(s) for s in (0, 3, 4, 5, 10)] == pytest.approx([0.2, 0.8, 1.0, 1.0, 1.0])
    assert lr_factor(Optim(warmup=0.05), 3)(0) == 1.0  # too short to warm up
    step = lr_factor(Optim(schedule="step", step=0.45, warmup=0.0), 20)
    assert [step(i) for i in (0, 8, 9, 17, 18, 19)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    with pytest.raises(ConfigError, match=r"optim.step is 0.0; expected a share of all steps above 0"):
        Optim(schedule="step", step=0.0)


def test_rmsprop_is_graves_equations() -> None:
    """Three steps of one weight by hand; then the same after its state was stored."""
    weight, n, m, d, expected = nn.Parameter(torch.tensor([2.0], dtype=torch.float64)), 0.0, 0.0, 0.0, 2.0
    holder = nn.Module()
    holder.weight = weight
    optimizer = make_optimizer(holder, Optim(name="rmsprop", lr=0.1, momentum=0.5, weight_decay=0.0))
    for gradient in (0.3, -1.0, 0.02):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        n, m = 0.95 * n + 0.05 * gradient**2, 0.95 * m + 0.05 * gradient
        d = 0.5 * d - 0.1 * gradient / math.sqrt(n - m**2 + 1e-4)
        expected += d
        assert weight.item() == pytest.approx(expected, rel=1e-12)
        stored = copy.deepcopy(optimizer.state_dict())
        optimizer = make_optimizer(holder, Optim(name="rmsprop", lr=0.1, momentum=0.5, weight_decay=0.0))
        optimizer.load_state_dict(stored)


def test_the_schedule_spans_exactly_the_steps_of_the_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    original = Learner.optimizer_step

    def spy(self: Learner, epoch: int, batch: int, optimizer: Any, *more: Any, **named: Any) -> None:
        original(self, epoch, batch, optimizer, *more, **named)
        rates.append(optimizer.param_groups[-1]["lr"])  # what the step was taken with

    monkeypatch.setattr(Learner, "optimizer_step", spy)
    recipe = tiny(data__train=7, batch_size=2, accumulate=2, epochs=3, optim__lr=0.02, optim__warmup=0.34)
    run = train_recipe(recipe, out=tmp_path / "run")  # three batches an epoch, two steps
    expected = [0.01, 0.02] + [0.02 * 0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]
    assert rates == pytest.approx(expected)
    rows = (run / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr")
    assert [float(row.split(",")[column]) for row in rows[1:]] == pytest.approx(
        expected[1::2]
    )  # each epoch's last step


def test_parameters_are_grouped_by_rate_and_decay(tiny: Tiny) -> None:
    model = fresh(tiny())
    model.get_submodule("backbone.net.conv_stem").requires_grad_(False)
    optimizer = make_optimizer(model, Optim(lr=0.1, weight_decay=0.2, backbone_lr=0.5, bias_lr=2.0))
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    named = {name: found.get(id(p)) for name, p in model.named_parameters()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)
    assert named["fc6.weight"] == (0.1, 0.2)
    assert named["fc6.bias"] == (0.2, 0)
    assert named["score_pool.8.1.weight"] == (0.1, 0)  # a norm's scale
    assert named["score_pool.8.1.bias"] == (0.2, 0)
    assert named["backbone.net.blocks.0.0.conv.weight"] == (0.05, 0.2)
    assert named["backbone.net.bn1.weight"] == (0.05, 0)
    assert named["backbone.net.bn1.bias"] == (0.1, 0)
    assert [name for name, group in named.items() if group is None] == ["backbone.net.conv_stem.weight"]


def test_biases_are_known_by_every_name_that_they_have() -> None:
    sizes = {"backbone": "plain", "image_size": (32, 32), "hidden": 6, "vocabulary": 9, "num_answers": 3}
    model = create_model("ask_attend_answer", **sizes)
    optimizer = make_optimizer(model, Optim(lr=0.1, backbone_lr=0.5, bias_lr=2.0))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    doubled = {n for n, p in model.named_parameters() if not n.startswith("backbone") and rates[id(p)] == 0.2}
    assert doubled == {"A.b", "E.b", "E2.b", "b_Q", "W_P.bias"}
    assert is_bias("encoder.bias_hh_l0_reverse") and is_bias("bias")
    assert not any(is_bias(name) for name in ("A.W", "norm.weight", "backbone.weight", "deviations.output__bias"))


def test_the_recipe_chooses_the_optimiser(tiny: Tiny) -> None:
    sgd = make_optimizer(fresh(tiny()), Optim(name="sgd", momentum=0.7))
    assert isinstance(sgd, torch.optim.SGD)
    assert {group["momentum"] for group in sgd.param_groups} == {0.7}
    assert isinstance(make_optimizer(fresh(tiny()), Optim()), torch.optim.AdamW)


# What must not move


def test_frozen_modules_keep_weights_and_statistics_from_the_first_step_on(tiny: Tiny, tmp_path: Path) -> None:
    frozen = ("backbone.net.conv_stem", "backbone.net.bn1", "backbone.net.blocks.0")
    recipe = tiny(freeze=frozen, epochs=2, optim__lr=0.05)  # after a validation, too
    before = fresh(recipe).state_dict()
    after = last_weights(train_recipe(recipe, out=tmp_path / "run"))
    held = {name for name in before if name.startswith(tuple(f"{module}." for module in frozen))}
    assert len(held) > 10
    for name, tensor in before.items():
        if name in held:
            assert torch.equal(after[name], tensor), name
        elif name != "up.weight" and "num_batches" not in name:
            assert not torch.equal(after[name], tensor), name


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"config__lovasz": 0.5}, ["lovasz"]),
        ({"config__loss": "cross_entropy+dice"}, ["cross_entropy+dice"]),
        ({"config__loss": "tversky", "config__lovasz": 0.5}, ["tversky", "lovasz"]),
        ({"config__loss": "focal"}, []),  # a sum over pixels
    ],
)
def test_losses_that_compare_the_samples_of_a_process_are_known(
    tiny: Tiny, changes: dict[str, Any], names: list[str]
) -> None:
    assert list(traits_of(fresh(tiny(**{"config__lovasz": 0.0, **changes}))).losses_of_a_set) == names


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_frozen_norms_keep_everything_and_the_rest_learns(tiny: Tiny, tmp_path: Path, ema: float) -> None:
    recipe = tiny(freeze_norm=True, ema=ema, epochs=2, optim__lr=0.05)
    model = fresh(recipe)
    learners = [Learner(copy.deepcopy(model), one, 1) for one in (recipe, tiny())]
    assert [learner.normalises for learner in learners] == [False, True]
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    after = last_weights(train_recipe(recipe, out=tmp_path / "run"))
    for name, tensor in model.state_dict().items():
        if name.rpartition(".")[0] in norms:
            assert torch.equal(after[name], tensor), name
    assert not torch.equal(after["fc6.weight"], model.state_dict()["fc6.weight"])


def test_an_unknown_module_to_freeze_names_the_nearest(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown module to freeze 'backbone.net.conv_stm'; the nearest is 'backbone"
    ):
        train_recipe(tiny(freeze=("backbone.net.conv_stm",)), out=tmp_path / "run")


# Class weights


def masks(*rows: list[int]) -> list[Any]:
    return [{"mask": torch.tensor([row], dtype=torch.uint8)} for row in rows]


def test_class_weights_are_those_computed_by_hand() -> None:
    shares = class_shares(masks([0, 0, 0, 0, 1, 1, 255, 255], [0, 0, 0, 0, 1, 3, 255, 255]), num_classes=5)
    assert shares.tolist() == pytest.approx([8 / 12, 3 / 12, 0, 1 / 12, 0])
    assert class_weights(shares, "median").tolist() == pytest.approx([0.375, 1, 0, 3, 0])  # median share: 3/12
    logs = [1 / math.log(1.02 + share) for share in (8 / 12, 3 / 12, 1 / 12)]
    assert class_weights(shares, "log").tolist() == pytest.approx([logs[0], logs[1], 0, logs[2], 0])
    two = class_weights(torch.tensor([0.8, 0.2], dtype=torch.float64), "median")
    assert two.tolist() == pytest.approx([0.625, 2.5])  # between the two: 0.5


def test_nothing_labelled_is_an_error() -> None:
    with pytest.raises(DataError, match="no labelled pixel in the training images"):
        class_shares(masks([255, 255]), num_classes=2)


def test_class_weights_reach_the_loss(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = Learner.training_step

    def spy(self: Learner, batch: Any, index: int) -> Tensor:
        seen.append(batch)
        return original(self, batch, index)

    monkeypatch.setattr(Learner, "training_step", spy)
    recipe = tiny(class_weights="median", epochs=1)
    train_recipe(recipe, out=tmp_path / "run")
    data = recipe.data.open("train")
    pixels = torch.stack([data[i]["mask"].as_subclass(Tensor) for i in range(len(data))]).flatten().long()
    shares = torch.bincount(pixels, minlength=9).double() / len(pixels)
    expected = [float(shares[shares > 0].quantile(0.5) / s) if s else 0.0 for s in shares]
    assert seen[0]["class_weights"].tolist() == pytest.approx(expected)
    # The loss of the first batch is the weighted mean over its pixels.
    model = fresh(recipe)
    logits = model(seen[0]["image"]).logits  # in training mode, as then
    log_p = logits.log_softmax(1).gather(1, seen[0]["mask"][:, None]).squeeze(1)
    weight = torch.tensor(expected)[seen[0]["mask"]]
    loss = model.loss(seen[0])["loss"].detach()  # type: ignore[operator]
    assert float(loss) == pytest.approx(float(-(weight * log_p.detach()).sum() / weight.sum()), rel=1e-4)


def test_the_ignored_value_is_never_learned_from(tiny: Tiny) -> None:
    data = tiny().data.open("train")
    classes = dataclasses.replace(data.classes, ignore_index=200)
    task = create_task("semantic", {"classes": classes}, fresh(tiny()).preprocessing)
    sample = dict(data[0])
    sample["mask"] = sample["mask"].clone()
    sample["mask"][:16] = 200
    small = dict(data[1])
    small["image"], small["mask"] = small["image"][:, :20, :24], small["mask"][:20, :24]
    batch = task.collate([sample, small])
    assert (batch["mask"][0, :16] == IGNORE).all()
    assert (batch["mask"][0, 16:] >= 0).all()
    assert (batch["mask"][1, 20:] == IGNORE).all()  # and what a smaller picture is padded with
    assert (batch["mask"][1, :, 24:] == IGNORE).all()
    assert (batch["mask"][1, :20, :24] == small["mask"]).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optim__lr": 0.0}, "optim.lr 0.0 must be above 0"),
        ({"optim__momentum": 1.0}, "optim.momentum is 1.0; expected 0 or more and below 1"),
        ({"optim__clip": -1.0}, "optim.clip is -1.0; expected 0 or more"),
        ({"epochs": 0}, "epochs is 0; expected 1 or more"),
        ({"workers": -2}, "workers is -2; expected -1 or more"),
        ({"devices": -1}, "devices is -1; expected 0 or more"),
        ({"ema": 1.0}, "ema is 1.0; expected a decay in 0..1"),
    ],
)
def test_values_that_make_no_sense_are_refused(tiny: Tiny, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny(**fields)


def test_channels_that_the_data_does_not_have_are_refused_and_a_recipes_own_give_way(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"config\.in_channels is 5, but the data has 3; leave it out"):
        fresh(tiny(config__in_channels=5))
    recipe = resolve("spatial_transformer")
    assert recipe.config.in_channels == 3
    tables = {"classes": ClassTable(("a", "b"))}
    assert build_model(recipe, tables, SimpleNamespace(channels=1)).config.in_channels == 1
    asked = dataclasses.replace(recipe, config=dataclasses.replace(recipe.config, in_channels=1))
    with pytest.raises(ConfigError, match=r"config\.in_channels is 1, but the data has 3; leave it out"):
        build_model(asked, tables, SimpleNamespace(channels=3))


def test_parts_of_a_loss_in_half_precision_are_summed_in_full(tiny: Tiny) -> None:
    """A bfloat16 sum of ones stops at 256."""
    learner = Learner(fresh(tiny()), tiny(), 300)
    learner._trainer = SimpleNamespace(world_size=1, num_training_batches=300)  # type: ignore[assignment]
    one = torch.ones((), dtype=torch.bfloat16)
    learner.model.loss = lambda batch: {"loss": one.float(), "part": one}  # type: ignore[assignment]
    for index in range(300):
        learner.training_step({"names": ["x"]}, index)
    assert learner.take_losses() == {"loss": 1.0, "part": 1.0}
