"""Exported video models say what the models say, of clips of any number of frames, and in batches of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import foveate
from foveate.errors import ModelError
from foveate.export import export_onnx
from foveate.onnx import sibling_path
from foveate.predictor import Predictor
from foveate.records import Clip
from foveate.store import save_model
from foveate.text import END, SPECIALS, Vocabulary

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TABLE = Vocabulary((*SPECIALS, "a", "cow", "walks", "left", "then", "bird"))
SIDE = 16
KINDS: dict[str, dict[str, Any]] = {
    "frames": {
        "motion": "convolution", "motion_size": 4, "order": "lstm", "encoder": 5, "backbone": "plain", "stride": 8,
    },
    "features": {"features": 6, "motion": "difference", "order": "time", "normalize": True, "start_token": True},
}  # fmt: skip


def build(kind: str) -> nn.Module:
    """A model whose weights are large enough that each clip gets a caption of its own."""
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "vocabulary": len(TABLE),
        "image_size": (SIDE, SIDE),
        "frames": 6,
        "embed": 8,
        "hidden": 10,
    }
    model: Any = foveate.create("video_attention", attend=6, **small, **KINDS[kind])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith(("backbone", "motion")):
                nn.init.normal_(parameter, std=0.7)
        model.output.bias[END] += 1.0
    return model.eval()


def clip(kind: str, count: int) -> Clip:
    generator = torch.Generator().manual_seed(count)
    shape = (count, 6) if kind == "features" else (count, 3, SIDE, SIDE)
    values = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8)
    frames = values.float() / 60 if kind == "features" else values
    return Clip(frames, tuple(range(count)), count, shape=() if kind == "features" else (SIDE, SIDE))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_captions_and_attention(kind: str, tmp_path: Path) -> None:
    save_model(tmp_path / "run" / "model", build(kind), "video_attention", {"text": TABLE}, "video")
    report = export_onnx(tmp_path / "run", tmp_path / "out.onnx")
    assert report.difference < 1e-5 and [p.name for p in report.beside] == ["out.step.onnx"]
    ours, theirs = Predictor.open(tmp_path / "run", device="cpu"), Predictor.open(tmp_path / "out.onnx")
    clips = [clip(kind, count) for count in (1, 6, 2, 4)]
    texts = set()
    for beams in (1, 3):
        a, b = (list(one.predict_many(clips, beams=beams, max_length=8)) for one in (ours, theirs))
        for one, other, own in zip(a, b, clips, strict=True):
            assert one.text == other.text and len(one.sentences) == beams
            np.testing.assert_allclose(one.attention(), other.attention(), atol=1e-5)
            assert one.attention().shape[1] == len(own.frames)
            texts.add(one.text)
    assert len(texts) > 1
    sibling_path(tmp_path / "out.onnx", ".step").unlink()
    with pytest.raises(ModelError, match=r"out\.step\.onnx"):
        Predictor.open(tmp_path / "out.onnx")
