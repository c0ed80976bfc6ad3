"""DRAW's reader: its equations against plain steps, and what its windows depend on."""

import pytest
import torch
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.models.spatial.draw_reader import Config, DrawReader
from foveate.ops.filterbank import filterbank, place_window, read_window

SMALL = {"num_classes": 3, "glimpses": 3, "hidden": 6, "read": 4}


def made(**fields):
    torch.manual_seed(0)
    model = DrawReader(Config(**{**SMALL, **fields})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def images(height=11, width=9):
    return torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("fields", [{}, {"tied": False, "normalise": False}], ids=["ours", "paper"])
def test_it_equals_plain_steps(fields):
    model, image = made(**fields), images()
    cell, expected = model.recurrent, []
    h = c = torch.zeros(2, 6, dtype=torch.float64)
    for _ in range(3):
        p = h @ model.place.weight.T + model.place.bias
        window = place_window(p, (11, 9), 4, tied=model.config.tied)
        patch = read_window(image, filterbank(window, (11, 9), 4))
        expected.append(patch)
        r = patch / patch.flatten(1).std(1)[:, None, None, None] if model.config.normalise else patch
        r = r.flatten(1) * p[:, 4:].exp()
        i, f, g, o = (r @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    output = model(image)
    torch.testing.assert_close(output.logits, h @ model.classify.weight.T + model.classify.bias)
    for one, patch in zip(output.transforms, expected, strict=True):
        torch.testing.assert_close(one.output, patch)


def test_the_first_window_spans_the_image_and_grids_are_pixel_centres():
    torch.manual_seed(0)
    output = DrawReader(Config(**SMALL))(images(10, 10).float())
    grid = output.transforms[0].grid  # filters at pixels 0, 3, 6 and 9 of ten
    expected = (2 * torch.tensor([0.0, 3.0, 6.0, 9.0]) + 1) / 10 - 1
    torch.testing.assert_close(grid[0, 0, :, 0], expected)
    torch.testing.assert_close(grid[0, :, 0, 1], expected)


def test_the_loss_is_the_mean_over_glimpses_or_that_of_the_last():
    image, label = images(), torch.tensor([0, 2])
    model, last = made(), made(every_glimpse=False)
    logits, _ = model._read(image)
    losses = [F.cross_entropy(one, label).item() for one in logits]
    batch = {"image": image, "label": label, "names": ["a", "b"]}
    assert model.loss(batch)["loss"].item() == pytest.approx(sum(losses) / 3)
    assert last.loss(batch)["loss"].item() == pytest.approx(losses[-1])


def test_the_window_learns_at_a_rate_of_its_own():
    batch = {"image": images(), "label": torch.tensor([0, 2]), "names": ["a", "b"]}
    gradients = []
    for rate in (1.0, 0.25):
        model = made(window_rate=rate)
        model.loss(batch)["loss"].backward()
        gradients.append((model.place.bias.grad, model.classify.bias.grad))
    (free, other), (slow, same) = gradients
    torch.testing.assert_close(other, same)
    # Windows also pass gradients to each other through the state, so that the factor is exact for the last one alone.
    assert slow.norm() < 0.5 * free.norm()


def test_the_weights_do_not_depend_on_the_size_of_the_image():
    model = made()
    for height, width in ((28, 28), (100, 100), (31, 57)):
        assert model(images(height, width)).logits.isfinite().all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"glimpses": 0}, "glimpses is 0; expected 1 or more"), ({"window_rate": 0.0}, "window_rate is 0; expected"),
     ({"image_size": (1, 5)}, "expected \\(height, width\\), each 2 or more, or \\(\\)")],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Config(**fields)


def test_forget_gates_start_open():
    model = DrawReader(Config(**SMALL))
    assert model.recurrent.bias_ih.view(4, 6).tolist() == [[0.0] * 6, [1.0] * 6, [0.0] * 6, [0.0] * 6]
    assert not model.recurrent.bias_hh.any()


def test_classes_are_weighted():
    model, weights = made(every_glimpse=False), torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    batch = {"image": images(), "label": torch.tensor([0, 2]), "names": ["a", "b"], "class_weights": weights}
    expected = F.cross_entropy(model(batch["image"]).logits, batch["label"], weights)
    torch.testing.assert_close(model.loss(batch)["loss"], expected)
