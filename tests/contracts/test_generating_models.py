"""What every model that generates promises. A new model adds a line to SMALL."""

import dataclasses

import pytest
import torch

import foveate
from foveate.registry import entries
from foveate.store import load_model, save_model
from foveate.tasks import find_task
from foveate.text import SPECIALS, CharacterTable

# (name, variant) -> a config that runs in a fraction of a second
SMALL = {
    ("draw", "binary"): {"image_size": (8, 9), "glimpses": 3, "hidden": 6, "latent": 4, "read": 2, "write": 3},
    ("draw", "discrete"): {
        "image_size": (8, 9), "glimpses": 3, "hidden": 6, "latent": 4, "in_channels": 3, "pixels": "discrete",
    },
    ("draw", "whole"): {"image_size": (8, 9), "glimpses": 3, "hidden": 6, "latent": 4, "attention": False},
    ("handwriting", "synthesis"): {"vocabulary": 7, "units": 5, "gaussians": 2, "components": 2},
    ("handwriting", "prediction"): {"vocabulary": 7, "units": 5, "components": 2, "layers": 2, "text": False},
    ("handwriting", "noisy"): {"vocabulary": 7, "units": 5, "gaussians": 2, "components": 2, "weight_noise": 0.1},
}  # fmt: skip
NAMES = {n for n, e in entries("model").items() if not find_task(e.load().task).inputs and e.module.startswith("fov")}
TABLES = {"draw": {}, "handwriting": {"characters": CharacterTable((*SPECIALS, "a", "b", "c"))}}


def build(kind):
    torch.manual_seed(0)
    model = foveate.create(kind[0], **SMALL[kind])
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # windows and canvases start at zero
            if not name.startswith("deviations"):
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def batch(model, count=4):
    generator = torch.Generator().manual_seed(1)
    if model.task == "drawing":
        image = torch.rand(count, model.config.in_channels, *model.config.image_size, generator=generator)
        return {"image": image, "names": ["x"] * count}
    strokes = torch.randn(count, 6, 3, generator=generator)
    strokes[..., 2] = (strokes[..., 2] > 0.5).float()
    lengths = torch.tensor([6, 4, 5, 6])[:count]
    return {
        "strokes": strokes, "stroke_lengths": lengths, "names": ["x"] * count,
        "transcript": torch.randint(4, 7, (count, 3), generator=generator),
        "transcript_lengths": torch.tensor([3, 2, 3, 1])[:count],
    }  # fmt: skip


def generated(model, rows, seed=2):
    """What the model generates from the first `rows` of four rows of noise, or reads of four texts: (rows, ...)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        if model.task == "drawing":
            noise = model.noise(4, generator)[:, :rows]
            output = model.generate(noise)
            return torch.cat([canvas.flatten(1) for canvas in output.canvases], 1)
        points = torch.randn(5, 4, 3, generator=generator)[:, :rows]
        given = batch(model)
        texts = (given["transcript"][:rows], given["transcript_lengths"][:rows]) if model.config.text else (None, None)
        state, found = model.begin(rows), []
        for point in points:
            mixture, window, state = model.step(point, *texts, state)
            found += [mixture, window]
        return torch.cat(found, 1)


def test_every_model_is_here():
    assert {name for name, _ in SMALL} == NAMES


@pytest.mark.parametrize("kind", SMALL, ids="-".join)
class TestContract:
    def test_losses_are_finite_and_every_parameter_learns(self, kind):
        model = build(kind).train()
        losses = model.loss(batch(model))
        assert all(torch.isfinite(value).all() and value.ndim == 0 for value in losses.values())
        losses["loss"].backward()
        assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []

    def test_one_batch_can_be_learned(self, kind):
        model = build(kind).train()
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = model.loss(batch(model))["loss"]
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert sum(losses[-10:]) < sum(losses[:10])

    def test_a_sample_does_not_depend_on_those_beside_it(self, kind):
        model = build(kind).eval()
        torch.testing.assert_close(generated(model, 4)[:2], generated(model, 2), atol=1e-5, rtol=1e-5)

    def test_the_same_noise_gives_the_same_sample_and_other_noise_another(self, kind):
        model = build(kind).eval()
        assert torch.equal(generated(model, 3), generated(model, 3))
        assert not torch.equal(generated(model, 3), generated(model, 3, seed=3))

    def test_saved_and_loaded_it_is_the_same(self, kind, tmp_path):
        model = build(kind).eval()
        if model.task == "handwriting":
            model.preprocessing = dataclasses.replace(model.preprocessing, mean=(0.5, -0.25), std=(2.0, 3.0), pace=7.5)
        save_model(tmp_path, model, kind[0], TABLES[kind[0]], model.task)
        again = load_model(tmp_path).model.eval()
        assert again.preprocessing == model.preprocessing and again.config == model.config
        assert torch.equal(generated(again, 3), generated(model, 3))
        for (name, one), other in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
            assert torch.equal(one, other), name
