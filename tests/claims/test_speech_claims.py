"""Claims about speech: scores of networks that were not trained, worse ones that turn the verdict over, and costs."""

from __future__ import annotations

import pytest
import torch
from stand_ins import examined

from foveate.claims import speech
from foveate.claims.spelling import batched
from foveate.metrics.speech import SpeechMetrics, SpeechScores
from foveate.records import Sound, SpeechSample
from foveate.registry import find
from foveate.tasks.speech.task import SpeechTask
from foveate.text import Characters


def scores(wrong: int, in_span: float = 0.5) -> SpeechScores:
    """Of 100 words, some wrong; each right one has this share of its attention within its span."""
    metrics = SpeechMetrics()
    for i in range(100):
        right = i >= wrong
        metrics.update("one", "one" if right else "two", (in_span, 1) if right else (0.0, 0))
    return metrics.compute()


def replace(monkeypatch: pytest.MonkeyPatch, scores: SpeechScores, pyramid: int = 0, flat: int = 0) -> None:
    monkeypatch.setattr(speech, "heard", lambda seed, halved: speech.Heard(scores, 0.25, pyramid if halved else flat))


@pytest.mark.parametrize(
    ("pyramid", "flat", "verdict"),
    [
        (400, 400, "holds"),  # as many steps, which cost more
        (400, 0, "holds"),  # the flat one never learns
        (400, 340, "holds partly"),
        (400, 200, "does not hold"),  # the flat one learns at less cost
        (0, 0, "does not hold"),  # nor does the pyramid
    ],
)
def test_the_pyramid_has_to_learn_at_less_cost(
    monkeypatch: pytest.MonkeyPatch, pyramid: int, flat: int, verdict: str
) -> None:
    replace(monkeypatch, scores(0), pyramid, flat)
    monkeypatch.setattr(speech, "cost", lambda halved: 20 if halved else 30)
    assert examined("pyramid_trains_faster") == verdict
    faster, *others = find("claim", "pyramid_trains_faster").load()().measure(0)
    assert others == [pyramid, flat or speech.STEPS, 1.5]
    assert faster == pytest.approx(1.5 * others[1] / pyramid if pyramid else 0)


@pytest.mark.parametrize(
    ("wrong", "in_span", "verdict"),
    [(5, 0.95, "holds"), (5, 0.8, "holds partly"), (5, 0.25, "does not hold"), (80, 0.95, "does not hold"),
     (100, 0.95, "does not hold")],
)  # fmt: skip
def test_attention_has_to_lie_within_the_sound_of_many_words(
    monkeypatch: pytest.MonkeyPatch, wrong: int, in_span: float, verdict: str
) -> None:
    replace(monkeypatch, scores(wrong, in_span))
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


def test_a_training_stops_where_it_has_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flat listener stops at the first look that is good enough; the pyramid goes on, and keeps its first one."""
    small = {"hidden": 4, "speller": 8, "embed": 4, "attend": 4, "mels": 8}
    monkeypatch.setattr(speech, "SIZES", speech.SIZES | small)
    changes = {"SPEAKERS": 2, "LONGEST": 2, "TRAIN": 6, "TEST": 2, "BATCH": 3, "RAMP": 1, "STEPS": 5, "EVERY": 2}
    for name, value in changes.items():
        monkeypatch.setattr(speech, name, value)
    speech.heard.cache_clear()
    never = speech.heard(4, False)
    assert never.steps == 0 and never.scores.recordings == 2 and never.scores.wer > 0 and 0.2 < never.chance < 1
    looks = []

    def nats(model: object, task: object, strings: object) -> float:
        looks.append(nats_of(model, task, strings))  # type: ignore[arg-type]
        return 0.0

    nats_of = speech.nats
    monkeypatch.setattr(speech, "nats", nats)
    speech.heard.cache_clear()
    assert [speech.heard(4, halved).steps for halved in (True, False)] == [2, 2]
    assert len(looks) == 2 and all(1 < look < 10 for look in looks)  # near log of the number of characters
    speech.heard.cache_clear()


def test_nats_are_those_of_a_network_that_does_not_train() -> None:
    torch.manual_seed(0)
    model = speech.listener(True, 9)
    model.dropout.p = 0.5
    task = SpeechTask({"text": Characters(least=1).learn(["one"])}, model.preprocessing)
    sound = Sound(torch.randn(4000), 8000)
    strings = [SpeechSample(audio=sound, transcript="one", name="a")]
    model.train()
    first, again = (speech.nats(model, task, strings) for _ in range(2))
    assert first == again and model.training
    logits = model.eval()(sound.values[None], batched(task, strings)["tokens"]).logits.log_softmax(-1)[0]
    tokens = batched(task, strings)["tokens"][0]
    assert first == pytest.approx(-logits[range(len(tokens)), tokens].mean().item(), rel=1e-5)
