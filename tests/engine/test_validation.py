"""The validation loss, and the epoch that is kept and waited for, in whole trainings."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from foveate.datasets.pasture import Pasture
from foveate.engine import callbacks
from foveate.engine.callbacks import EpochEnd
from foveate.engine.fields import override
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.models.semantic.fcn import FCN
from foveate.recipes import resolve
from foveate.store import load_model
from foveate.tasks import create_task
from foveate.tasks.captioning.task import CaptionPairs
from foveate.tasks.semantic.task import SemanticTask

Tiny = Callable[..., Recipe]
Script = Callable[..., None]
NAN = math.nan


def epoch_of(folder: Path, weights: list[dict[str, torch.Tensor]]) -> int:
    """The epoch, from 1, whose weights a model folder holds."""
    kept = load_file(folder / "model.safetensors")
    return 1 + next(i for i, own in enumerate(weights) if all(torch.equal(own[name], kept[name]) for name in kept))


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The weights after each epoch, as they are written into last/."""
    seen: list[dict[str, torch.Tensor]] = []
    original = callbacks.save_model

    def spy(folder: Path, model: torch.nn.Module, *more: object) -> None:
        original(folder, model, *more)  # type: ignore[arg-type]
        if folder.name == "last":
            seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    monkeypatch.setattr(callbacks, "save_model", spy)
    return seen


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_validation_loss_is_the_mean_of_the_kept_models_loss(tiny: Tiny, tmp_path: Path, ema: float) -> None:
    """In evaluation mode, without augmentation: dropout and random crops would both show."""
    recipe = tiny(ema=ema, config__dropout=0.5, optim__lr=0.02, augment__crop=(32, 32), augment__rotate=30.0)
    run = RunFolder(train_recipe(recipe, out=tmp_path / "run"))
    loaded = load_model(run.last)
    model = loaded.model.eval()
    task = create_task("semantic", loaded.tables, loaded.preprocessing)
    val = recipe.data.open("val")
    with torch.inference_mode():
        losses = [float(model.loss(task.collate([val[i]]))["loss"]) for i in range(3)]  # type: ignore[operator]
        # The same once more, from the logits.
        for i, loss in enumerate(losses):
            batch = task.collate([val[i]])
            log_p = model(batch["image"]).logits.log_softmax(1)
            assert loss == pytest.approx(float(-log_p.gather(1, batch["mask"][:, None]).mean()), rel=1e-5)
    assert run.history()[-1]["val_loss"] == pytest.approx(sum(losses) / 3, rel=1e-6)
    assert len(set(losses)) == 3


def test_a_last_smaller_batch_weighs_as_many_samples_as_it_has(tmp_path: Path) -> None:
    """Captions are batched as in training: each batch counts by its pairs."""
    recipe = override(
        resolve("show_and_tell_pasture"),
        {"config.backbone": "test_efficientnet", "config.pretrained": False, "epochs": 1, "batch_size": 4,
         "features": False, "text.least": 1, "freeze": (), "workers": 0},
    )  # fmt: skip
    data = Pasture(height=32, width=32, train=4, val=3, test=0, captions=2)  # six pairs: batches of four and of two
    run = RunFolder(train_recipe(dataclasses.replace(recipe, data=data), out=tmp_path / "run"))
    loaded = load_model(run.last)
    task = create_task("captioning", loaded.tables, loaded.preprocessing)
    pairs = CaptionPairs(data.open("val", "captioning"), loaded.tables["text"])
    assert len(pairs) == 6
    with torch.inference_mode():
        model = loaded.model.eval()
        first, second = (
            float(model.loss(task.collate([pairs[i] for i in part]))["loss"])  # type: ignore[operator]
            for part in (range(4), range(4, 6))
        )
    assert first != second
    assert run.history()[-1]["val_loss"] == pytest.approx((4 * first + 2 * second) / 6, rel=1e-5)


@pytest.mark.parametrize("score", [0.25, NAN])
def test_a_score_that_cannot_rank_leaves_it_to_the_validation_loss(
    tiny: Tiny, tmp_path: Path, scripted: Script, weights: list[dict[str, torch.Tensor]],
    capsys: pytest.CaptureFixture[str], score: float,
) -> None:  # fmt: skip
    scripted([score] * 4, [2.0, 0.5, 1.0, 0.75])
    run = RunFolder(train_recipe(tiny(epochs=4, optim__lr=0.02), out=tmp_path / "run"))
    assert [row["val_loss"] for row in run.history()] == [2.0, 0.5, 1.0, 0.75]
    assert (epoch_of(run.best, weights), epoch_of(run.last, weights)) == (2, 4)
    shown = "nan" if math.isnan(score) else "0.2500"
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"kept: epoch 2 of 4, by validation loss: 0.5000 (mean_iou is {shown} in every epoch and cannot rank them)"
    )


def test_a_score_that_ranks_is_not_overruled(
    tiny: Tiny, tmp_path: Path, scripted: Script, weights: list[dict[str, torch.Tensor]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    scripted([NAN, 0.5, 0.25], [0.5, 2.0, 1.0])
    run = RunFolder(train_recipe(tiny(epochs=3, optim__lr=0.02), out=tmp_path / "run"))
    assert epoch_of(run.best, weights) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "kept: epoch 2 of 3, by mean_iou: 0.5000"


@pytest.mark.parametrize(
    ("scores", "losses", "last"),
    [
        pytest.param([0.5, 0.4, 0.4], [3.0, 2.0, 1.0], 3, id="a falling loss does not excuse a lower score"),
        pytest.param([0.5, 0.5, 0.5, 0.5], [3.0, 2.0, 2.5, 2.25], 4, id="equal scores: waits for a lower loss"),
        pytest.param([NAN, NAN, NAN], [1.0, 2.0, 3.0], 3, id="no score: waits for a lower loss"),
        pytest.param([0.1, NAN, 0.2, 0.1, 0.1], [1.0, 2.0, 3.0, 1.0, 1.0], 5, id="a later rise starts the wait anew"),
    ],
)
def test_early_stopping_follows_the_ranking(
    tiny: Tiny, tmp_path: Path, scripted: Script, scores: list[float], losses: list[float], last: int
) -> None:
    scripted(scores, losses)  # a validation more than these would fail
    run = RunFolder(train_recipe(tiny(epochs=9, early_stop=2), out=tmp_path / "run"))
    assert [row["epoch"] for row in run.history()] == list(range(1, last + 1))


@pytest.mark.parametrize(("own", "sizes"), [(0, [4, 1]), (1, [1] * 5), (2, [2, 2, 1])])
def test_the_validation_loss_has_batches_of_the_familys_size_of_samples_that_are_bounded(
    tmp_path: Path, own: int, sizes: list[int]
) -> None:
    """Losses of 0, 0.5, 1, 3 and 4, of which 3 is bounded to 1.5; each batch weighs its samples.

    A family without a size of its own has that of training.
    """
    batches: list[int] = []

    class Model:
        def loss(self, batch: Any) -> Any:
            batches.append(len(batch["values"]))
            return {"loss": torch.tensor(sum(batch["values"]) / len(batch["values"]))}

    task: Any = SimpleNamespace(
        monitor="x", greater_is_better=True, loss_batch_size=own,
        validation_sample=lambda one: one / 2 if one == 3 else one, collate=lambda samples: {"values": samples},
    )  # fmt: skip
    recipe = dataclasses.replace(resolve("fcn8s_pasture"), batch_size=4)
    end = EpochEnd(RunFolder(tmp_path), recipe, task, [], [0.0, 0.5, 1.0, 3.0, 4.0], [], None)
    trainer: Any = SimpleNamespace(
        global_rank=0, world_size=1, precision_plugin=SimpleNamespace(forward_context=contextlib.nullcontext)
    )
    learner: Any = SimpleNamespace(device="cpu", transfer_batch_to_device=lambda batch, *_: batch)
    assert end._validation_loss(trainer, learner, Model()) == {"val_loss": pytest.approx(7 / 5)}
    assert batches == sizes


def test_a_loss_that_draws_has_one_value_in_every_epoch_and_for_any_number_of_processes(tmp_path: Path) -> None:
    drawn: dict[float, float] = {}

    class Model:
        def loss(self, batch: Any) -> Any:
            drawn[batch["values"][0]] = float(torch.rand(()))
            return {"loss": torch.tensor(drawn[batch["values"][0]])}

    task: Any = SimpleNamespace(
        monitor="x", greater_is_better=True, loss_batch_size=2,
        validation_sample=lambda one: one, collate=lambda samples: {"values": samples},
    )  # fmt: skip

    def measured(rank: int, world: int, seed: int = 0) -> dict[float, float]:
        recipe = dataclasses.replace(resolve("fcn8s_pasture"), batch_size=2, seed=seed)
        end = EpochEnd(RunFolder(tmp_path), recipe, task, [], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [], None)
        plugin = SimpleNamespace(forward_context=contextlib.nullcontext)
        trainer: Any = SimpleNamespace(global_rank=rank, world_size=world, precision_plugin=plugin)
        learner: Any = SimpleNamespace(device="cpu", transfer_batch_to_device=lambda batch, *_: batch)
        drawn.clear()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("torch.distributed.all_reduce", lambda total: None)
            end._validation_loss(trainer, learner, Model())
        return dict(drawn)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    alone = measured(0, 1)
    assert torch.equal(torch.get_rng_state(), before), "the training's own numbers go on as they were"
    assert list(alone) == [0, 2, 4, 6] and len(set(alone.values())) == 4
    torch.rand(3)  # another epoch
    assert measured(0, 1) == measured(0, 2) | measured(1, 2) == alone
    assert measured(0, 1, seed=1)[0] != alone[0]


def test_what_a_validation_chose_stays_in_averaged_weights_until_the_next(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the score threshold of detectors: of the average and of the weights that it follows."""

    def build(self: FCN, config: Any) -> None:
        original(self, config)
        self.register_buffer("chosen", torch.tensor(0.5))

    saved: list[float] = []
    original = FCN.__init__
    monkeypatch.setattr(FCN, "__init__", build)
    monkeypatch.setattr(SemanticTask, "adopt", lambda self, model, scores: model.chosen.fill_(0.25))
    monkeypatch.setattr(callbacks, "save_model", lambda folder, model, *others: saved.append(float(model.chosen)))
    train_recipe(tiny(epochs=4, validate_every=2, ema=0.5), out=tmp_path / "run")
    assert saved[0] == 0.5 and saved[1:] == [0.25] * len(saved[1:])
