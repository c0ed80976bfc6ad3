"""Claims about speech: scores of networks that were not trained, worse ones that turn the verdict over, and costs."""

from __future__ import annotations

import pytest
import torch
from stand_ins import examined

from foveate.claims import speech
from foveate.metrics.speech import SpeechMetrics, SpeechScores
from foveate.records import Sound, SpeechSample
from foveate.registry import find


def scores(wrong: int, in_span: float = 0.5) -> SpeechScores:
    """Of 100 words, some wrong; each right one has this share of its attention within its span."""
    metrics = SpeechMetrics()
    for i in range(100):
        right = i >= wrong
        metrics.update("one", "one" if right else "two", (in_span, 1) if right else (0.0, 0))
    return metrics.compute()


def replace(monkeypatch: pytest.MonkeyPatch, pyramid: SpeechScores, flat: SpeechScores) -> list[tuple[bool, int]]:
    asked = []

    def heard(seed: int, halved: bool, steps: int) -> speech.Heard:
        asked.append((halved, steps))
        return speech.Heard(pyramid if halved else flat, 0.25)

    monkeypatch.setattr(speech, "heard", heard)
    return asked


@pytest.mark.parametrize(
    ("pyramid", "flat", "verdict"),
    [(10, 40, "holds"), (10, 15, "holds partly"), (10, 10, "does not hold"), (40, 10, "does not hold"),
     (100, 100, "does not hold")],
)  # fmt: skip
def test_the_pyramid_has_to_err_less_at_equal_cost(
    monkeypatch: pytest.MonkeyPatch, pyramid: int, flat: int, verdict: str
) -> None:
    asked = replace(monkeypatch, scores(pyramid, 0.9), scores(flat, 0.4))
    assert examined("pyramid_trains_faster") == verdict
    gain, own, other, ratio, *in_span = find("claim", "pyramid_trains_faster").load()().measure(0)
    assert (gain, own, other) == pytest.approx((flat - pyramid, pyramid, flat))
    assert in_span == pytest.approx([0 if pyramid == 100 else 90, 0 if flat == 100 else 40])
    steps = dict(asked)
    # As many multiply-adds in all, but for a part of a step.
    assert abs(steps[True] * speech.cost(True) - steps[False] * speech.cost(False)) <= speech.cost(False) / 2 + 1
    assert ratio == pytest.approx(speech.cost(False) / speech.cost(True))


@pytest.mark.parametrize(
    ("wrong", "in_span", "verdict"),
    [(5, 0.95, "holds"), (5, 0.8, "holds partly"), (5, 0.25, "does not hold"), (80, 0.95, "does not hold"),
     (100, 0.95, "does not hold")],
)  # fmt: skip
def test_attention_has_to_lie_within_the_sound_of_many_words(
    monkeypatch: pytest.MonkeyPatch, wrong: int, in_span: float, verdict: str
) -> None:
    replace(monkeypatch, scores(wrong, in_span), scores(0))
    assert examined("attention_falls_on_the_sound") == verdict
    found, chance, wer = find("claim", "attention_falls_on_the_sound").load()().measure(0)
    assert (found, chance, wer) == pytest.approx((100 * in_span if wrong <= 50 else 0, 25, wrong))


def test_costs_are_those_of_the_layers() -> None:
    """Both have one first layer and the speller; they differ in what the other layers read, and in the cells."""
    frames, characters = speech.TYPICAL
    hidden, attend = 64, 64
    assert (speech.SIZES["hidden"], speech.SIZES["attend"], speech.LAYERS) == (hidden, attend, 2)

    def layer(steps: int, size: int) -> int:
        return steps * 2 * 4 * hidden * (size + hidden)

    def attending(cells: int) -> int:  # psi of two layers, then a product and a weighted sum for each character
        return cells * (2 * hidden * attend + attend * attend) + characters * cells * (attend + 2 * hidden)

    half, quarter = frames // 2, frames // 4
    pyramid = layer(half, 4 * hidden) + layer(quarter, 4 * hidden) + attending(quarter)
    flat = 2 * layer(frames, 2 * hidden) + attending(frames)
    assert speech.cost(False) - speech.cost(True) == flat - pyramid


def test_the_flat_listener_keeps_time_and_has_as_many_layers() -> None:
    torch.manual_seed(0)
    pyramid, flat = (speech.listener(halved, 12).eval() for halved in (True, False))
    audio, lengths = torch.randn(2, 4000), torch.tensor([4000, 3000])
    frames = flat.log_mel.count(lengths)  # type: ignore[union-attr]
    cells, counts = flat.listen(audio, lengths)
    assert counts is not None and torch.equal(counts, frames) and cells.shape[1:] == (int(frames.max()), 128)
    halves, fewer = pyramid.listen(audio, lengths)
    assert fewer is not None and torch.equal(fewer, frames // 4) and halves.shape[1:] == (int(frames.max()) // 4, 128)
    # Padding changes nothing.
    alone, _ = flat.listen(audio[1:, :3000], lengths[1:])
    torch.testing.assert_close(cells[1:, : alone.shape[1]], alone, atol=1e-5, rtol=1e-5)
    assert len(flat.pyramid) == len(pyramid.pyramid)
    # Cells are as far apart, and the first is where its frames are: one frame, or four of them.
    hop, window = flat.config.hop, flat.config.window
    assert (flat.cell_step, flat.cell_first) == pytest.approx((hop, window / 2))
    assert (pyramid.cell_step, pyramid.cell_first) == pytest.approx((4 * hop, 1.5 * hop + window / 2))


def test_chance_is_the_share_of_a_word() -> None:
    sound = Sound(torch.zeros(8000), 8000)
    strings = [
        SpeechSample(audio=sound, transcript="one two", spans=((0.0, 0.2), (0.5, 0.9)), name="a"),
        SpeechSample(audio=sound, transcript="two", spans=((0.1, 0.4),), name="b"),
    ]
    assert speech.chance(strings) == pytest.approx((0.2 + 0.4 + 0.3) / 3)


def test_a_small_training_writes_strings(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden": 4, "speller": 8, "embed": 4, "attend": 4, "mels": 8}
    monkeypatch.setattr(speech, "SIZES", speech.SIZES | small)
    for name, value in {"SPEAKERS": 2, "LONGEST": 2, "TRAIN": 6, "TEST": 2, "BATCH": 3, "RAMP": 1}.items():
        monkeypatch.setattr(speech, name, value)
    speech.heard.cache_clear()
    for halved in (True, False):
        found = speech.heard(4, halved, 2)
        assert found.scores.recordings == 2 and found.scores.wer > 0 and 0.2 < found.chance < 1
    speech.heard.cache_clear()
