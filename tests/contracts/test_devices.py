"""Models and predictions on another device than the CPU: the same numbers, and no tensor left behind."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from second_device import DEVICE, moved, second_device
from untrained_models import BUILDERS

import foveate
from foveate.store import save_model

FAMILIES = (
    "captioners", "classifiers", "generating_models", "instance_models", "question_models", "semantic_models",
    "speech_models", "translators", "video_models",
)  # fmt: skip
CONTRACTS = {name: importlib.import_module(f"test_{name}") for name in FAMILIES}
MODELS = [(name, kind) for name, one in CONTRACTS.items() for kind in getattr(one, "SMALL", None) or one.NAMES]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))


def test_tensors_of_two_devices_do_not_meet() -> None:
    with second_device():
        x = moved(torch.tensor([1.0, 2.0]))
        for there in (x + 1, x + torch.tensor(1.0), torch.ones(2, device=x.device), x.new_tensor([1.0]), x[[0]]):
            assert there.device == DEVICE
        assert x.cpu().device == torch.device("cpu") and x.tolist() == [1.0, 2.0]
        assert x.mul_(2) is x and x.sum().item() == 6.0
        with pytest.raises(RuntimeError, match=r"of tensors on two devices: \(2,\) on cpu:1, \(2,\) on cpu"):
            x + torch.ones(2)
        with pytest.raises(TypeError, match=r"call \.cpu"):
            np.asarray(x)


@pytest.mark.parametrize(("family", "kind"), MODELS, ids=lambda part: part if isinstance(part, str) else "-".join(part))
def test_losses_and_gradients_are_those_of_the_cpu(family: str, kind: Any) -> None:
    contract = CONTRACTS[family]
    model = contract.build(kind).train()
    data = contract.batch(*[model] * ("model" in inspect.signature(contract.batch).parameters))
    there = copy.deepcopy(model)
    torch.manual_seed(3)
    loss = model.loss(data)["loss"]
    loss.backward()
    with second_device():
        torch.manual_seed(3)
        other = moved(there).loss(moved(data))["loss"]
        other.backward()
        assert other.device == DEVICE
        assert other.item() == pytest.approx(loss.item(), rel=1e-5)
        for ours, theirs in zip(model.parameters(), there.parameters(), strict=True):
            assert (ours.grad is None) == (theirs.grad is None)
            if ours.grad is not None:
                torch.testing.assert_close(theirs.grad.cpu(), ours.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", BUILDERS)
def test_predictions_are_those_of_the_cpu(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, name, tables, task = BUILDERS[family]()
    save_model(tmp_path / family, model.eval(), name, tables, task)
    predictor = foveate.load(tmp_path / family)

    def answered() -> list[Any]:
        if family in ("handwriting", "drawing"):
            options = {"text": "ab"} if family == "handwriting" else {}
            return predictor.generate(2, seed=1, **options).predictions
        return [predictor.predict(_input(family))]

    here = answered()
    with second_device():
        moved(predictor.runner)
        there = answered()
    assert len(here) == len(there) > 0
    for ours, theirs in zip(here, there, strict=True):
        _assert_equal(ours, theirs)


def test_scores_with_drawn_noise_are_those_of_the_cpu() -> None:
    def scored(draw: Any, windows: Any, image: torch.Tensor) -> list[torch.Tensor]:
        bound = draw.importance_bound(image[:, :1, :8, :10], 3, torch.Generator().manual_seed(1))
        return [bound, *windows.compare(image, torch.Generator().manual_seed(1))]

    torch.manual_seed(0)
    models = [BUILDERS[family]()[0].eval() for family in ("drawing", "colocalisation")]
    image = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        here = scored(*models, image)
        with second_device():
            there = scored(*map(moved, models), moved(image))
            for ours, theirs in zip(here, there, strict=True):
                assert theirs.device == DEVICE
                torch.testing.assert_close(theirs.cpu(), ours)


def _input(family: str) -> Any:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    if family == "speech":
        file = io.BytesIO()
        soundfile.write(file, 0.1 * rng.standard_normal(8000), 8000, format="WAV")
        return file.getvalue()
    if family == "video":
        return rng.integers(0, 256, (6, 40, 56, 3), dtype=np.uint8)
    return {"translation": "s1 s2 s3", "questions": {"image": image, "question": "what is this"}}.get(family, image)


def _assert_equal(ours: Any, theirs: Any) -> None:
    """Equal records, sequences and mappings of numbers, which lie on the CPU."""
    assert type(ours) is type(theirs)
    if dataclasses.is_dataclass(ours):
        for field in dataclasses.fields(ours):
            if field.compare:
                _assert_equal(getattr(ours, field.name), getattr(theirs, field.name))
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            _assert_equal(one, other)
    elif isinstance(ours, dict):
        _assert_equal(list(ours.items()), list(theirs.items()))
    elif isinstance(ours, (torch.Tensor, np.ndarray, float)):
        np.testing.assert_allclose(np.asarray(theirs), np.asarray(ours), rtol=1e-4, atol=1e-5)
    else:
        assert ours == theirs
