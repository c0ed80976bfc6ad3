"""DRAW: its equations against plain loops, the laws of its bound, and what generation depends on."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.models.spatial.draw import CIFAR, SVHN, Config, Draw
from foveate.registry import create_model

SMALL = {"image_size": (8, 10), "glimpses": 3, "hidden": 12, "latent": 4, "read": 3, "write": 4}


def made(seed=0, **fields):
    torch.manual_seed(seed)
    model = Draw(Config(**{**SMALL, **fields})).double()
    with torch.no_grad():  # away from zeros and ones, so that every term shows
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def batch_of(model, count=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, model.config.in_channels, *model.config.image_size)
    image = torch.bernoulli(torch.full(shape, 0.4, dtype=torch.float64), generator=generator)
    noise = torch.randn(model.config.glimpses, count, model.config.latent, generator=generator, dtype=torch.float64)
    return image, noise


def lstm(cell, x, h, c):
    """An LSTM cell by its equations."""
    gates = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def bank(centre, stride, variance, count, pixels):
    """Filters of one axis by loops, 1-based as in the paper."""
    rows = []
    for i in range(1, count + 1):
        mu = centre + (i - count / 2 - 0.5) * stride
        row = [math.exp(-((a - mu) ** 2) / (2 * variance)) for a in range(1, pixels + 1)]
        rows.append(torch.tensor(row, dtype=torch.float64) / sum(row))
    return torch.stack(rows)


def place(layer, h, count, height, width):
    gx, gy, log_variance, log_stride, log_gamma = (layer.weight @ h + layer.bias).tolist()
    stride = (max(height, width) - 1) / (count - 1) * math.exp(log_stride)
    variance = math.exp(log_variance)
    fx = bank((width + 1) / 2 * (gx + 1), stride, variance, count, width)
    fy = bank((height + 1) / 2 * (gy + 1), stride, variance, count, height)
    return fy, fx, math.exp(log_gamma)


def plain(model, image, noise):
    """The network for one image (C, H, W) and noise (T, Z), step by step; -> canvas, KL."""
    config = model.config
    height, width = config.image_size
    canvas = model.canvas.clone()
    (he, ce), (hd, cd) = model.encoder_start, model.decoder_start
    divergence = torch.zeros((), dtype=torch.float64)
    for t in range(config.glimpses):
        error = image - torch.sigmoid(canvas)
        if config.attention:
            fy, fx, gamma = place(model.read_place, hd, config.read, height, width)
            patches = [gamma * fy @ channel @ fx.T for channel in (*image, *error)]
            r = torch.cat([patch.flatten() for patch in patches])
        else:
            r = torch.cat([image.flatten(), error.flatten()])
        he, ce = lstm(model.encoder, torch.cat([r, hd]), he, ce)
        mean, log_std = (model.posterior.weight @ he + model.posterior.bias).chunk(2)
        divergence = divergence + kl_divergence(Normal(mean, log_std.exp()), Normal(0.0, 1.0)).sum()
        hd, cd = lstm(model.decoder, mean + log_std.exp() * noise[t], hd, cd)
        w = model.patch.weight @ hd + model.patch.bias
        if config.attention:
            fy, fx, gamma = place(model.write_place, hd, config.write, height, width)
            patch = w.view(config.in_channels, config.write, config.write)
            canvas = canvas + torch.stack([fy.T @ channel @ fx / gamma for channel in patch])
        else:
            canvas = canvas + w.view_as(canvas)
    return canvas, divergence


@pytest.mark.parametrize("fields", [{}, {"in_channels": 3}, {"attention": False}], ids=["grey", "colour", "plain"])
def test_it_equals_plain_loops(fields):
    model = made(**fields)
    image, noise = batch_of(model)
    output = model(image, noise)
    divergence = output.kl().sum(0)
    nll = model.nll(output.canvases[-1], image)
    for i in range(len(image)):
        canvas, expected = plain(model, image[i], noise[:, i])
        torch.testing.assert_close(output.canvases[-1][i], canvas, rtol=0, atol=1e-10)
        assert divergence[i].item() == pytest.approx(expected.item(), abs=1e-10)
        assert nll[i].item() == pytest.approx(-Bernoulli(logits=canvas).log_prob(image[i]).sum().item(), abs=1e-10)


def test_the_loss_is_reconstruction_plus_divergence():
    model = made()
    image, _ = batch_of(model)
    torch.manual_seed(5)
    losses = model.loss({"image": image, "names": []})
    torch.manual_seed(5)
    torch.bernoulli(image)  # what the loss draws first
    output = model(image)
    expected = model.nll(output.canvases[-1], image).mean() + output.kl().sum(0).mean()
    assert losses["loss"].item() == pytest.approx(expected.item())
    assert losses["loss"].item() == pytest.approx((losses["reconstruction"] + losses["kl"]).item())


def test_the_loss_samples_binary_pixels_anew():
    """Dynamic binarisation: the mean of the samples is the image, and no two calls are alike."""
    model = made()
    grey = torch.full((64, 1, 8, 10), 0.3, dtype=torch.float64)
    torch.manual_seed(0)
    first, second = (model.loss({"image": grey, "names": []})["reconstruction"].item() for _ in range(2))
    assert first != second
    image, _ = batch_of(model)
    torch.manual_seed(3)
    assert torch.equal(torch.bernoulli(image), image)  # pixels of 0 and 1 stay


def test_every_step_has_noise_of_its_own():
    """A change of the noise of one step changes the canvases from that step on, and none before it."""
    model = made()
    image, noise = batch_of(model)
    before = model(image, noise).canvases
    for step in range(3):
        changed = noise.clone()
        changed[step] += 1
        after = model(image, changed).canvases
        same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert same == [True] * (step + 1) + [False] * (3 - step)
    torch.manual_seed(0)
    drawn = model(image).noise
    assert not torch.equal(drawn[0], drawn[1])


def test_the_canvas_is_the_sum_of_what_was_written():
    model = made()
    image, noise = batch_of(model)
    output = model(image, noise)
    canvas, hidden, cell = (x.expand(2, *x.shape) for x in (model.canvas, *model.decoder_start))
    for t in range(3):
        z = output.mean[t] + output.log_std[t].exp() * noise[t]
        canvas, hidden, cell, window = model.step(canvas, hidden, cell, z)
        torch.testing.assert_close(canvas, output.canvases[t + 1])
        torch.testing.assert_close(window, output.write[t])


def test_generation_uses_nothing_of_the_encoder():
    model = made()
    _, noise = batch_of(model)
    expected = model.generate(noise).canvases[-1]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("encoder", "posterior", "read_place")):
                parameter.fill_(math.nan)
    torch.testing.assert_close(model.generate(noise).canvases[-1], expected)


def test_one_step_without_attention_is_a_variational_autoencoder():
    model = made(glimpses=1, attention=False)
    image, noise = batch_of(model)
    hd = model.decoder_start[0].expand(2, -1)
    inputs = torch.cat([image.flatten(1), (image - model.canvas.sigmoid()).flatten(1), hd], 1)
    he, _ = lstm(model.encoder, inputs, *(s.expand(2, -1) for s in model.encoder_start))
    mean, log_std = model.posterior(he).chunk(2, 1)
    h, _ = lstm(model.decoder, mean + log_std.exp() * noise[0], *(s.expand(2, -1) for s in model.decoder_start))
    expected = model.canvas + model.patch(h).view_as(image)
    torch.testing.assert_close(model(image, noise).canvases[-1], expected)


def test_the_importance_weighted_bound_with_one_sample_is_the_sampled_bound():
    model = made()
    image, _ = batch_of(model)
    found = model.importance_bound(image, 1, torch.Generator().manual_seed(4))
    output = model(image, model.noise(2, torch.Generator().manual_seed(4)))
    z = output.mean + output.log_std.exp() * output.noise
    prior, posterior = Normal(0.0, 1.0).log_prob(z), Normal(output.mean, output.log_std.exp()).log_prob(z)
    expected = model.nll(output.canvases[-1], image) - (prior - posterior).sum((0, 2))
    torch.testing.assert_close(found, expected)


def test_more_samples_lower_the_bound_in_expectation():
    model = made()
    image = batch_of(model)[0].repeat(60, 1, 1, 1)
    means = []
    for samples in (1, 5, 25):
        means.append(model.importance_bound(image, samples, torch.Generator().manual_seed(0)).mean().item())
    assert means[0] > means[1] > means[2]


def test_the_canvas_starts_from_the_mean_image():
    model = made()
    mean = torch.linspace(0, 1, 80, dtype=torch.float64).view(1, 8, 10)
    model.begin_from(mean)
    torch.testing.assert_close(model.canvas.sigmoid(), mean.clamp(0.01, 0.99))


def test_discrete_probabilities_sum_to_one_and_equal_differences_of_the_sigmoid():
    model = made(pixels="discrete", image_size=(2, 2))
    canvas = torch.tensor([[[[-4.0, 0.3], [2.0, 6.0]]]], dtype=torch.float64)
    values = torch.arange(256, dtype=torch.float64) / 255
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    per_pixel = torch.stack([model.nll(canvas[..., i : i + 1, j : j + 1], images[..., :1, :1])
                             for i in range(2) for j in range(2)])  # fmt: skip
    torch.testing.assert_close((-per_pixel).exp().sum(1), torch.ones(4, dtype=torch.float64))
    scale, mean = model.log_scale.exp().item(), torch.sigmoid(canvas[0, 0, 0, 1]).item()
    middle = 100 / 255

    def cdf(x):
        return 1 / (1 + math.exp(-(x - mean) / scale))

    expected = -math.log(cdf(middle + 1 / 510) - cdf(middle - 1 / 510))
    assert per_pixel[1, 100].item() == pytest.approx(expected, rel=1e-9)
    assert per_pixel[1, 0].item() == pytest.approx(-math.log(cdf(1 / 510)), rel=1e-9)
    assert per_pixel[1, 255].item() == pytest.approx(-math.log(1 - cdf(1 - 1 / 510)), rel=1e-9)


def test_intensities_are_probabilities_of_a_cross_entropy():
    model = made(pixels="intensity", in_channels=3)
    canvas, image = torch.randn(2, 3, 8, 10, dtype=torch.float64), torch.rand(2, 3, 8, 10, dtype=torch.float64)
    expected = F.binary_cross_entropy(canvas.sigmoid(), image, reduction="none").sum((1, 2, 3))
    torch.testing.assert_close(model.nll(canvas, image), expected)


def test_gradients_reach_the_parameters_of_both_windows():
    model = made(image_size=(5, 4), glimpses=2, hidden=3, latent=2, read=2, write=2)
    image, noise = batch_of(model)
    names = ("read_place.weight", "write_place.bias", "canvas")
    parameters = dict(model.named_parameters())

    def bound(*chosen):
        changed = dict(zip(names, chosen, strict=True))
        output = torch.func.functional_call(model, changed, (image, noise))
        return model.nll(output.canvases[-1], image).mean() + output.kl().sum(0).mean()

    assert torch.autograd.gradcheck(bound, tuple(parameters[name] for name in names))


def test_every_parameter_learns():
    for fields in ({}, {"attention": False}, {"pixels": "discrete", "in_channels": 3}):
        model = made(**fields)
        image, _ = batch_of(model)
        model.loss({"image": image, "names": []})["loss"].backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_it_learns_two_images_by_heart():
    torch.manual_seed(0)
    model = create_model("draw", **SMALL)
    image = torch.zeros(2, 1, 8, 10)
    image[0, :, :4], image[1, :, :, 5:] = 1, 1
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, betas=(0.5, 0.999))
    losses = []
    for _ in range(100):
        loss = model.loss({"image": image, "names": []})["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 50 and sorted(losses[-20:])[10] < 0.1 * losses[0]  # which of the two it is has log 2 nats


def test_the_sizes_of_the_paper():
    mnist = Config()
    assert (mnist.glimpses, mnist.hidden, mnist.latent, mnist.read, mnist.write) == (64, 256, 100, 2, 5)
    assert (SVHN.glimpses, SVHN.hidden, SVHN.latent, SVHN.read, SVHN.write) == (32, 800, 100, 12, 12)
    assert (CIFAR.glimpses, CIFAR.hidden, CIFAR.latent, CIFAR.read, CIFAR.write) == (64, 400, 200, 5, 5)
    assert SVHN.image_size == (54, 54) and CIFAR.image_size == (32, 32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"glimpses": 0}, "glimpses is 0; expected 1 or more"),
        ({"in_channels": 2}, "in_channels is 2; expected 1 for grey or 3 for colour images"),
        ({"crop": 0.0}, "crop is 0; expected a share above 0 and at most 1"),
        ({"image_size": (1, 8)}, r"image_size is \(1, 8\); expected \(height, width\), each 2 or more"),
        ({"pixels": "grey"}, "pixels is 'grey'"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Config(**{**SMALL, **fields})


def test_images_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"images of shape \(2, 1, 10, 8\) for a model built for \(B, 1, 8, 10\)"):
        made()(torch.zeros(2, 1, 10, 8, dtype=torch.float64))


def test_where_everything_starts():
    """Forget gates open, all other biases of the LSTMs 0; a discretised logistic as wide as a tenth of the range."""
    model = Draw(Config(**SMALL, pixels="discrete"))
    for cell in (model.encoder, model.decoder):
        assert cell.bias_ih.view(4, 12).tolist() == [[0.0] * 12, [1.0] * 12, [0.0] * 12, [0.0] * 12]
        assert not cell.bias_hh.any()
    assert model.log_scale.exp().item() == pytest.approx(0.1)


def test_windows_are_told_by_place_stride_deviation_and_intensity():
    model = made()
    image, noise = batch_of(model)
    output = model(image, noise)
    gx, gy, log_variance, log_stride, log_gamma = (
        model.read_place.weight @ model.decoder_start[0] + model.read_place.bias
    ).tolist()
    expected = [
        11 / 2 * (gx + 1) - 1, 9 / 2 * (gy + 1) - 1, 9 / 2 * math.exp(log_stride), math.exp(log_variance / 2),
        math.exp(log_gamma),
    ]  # fmt: skip
    assert output.read[0, 0].tolist() == pytest.approx(expected) == output.read[0, 1].tolist()


def test_the_importance_weighted_bound_is_the_log_of_a_mean():
    model = made()
    image, _ = batch_of(model)
    generator = torch.Generator().manual_seed(4)
    single = torch.stack([model.importance_bound(image, 1, generator) for _ in range(3)])
    found = model.importance_bound(image, 3, torch.Generator().manual_seed(4))
    torch.testing.assert_close(found, -(-single).exp().mean(0).log())
