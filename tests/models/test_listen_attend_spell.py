"""Listen, Attend and Spell against plain loops in float64 over the paper's equations, and its sampling."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foveate.models.speech.listen_attend_spell import Config, ListenAttendSpell
from foveate.ops.log_mel import LogMel
from foveate.text import END, PAD, START, UNKNOWN

SIZES: dict[str, Any] = {
    "vocabulary": 9, "rate": 100, "features": 3, "hidden": 4, "pyramid": 2, "speller": 5, "embed": 3, "attend": 6,
    "sampling": 0.0,
}  # fmt: skip
LENGTHS = torch.tensor([13, 8])
TOKENS = torch.tensor([[4, 7, 5, END], [6, END, PAD, PAD]])


def build(**fields: Any) -> ListenAttendSpell:
    torch.manual_seed(0)
    model = ListenAttendSpell(Config(**(SIZES | fields))).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.6 * torch.randn_like(parameter))
    return model.eval()


def recordings() -> Tensor:
    return torch.randn(2, 13, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def lstm(weights: tuple[Tensor, ...], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    to_input, to_hidden, input_bias, hidden_bias = weights
    i, f, g, o = (to_input @ x + input_bias + to_hidden @ h + hidden_bias).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def blstm(layer: Any, steps: list[Tensor]) -> list[Tensor]:
    found = []
    for rnn, order in ((layer.onward, steps), (layer.returning, steps[::-1])):
        weights = (rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0)
        h = c = torch.zeros(rnn.hidden_size, dtype=torch.float64)
        states = []
        for x in order:
            h, c = lstm(weights, x, h, c)
            states.append(h)
        found.append(states)
    return [torch.cat([a, b]) for a, b in zip(found[0], found[1][::-1], strict=True)]


def mlp(layers: Any, x: Tensor) -> Tensor:
    first, last = (layer for layer in layers if isinstance(layer, nn.Linear))
    hidden = (first.weight @ x + first.bias).clamp(min=0)
    return last.weight @ hidden + (0 if last.bias is None else last.bias)


def loop(model: ListenAttendSpell, frames: Tensor, tokens: list[int]) -> tuple[Tensor, Tensor]:
    """Logits and alpha of one recording (F, D), a step at a time."""
    x = (frames - frames.mean(0)) / (frames.std(0, correction=0) + 1e-2)
    h = blstm(model.listener, list(x))
    for layer in model.pyramid:
        h = blstm(layer.rnn, [torch.cat([h[2 * u], h[2 * u + 1]]) for u in range(len(h) // 2)])  # type: ignore[union-attr]
    states = [(torch.zeros(5, dtype=torch.float64),) * 2 for _ in model.speller]
    context = torch.zeros_like(h[0])
    logits, alphas = [], []
    for last in [START, *tokens[:-1]]:
        below = torch.cat([model.embed.weight[last], context])
        for number, cell in enumerate(model.speller):
            weights: Any = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
            states[number] = lstm(weights, below, *states[number])
            below = states[number][0]
        e = torch.stack([mlp(model.phi, below) @ mlp(model.psi, u) for u in h])
        alpha = e.exp() / e.exp().sum()
        context = sum(a * u for a, u in zip(alpha, h, strict=True))  # type: ignore[assignment]
        logits.append(mlp(model.output, torch.cat([below, context])))
        alphas.append(alpha)
    return torch.stack(logits), torch.stack(alphas)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_equations_a_step_at_a_time(layers: int) -> None:
    model = build(speller_layers=layers)
    audio = recordings()
    out = model(audio, TOKENS, LENGTHS)
    for b, (frames, count) in enumerate(zip(LENGTHS.tolist(), (4, 2), strict=True)):
        logits, alpha = loop(model, audio[b, :frames], TOKENS[b, :count].tolist())
        torch.testing.assert_close(out.logits[b, :count], logits, atol=1e-10, rtol=0)
        torch.testing.assert_close(out.attention[b, :count, : frames // 4], alpha, atol=1e-10, rtol=0)
        assert alpha.shape[1] == frames // 4 and not out.attention[b, :, frames // 4 :].any()


def test_a_share_of_the_characters_is_the_models_own() -> None:
    """From the first step on, and drawn from its distribution: of a model that always writes 8, they are 8."""
    model = build(sampling=0.3).train()
    last: Any = model.output[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-50.0)[8] = 50.0
    read: list[Tensor] = []
    model.embed.register_forward_hook(lambda _, tokens, __: read.append(tokens[0]))
    torch.manual_seed(0)
    with torch.no_grad():
        model(recordings()[:1].expand(200, -1, -1), torch.full((200, 12), 5))
    assert (read[0] == START).all()
    given = torch.stack(read[1:])
    assert set(given.unique().tolist()) == {5, 8}
    share = (given == 8).double()
    assert abs(float(share.mean()) - 0.3) < 0.03 and float(share[0].mean()) > 0.2  # 2,200 draws: deviation 0.01


def test_moving_a_recording_by_a_cell_moves_attention_by_a_cell_without_recurrence() -> None:
    """With LSTMs that forget at once, a cell is a function of its own frames, and so is its score."""
    model = build()
    with torch.no_grad():
        for layer in (model.listener, *(one.rnn for one in model.pyramid)):  # type: ignore[union-attr]
            for rnn in (layer.onward, layer.returning):
                rnn.weight_hh_l0.zero_()
                rnn.bias_ih_l0[4:8] = -80.0  # the forget gates
                rnn.bias_hh_l0.zero_()
    frames = recordings()[0, :8]
    frames = frames - frames.mean(0)
    silence = torch.zeros(4, 3, dtype=torch.float64)
    before, after = torch.cat([silence, frames])[None], torch.cat([frames, silence])[None]
    with torch.no_grad():
        late, early = (model(x, TOKENS[:1]) for x in (before, after))
    torch.testing.assert_close(late.attention.roll(-1, 2), early.attention, atol=1e-10, rtol=0)
    torch.testing.assert_close(late.logits, early.logits, atol=1e-10, rtol=0)


# What acts in training alone


def test_dropout_acts_before_every_layer_but_the_first_and_in_training_alone() -> None:
    """Of everything dropped, what is left are the biases of what follows."""
    model, plain = build(dropout=1.0, speller_layers=2), build(speller_layers=2)
    audio, other = recordings(), recordings().roll(1, 0)
    with torch.no_grad():
        torch.testing.assert_close(model(audio, TOKENS, LENGTHS), plain(audio, TOKENS, LENGTHS), rtol=0, atol=0)
        model.train()
        last: Any = model.output[-1]
        torch.testing.assert_close(model(audio, TOKENS).logits, last.bias.expand(2, 4, -1))
        # The first layer of listener and speller reads all of its input, the second none of it.
        read: list[Tensor] = []
        model.pyramid[0].register_forward_pre_hook(lambda _, given: read.append(given[0]))
        torch.testing.assert_close(model.listen(audio)[0], model.listen(other)[0])
        assert len(read) == 2 and not any(one.any() for one in read)
        assert not torch.equal(model.listener(audio), model.listener(other))
        memory, state = model.begin(audio)
        first, second = (model.step(memory, state, torch.tensor([a, a]))[1] for a in (5, 7))
        assert not torch.equal(first.h[0], second.h[0]) and torch.equal(first.h[1], second.h[1])
    shares = [layer.p for layer in build(dropout=0.3).modules() if isinstance(layer, nn.Dropout)]
    assert shares == [0.3, 0.3]


def test_recordings_are_warped_and_masked_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frequencies before the features are normalised, by the bands of the model; masks after it."""
    module = "foveate.models.speech.listen_attend_spell"
    steps: list[tuple[Any, ...]] = []
    monkeypatch.setattr(f"{module}.warp_bands", lambda x, *given: (steps.append(("warp", *given)), x + 1)[1])
    monkeypatch.setattr(f"{module}.mask_bands", lambda x, *given: (steps.append(("mask", *given)), x * 0)[1])
    sizes = {"features": 0, "rate": 8000, "mels": 12, "low": 60.0}
    model = build(**sizes, warp=0.2, band_masks=2, band_width=5)
    waves = torch.randn(1, 2000, dtype=torch.float64)
    read: list[Tensor] = []
    model.listener.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        model.listen(waves)
        assert not steps and read[0].std() > 0.9
        model.train().listen(waves)
    assert steps == [("warp", 0.2, 8000, 60.0), ("mask", 2, 5)] and not read[1].any()
    steps.clear()
    build(**sizes).train().listen(waves)
    build(**sizes, warp=0.2, band_masks=2).eval().listen(waves)
    assert not steps
    assert build(**sizes).log_mel.bank[:2].sum() == 0 < LogMel(8000, 12).bank[:2].sum()  # type: ignore[union-attr]


def test_own_characters_are_drawn_from_the_models_distribution() -> None:
    """Of one that writes 7 three times as often as 8, and nothing else."""
    model = build(sampling=1.0).train()
    last: Any = model.output[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-50.0)[7:9] = torch.tensor([3.0, 1.0], dtype=torch.float64).log()
    read: list[Tensor] = []
    model.embed.register_forward_hook(lambda _, tokens, __: read.append(tokens[0]))
    torch.manual_seed(0)
    with torch.no_grad():
        model(recordings()[:1].expand(200, -1, -1), torch.full((200, 12), 5))
    drawn = torch.stack(read[1:])
    assert set(drawn.unique().tolist()) == {7, 8}
    assert abs(float((drawn == 7).double().mean()) - 0.75) < 0.03  # 2,200 draws: deviation 0.01


def test_unknown_characters_are_read_but_not_learned_and_smoothing_is_of_training() -> None:
    model = build(label_smoothing=0.3)
    tokens = torch.tensor([[4, UNKNOWN, 5, END], [6, END, PAD, PAD]])
    batch: Any = {"audio": recordings(), "audio_lengths": LENGTHS, "tokens": tokens, "names": ["a", "b"]}
    with torch.no_grad():
        log_p = model(recordings(), tokens, LENGTHS).logits.log_softmax(2)
        losses = model.loss(batch)
    own = [log_p[0, 0, 4], log_p[0, 2, 5], log_p[0, 3, END], log_p[1, 0, 6], log_p[1, 1, END]]
    assert float(losses["loss"]) == float(losses["characters"]) == pytest.approx(-float(sum(own)) / 5, rel=1e-6)


def test_classification_sums_over_all_ways_to_write_the_text_over_the_cells() -> None:
    """Every path of one symbol a cell that spells the text once repeats are joined and blanks are dropped."""
    model = build(ctc=0.3)
    tokens = torch.tensor([[4, 4, END], [6, END, PAD]])
    batch: Any = {"audio": recordings(), "audio_lengths": LENGTHS, "tokens": tokens, "names": ["a", "b"]}
    with torch.no_grad():
        losses = model.loss(batch)
        memory, _ = model.begin(recordings(), LENGTHS)
        p = model.classify(memory.cells).softmax(-1)  # type: ignore[misc]
    total = 0.0
    for own, cells, text in zip(p, (3, 2), ([4, 4], [6]), strict=True):
        ways = 0.0
        for path in itertools.product(range(9), repeat=cells):
            joined = [symbol for symbol, _ in itertools.groupby(path)]
            if [symbol for symbol in joined if symbol != PAD] == text:
                ways += math.prod(float(own[cell, symbol]) for cell, symbol in enumerate(path))
        total -= math.log(ways)
    assert float(losses["ctc"]) == pytest.approx(total / 5, rel=1e-5)
    expected = 0.3 * float(losses["ctc"]) + 0.7 * float(losses["characters"])
    assert float(losses["loss"]) == pytest.approx(expected, rel=1e-6)


def test_a_text_of_more_characters_than_cells_has_no_part_in_classification() -> None:
    model = build(ctc=1.0)
    tokens = torch.tensor([[4, 7, 5, 6, END], [6, END, PAD, PAD, PAD]])  # 4 characters in 3 cells, 1 in 2
    batch: Any = {"audio": recordings(), "audio_lengths": LENGTHS, "tokens": tokens, "names": ["a", "b"]}
    alone = {**batch, "audio": recordings()[1:, :8], "audio_lengths": LENGTHS[1:], "tokens": tokens[1:, :2]}
    with torch.no_grad():
        assert float(model.loss(batch)["loss"]) * 7 == pytest.approx(float(model.loss(alone)["loss"]) * 2, rel=1e-5)


def test_weights_start_evenly_within_their_bounds() -> None:
    for init in (0.1, 0.03):
        model = ListenAttendSpell(Config(**(SIZES | {"init": init, "hidden": 32, "speller": 32})))
        for name, parameter in model.named_parameters():
            assert parameter.detach().abs().max() <= init, name
        weight = model.speller[0].weight_hh.detach()  # type: ignore[union-attr]
        assert weight.abs().max() > 0.99 * init and float(weight.std()) == pytest.approx(init / 3**0.5, rel=0.05)


def test_cells_of_features_are_timed_by_their_frames_and_the_shortest_recording_fills_one() -> None:
    model = build()  # frames of a hundredth of a second, two halvings
    assert model.cell_step == pytest.approx(0.04) and model.cell_first == pytest.approx(0.02)
    assert [build(pyramid=k).preprocessing.shortest for k in (1, 3, 4)] == [8, 8, 16]
