"""Recurrent CNN: the recurrence written out, and what it buys."""

import pytest
import torch
from torch.nn import functional as F

import foveate
from foveate.errors import ConfigError
from foveate.ops.pyramid import normalize_locally, rgb_to_yuv


def build(**more):
    torch.manual_seed(0)
    return foveate.create("recurrent_cnn", **({"num_classes": 3, "widths": (6, 8), "kernel": 5} | more)).eval()


def batch():
    torch.manual_seed(1)
    return {"image": torch.randn(2, 3, 32, 40), "mask": torch.randint(0, 3, (2, 32, 40)), "names": []}


def test_forward_is_the_recurrence():
    """Y^p = f([Y^(p-1), I^p]), written out for two instances, with Y^0 = 0 and one filter over both."""
    model, image = build(), torch.randn(1, 3, 16, 24)
    weight = torch.cat([model.label_filters.weight, model.image_filters.weight], 1)

    def f(previous, scaled):
        return model.f(F.conv2d(model.pad(torch.cat([previous, scaled], 1)), weight, model.image_filters.bias))

    scaled = normalize_locally(rgb_to_yuv(image))
    first = f(torch.zeros(1, 3, 16, 24), scaled)
    second = f(first.softmax(1), F.avg_pool2d(scaled, 2))
    assert first.shape[-2:] == (8, 12)
    assert second.shape[-2:] == (4, 6)
    steps = model(image, iterations=2).steps
    for step, coarse in zip(steps, (first, second), strict=True):
        torch.testing.assert_close(step, F.interpolate(coarse, (16, 24), mode="bilinear"))


def test_without_normalisation_and_second_tanh_it_is_the_papers_network():
    """Convolution, pooling, tanh, convolution, 1x1 convolution on the image itself, from the tensors alone."""
    model, image = build(normalize=False, second_tanh=False), torch.randn(1, 3, 16, 24)
    state = model.state_dict()
    first, last = "f.3", "f.5"

    def f(previous, scaled):
        x = torch.cat([previous, scaled], 1)
        weight = torch.cat([state["label_filters.weight"], state["image_filters.weight"]], 1)
        x = F.max_pool2d(F.conv2d(x, weight, state["image_filters.bias"], padding=2).tanh(), 2)
        x = F.conv2d(x, state[f"{first}.weight"], state[f"{first}.bias"], padding=2)
        return F.conv2d(x, state[f"{last}.weight"], state[f"{last}.bias"])

    scaled = rgb_to_yuv(image)
    one = f(torch.zeros(1, 3, 16, 24), scaled)
    two = f(one.softmax(1), F.avg_pool2d(scaled, 2))
    for step, coarse in zip(model(image, iterations=2).steps, (one, two), strict=True):
        torch.testing.assert_close(step, F.interpolate(coarse, (16, 24), mode="bilinear"))
    with_tanh = build(normalize=False)
    with_tanh.load_state_dict(state)
    assert not torch.allclose(with_tanh(image).logits, model(image).logits, atol=1e-3)


def test_fewer_iterations_are_the_first_ones_of_more():
    model, image = build(), torch.randn(1, 3, 32, 48)
    three = model(image)
    assert len(three.steps) == 3
    assert three.logits is three.steps[-1]
    for count in (1, 2):
        torch.testing.assert_close(model(image, iterations=count).logits, three.steps[count - 1])


def test_iterations_cost_no_weights():
    sizes = {sum(p.numel() for p in build(iterations=n).parameters()) for n in (1, 2, 5)}
    assert len(sizes) == 1


def test_each_iteration_sees_twice_as_far():
    model = build(kernel=8)
    image = torch.randn(1, 3, 320, 320, requires_grad=True)
    reach = []
    for step in model(image).steps:
        (grad,) = torch.autograd.grad(step[0, 0, 159, 159], image, retain_graph=True)
        rows = grad.abs().sum((0, 1, 3)).nonzero()
        reach.append(int(rows.max() - rows.min()) + 1)
    # f sees 23 pixels at stride 2 (8, pooled, 8); a second iteration 23 + 22 * 2, a third 67 + 22 * 4; local
    # normalisation reaches 7 further to either side; interpolation adds up to one coarse pixel.
    for seen, field, stride in zip(reach, (23 + 14, 67 + 14, 155 + 14), (2, 4, 8), strict=True):
        assert field <= seen <= field + stride


def test_the_loss_is_the_sum_over_iterations():
    model, data = build(), batch()
    losses = model.loss(data)
    by_hand = [F.cross_entropy(step, data["mask"]) for step in model(data["image"]).steps]
    torch.testing.assert_close(losses["loss"], torch.stack(by_hand).sum())
    for i, part in enumerate(by_hand, start=1):
        torch.testing.assert_close(losses[f"step{i}"], part)


def test_a_layer_without_channels_is_refused():
    with pytest.raises(ConfigError, match=r"widths \(0, 8\) two such numbers"):
        build(widths=(0, 8))


def test_weights_of_version_0_1_0_load():
    model, other = build(), build(kernel=5)
    names = {f"image_filters.{kind}": f"look.{kind}" for kind in ("weight", "bias")}
    names["label_filters.weight"] = "listen.weight"
    old = {names.get(key, key): torch.randn_like(value) for key, value in model.state_dict().items()}
    other.load_state_dict(dict(old), strict=True)
    for key, value in other.state_dict().items():
        torch.testing.assert_close(value, old[names.get(key, key)], rtol=0, atol=0)


def test_no_iteration_is_refused():
    with pytest.raises(ConfigError, match="iterations is 0; expected 1 or more"):
        build(iterations=0)
    with pytest.raises(ConfigError, match="iterations is 0; expected 1 or more"):
        build()(torch.zeros(1, 3, 16, 16), iterations=0)
