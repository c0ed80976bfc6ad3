"""The precision of a training: what `auto` means, that a resumed run keeps it, and optimisers in one kernel."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foveate.engine import precision
from foveate.engine.fields import override, restore, to_json
from foveate.engine.optim import make_optimizer
from foveate.engine.precision import remark, resolve_precision, with_earlier_precision
from foveate.engine.recipe import Optim, Recipe
from foveate.engine.run import RunFolder
from foveate.engine.train import train_recipe
from foveate.errors import ConfigError
from foveate.models.semantic.fcn import FCN

Tiny = Callable[..., Recipe]
CPU = torch.device("cpu")


def test_auto_is_bf16_only_where_it_was_measured(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx2", "avx512_bf16"}))
    assert resolve_precision(tiny()).precision == "float32"
    monkeypatch.setattr(precision, "MEASURED", {"fcn8s_pasture": ("amx_bf16",)})
    assert resolve_precision(tiny()).precision == "float32"  # on another kind of CPU
    monkeypatch.setattr(precision, "MEASURED", {"fcn8s_pasture": ("amx_bf16", "avx512_bf16")})
    assert resolve_precision(tiny()).precision == "bf16"
    assert resolve_precision(dataclasses.replace(tiny(), name="other")).precision == "float32"
    assert resolve_precision(tiny(precision="float32")).precision == "float32"  # what was asked for stays
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, expected in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert resolve_precision(dataclasses.replace(tiny(), name="other")).precision == expected


def test_flags_are_those_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu amx_bf16 sse\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    monkeypatch.setattr(precision, "Path", lambda name: file)
    assert precision.cpu_flags() == {"fpu", "amx_bf16", "sse"}
    file.unlink()
    assert precision.cpu_flags() == frozenset()


def test_emulated_precision_is_said(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"avx2"}))
    assert remark(tiny(precision="float32"), CPU) == ""
    assert "this CPU does not compute in bf16: float32 is rounded to it" in remark(tiny(precision="bf16"), CPU)
    assert remark(tiny(precision="bf16"), torch.device("cuda")) == ""
    monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert remark(tiny(precision="bf16"), CPU) == ""
    assert "this CPU does not compute in float16" in remark(tiny(precision="float16"), CPU)


def test_a_resumed_run_keeps_what_auto_meant(tiny: Tiny, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert with_earlier_precision(tiny(), run).precision == "auto"  # nothing was started
    run.write_json("recipe.json", to_json(tiny(precision="bf16")))
    assert with_earlier_precision(tiny(), run).precision == "bf16"
    assert with_earlier_precision(tiny(precision="float32"), run).precision == "float32"
    with pytest.raises(ConfigError, match=r"was started with precision = bf16, and is resumed with float32"):
        train_recipe(tiny(precision="float32"), out=run.path, resume=True)


def test_older_names_are_todays(tiny: Tiny) -> None:
    assert tiny(precision="32").precision == "float32"
    assert override(tiny(), {"precision": 16}).precision == "float16"
    assert restore(tiny(), to_json(tiny()) | {"precision": "32"}).precision == "float32"
    with pytest.raises(ConfigError, match=r"--precision is 'fp8'; expected one of auto, float32, bf16, float16"):
        tiny(precision="fp8")


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_one_kernel_takes_the_same_steps(name: str) -> None:
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))]
    layers.append(copy.deepcopy(layers[0]))
    optim = Optim(name=name, lr=0.1, weight_decay=0.02)  # type: ignore[arg-type]
    optimizers = [make_optimizer(layer, optim, fused=fused) for layer, fused in zip(layers, (True, False), strict=True)]
    assert [bool(o.param_groups[0]["fused"]) for o in optimizers] == [True, False]
    x = torch.randn(16, 4)
    for _ in range(5):
        for layer, optimizer in zip(layers, optimizers, strict=True):
            optimizer.zero_grad()
            layer(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(*(layer.parameters() for layer in layers), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_the_validation_loss_is_in_the_precision_of_training(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    original = FCN.loss

    def spy(self: FCN, batch: Any) -> dict[str, torch.Tensor]:
        seen.append((self.training, torch.is_autocast_enabled("cpu")))
        return original(self, batch)

    monkeypatch.setattr(FCN, "loss", spy)
    for precision_, expected in (("bf16", True), ("float32", False)):
        seen.clear()
        train_recipe(tiny(precision=precision_, epochs=1), out=tmp_path / precision_)
        assert set(seen) == {(True, expected), (False, expected)}
