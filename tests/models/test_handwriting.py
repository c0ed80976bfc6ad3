"""Handwriting: its equations against plain loops, the laws of the window, weight noise, and what padding changes."""

import math

import pytest
import torch
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.models.spatial.handwriting import Config, Handwriting, spread
from foveate.ops.mixture import mixture_of, nll
from foveate.records import HandwritingPreprocessing

SMALL = {"vocabulary": 7, "units": 5, "gaussians": 2, "components": 2, "layers": 3}


def made(seed=0, **fields):
    torch.manual_seed(seed)
    model = Handwriting(Config(**{**SMALL, **fields})).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("deviations"):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def batch(seed=1):
    generator = torch.Generator().manual_seed(seed)
    strokes = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    strokes[..., 2] = (strokes[..., 2] > 0.5).double()
    strokes[1, 4:] = 0
    return {
        "strokes": strokes, "stroke_lengths": torch.tensor([6, 4]), "names": ["a", "b"],
        "transcript": torch.tensor([[4, 5, 6], [5, 4, 0]]), "transcript_lengths": torch.tensor([3, 2]),
    }  # fmt: skip


def lstm(layer, x, h, c):
    i, f, g, o = (layer.input.weight @ x + layer.input.bias + layer.recurrent.weight @ h).chunk(4)
    pi, pf, po = layer.peepholes
    i, f = torch.sigmoid(i + pi * c), torch.sigmoid(f + pf * c)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + po * c) * torch.tanh(c), c


def plain(model, strokes, text):
    """Mixtures and windows of one piece (T, 3) and its text (U,), by the printed equations."""
    config, A = model.config, model.config.vocabulary
    state = [(torch.zeros(config.units).double(), torch.zeros(config.units).double()) for _ in range(config.layers)]
    w, kappa = torch.zeros(A).double(), torch.zeros(config.gaussians).double()
    mixtures, windows = [], []
    for x in strokes:
        state[0] = lstm(model.layers[0], torch.cat([x, w]) if config.text else x, *state[0])
        if config.text:
            alpha, beta, step = (model.window.weight @ state[0][0] + model.window.bias).exp().chunk(3)
            kappa = kappa + step
            phi = [(alpha * (-beta * (kappa - u) ** 2).exp()).sum() for u in range(1, len(text) + 2)]
            w = sum(phi[u] * F.one_hot(text[u], A).double() for u in range(len(text)))
            windows.append(torch.stack(phi))
        for n in range(1, config.layers):
            below = [x, w, state[n - 1][0]] if config.text else [x, state[n - 1][0]]
            state[n] = lstm(model.layers[n], torch.cat(below), *state[n])
        mixtures.append(model.output.weight @ torch.cat([h for h, _ in state]) + model.output.bias)
    return torch.stack(mixtures), torch.stack(windows) if windows else None


@pytest.mark.parametrize("text", [True, False], ids=["synthesis", "prediction"])
def test_it_equals_plain_loops(text):
    model, data = made(text=text), batch()
    output = model(data["strokes"], *((data["transcript"], data["transcript_lengths"]) if text else ()))
    for i, (points, length) in enumerate(zip(data["stroke_lengths"], data["transcript_lengths"], strict=True)):
        mixture, window = plain(model, data["strokes"][i, :points], data["transcript"][i, :length])
        torch.testing.assert_close(output.mixture[i, :points], mixture, rtol=0, atol=1e-10)
        if text:
            torch.testing.assert_close(output.window[i, :points, : length + 1], window, rtol=0, atol=1e-10)


@pytest.mark.parametrize("text", [True, False], ids=["synthesis", "prediction"])
def test_step_by_step_it_is_the_same(text):
    model, data = made(text=text), batch()
    given = (data["transcript"], data["transcript_lengths"]) if text else (None, None)
    whole = model(data["strokes"], *given)
    state = model.begin(2)
    for t in range(6):
        mixture, window, state = model.step(data["strokes"][:, t], *given, state)
        torch.testing.assert_close(mixture, whole.mixture[:, t])
        torch.testing.assert_close(window, whole.window[:, t])
    torch.testing.assert_close(state, whole.state)


def test_the_loss_sums_over_a_piece_or_is_the_mean_over_points():
    data = batch()
    sequence, point = made(loss="sequence").eval(), made(loss="point").eval()
    total = 0.0
    for i in range(2):
        strokes = data["strokes"][i, : data["stroke_lengths"][i]]
        mixture, _ = plain(sequence, strokes[:-1], data["transcript"][i, : data["transcript_lengths"][i]])
        total += nll(mixture_of(mixture), strokes[1:]).sum().item()
    assert sequence.loss(data)["loss"].item() == pytest.approx(total / 2)
    assert point.loss(data)["loss"].item() == pytest.approx(total / 8)  # 5 and 3 points are scored
    assert sequence.loss(data)["nats_per_point"].item() == pytest.approx(total / 8)


def test_padding_changes_nothing():
    model, data = made().eval(), batch()
    other = {**data, "strokes": data["strokes"].clone(), "transcript": data["transcript"].clone()}
    other["strokes"][1, 4:] = 9.0
    other["transcript"][1, 2:] = 3
    for key in ("loss", "nats_per_point"):
        assert torch.equal(model.loss(other)[key], model.loss(data)[key])


def test_the_window_only_moves_forwards_and_starts_at_the_pace():
    torch.manual_seed(0)
    model = Handwriting(Config(**SMALL)).double()
    model.begin_at(20.0)
    with torch.no_grad():
        model.window.weight.zero_()
    data = batch()
    kappa = model(data["strokes"], data["transcript"], data["transcript_lengths"]).kappa
    torch.testing.assert_close(kappa[:, 0], torch.full((2, 2), 0.05, dtype=torch.float64))
    assert (made()(data["strokes"], data["transcript"], data["transcript_lengths"]).kappa.diff(dim=1) > 0).all()
    # In float32 a step may be too small to be seen, but is never backwards.
    model = made().float()
    with torch.no_grad():
        model.window.bias[4:] = -18.0
    strokes = torch.randn(1, 300, 3, generator=torch.Generator().manual_seed(0))
    state = model.begin(1)._replace(kappa=torch.full((1, 2), 5.0))
    slow = model(strokes, data["transcript"][:1], data["transcript_lengths"][:1], state).kappa.diff(dim=1)
    assert (slow >= 0).all() and (slow == 0).any()


def test_derivatives_by_the_output_are_clipped():
    data = batch()
    biases = []
    for clip in (0.0, 1e-4):
        model = made(clip_output=clip, loss="sequence").eval()
        model.loss(data)["loss"].backward()
        biases.append(model.output.bias.grad.abs().max().item())
    assert biases[1] <= 8 * 1e-4 + 1e-12 < biases[0]  # eight points are scored


def test_derivatives_by_gates_and_by_the_window_are_clipped():
    data = batch()
    found = []
    for clip in (0.0, 1e-2):
        model = made(clip_gates=clip, clip_output=0.0).eval()
        (1e4 * model.loss(data)["loss"]).backward()
        found.append([model.layers[2].input.bias.grad.abs().max().item(), model.window.bias.grad.abs().max().item()])
    for free, clipped in zip(*found, strict=True):
        assert clipped <= 10 * 1e-2 + 1e-9 < free  # two pieces of five steps


def test_scores_of_points_by_hand():
    model, data = made().eval(), batch()
    nats, squared, window = model.score(data)
    mixture, phi = plain(model, data["strokes"][0, :-1], data["transcript"][0])
    first, second = (1 - mixture[:, 1:3].softmax(-1)[:, 1:], mixture[:, 1:3].softmax(-1)[:, 1:])
    mean = first * mixture[:, [3, 5]] + second * mixture[:, [4, 6]]
    torch.testing.assert_close(squared[0], (mean - data["strokes"][0, 1:, :2]).square().sum(-1))
    torch.testing.assert_close(nats[0], nll(mixture_of(mixture), data["strokes"][0, 1:]))
    torch.testing.assert_close(window[0], phi)


def test_weight_noise_has_the_printed_derivatives():
    """dm = g + k (m - p) / v and ds = g^2 s + k (s / v - 1 / s), with g the derivative by the sampled weight."""
    model, data = made(weight_noise=0.075, sequences=10), batch()
    model.train()
    torch.manual_seed(7)
    model.loss(data)["loss"].backward()
    means = {n: p for n, p in model.named_parameters() if not n.startswith("deviations")}
    deviations = {n: model.deviations[n.replace(".", "__")] for n in means}
    torch.manual_seed(7)
    sampled = {n: (m + deviations[n] * torch.randn_like(m)).detach().requires_grad_() for n, m in means.items()}
    output = torch.func.functional_call(
        model, sampled, (data["strokes"][:, :-1], data["transcript"], data["transcript_lengths"])
    )
    losses = nll(mixture_of(output.mixture), data["strokes"][:, 1:])
    scored = torch.arange(5) < data["stroke_lengths"][:, None] - 1
    (losses * scored).sum().div(2).backward()
    all_m, all_s = (torch.cat([p.detach().flatten() for p in d.values()]) for d in (means, deviations))
    p, k = all_m.mean(), 1 / 10
    v = (all_s.square() + (all_m - p).square()).mean()
    for name, mean in means.items():
        g, m, s = sampled[name].grad, mean.detach(), deviations[name].detach()
        torch.testing.assert_close(mean.grad, g + k * (m - p) / v, msg=name)
        torch.testing.assert_close(deviations[name].grad, g.square() * s + k * (s / v - 1 / s), msg=name)


def test_weight_noise_is_for_the_loss_of_a_piece():
    with pytest.raises(ConfigError, match="not against the mean over points; give --config"):
        Config(weight_noise=0.075, loss="point")


def test_weights_have_no_noise_outside_of_training():
    noisy, quiet = made(weight_noise=0.5).eval(), made().eval()
    quiet.load_state_dict({n: v for n, v in noisy.state_dict().items() if not n.startswith("deviations")})
    assert noisy.loss(batch())["loss"].item() == pytest.approx(quiet.loss(batch())["loss"].item())


def test_offsets_on_a_grid_are_spread_over_its_cells_in_training_alone():
    model = made()
    model.preprocessing = HandwritingPreprocessing(std=(2.0, 4.0), grid=(1.0, 0.0))
    strokes = torch.zeros(1, 2000, 3, dtype=torch.float64)
    found = spread(strokes, model.preprocessing)
    assert found[..., 0].abs().max().item() == pytest.approx(0.25, abs=0.01) and not found[..., 1:].any()
    data = batch()
    torch.manual_seed(0)
    assert model.train().loss(data)["loss"] != model.loss(data)["loss"]
    assert torch.equal(model.eval().loss(data)["loss"], model.loss(data)["loss"])


def test_every_parameter_learns():
    for fields in ({}, {"text": False}, {"weight_noise": 0.1}):
        model = made(**fields).train()
        model.loss(batch())["loss"].backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_it_learns_two_pieces_by_heart():
    torch.manual_seed(0)
    model = Handwriting(Config(vocabulary=7, units=24, layers=1, components=3, gaussians=2, loss="point"))
    data = {k: v.float() if k == "strokes" else v for k, v in batch().items()}
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)
    losses = []
    for _ in range(120):
        loss = model.loss(data)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2.5 and min(losses[-10:]) < -0.5  # densities of points on no grid rise without end


def test_the_sizes_of_the_paper():
    synthesis = Handwriting(Config(vocabulary=57))
    assert synthesis.output.out_features == 121 and synthesis.window.out_features == 30
    assert sum(p.numel() for p in synthesis.parameters()) == pytest.approx(3.7e6, rel=0.02)
    prediction = Handwriting(Config(text=False))
    assert sum(p.numel() for p in prediction.parameters()) == pytest.approx(3.4e6, rel=0.02)


def test_a_text_that_is_missing_or_too_many_is_refused():
    data = batch()
    with pytest.raises(ConfigError, match="with text True was given no text; the synthesis network takes one"):
        made()(data["strokes"])
    with pytest.raises(ConfigError, match="with text False was given a text"):
        made(text=False)(data["strokes"], data["transcript"], data["transcript_lengths"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"units": 0}, "units is 0; expected 1 or more"), ({"clip_gates": -1.0}, "clip_gates is -1; expected 0 or more"),
     ({"loss": "mean"}, "loss is 'mean'")],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Config(**fields)


def test_the_bias_of_the_window_is_the_log_of_the_pace():
    model = Handwriting(Config(**SMALL))
    model.begin_at(20.0)
    torch.testing.assert_close(model.window.bias[4:], torch.full((2,), -math.log(20.0)))
