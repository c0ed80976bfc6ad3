"""What every classifier promises. A new model adds a line to SMALL."""

import pytest
import torch

import foveate
from foveate.records import ClassificationOutput, ClassTable
from foveate.registry import entries, make_config
from foveate.store import load_model, save_model

# name -> a config that runs in a fraction of a second
SMALL = {
    "spatial_transformer": {"in_channels": 3, "image_size": (16, 20), "widths": (4, 8), "localise_widths": (4,)},
    "inception_v4": {"width": 0.1, "modules": (1, 1, 1), "image_size": (96, 96)},
    "draw_reader": {"in_channels": 3, "image_size": (16, 20), "glimpses": 2, "hidden": 8, "read": 3},
    "inception_resnet_v2": {"width": 0.1, "modules": (1, 1, 1), "image_size": (96, 96)},
}
FAMILIES = ("foveate.models.classification", "foveate.models.spatial")
OTHERS = {"colocalise", "draw", "handwriting"}  # among the spatial models, but no classifiers; see their own tests
NAMES = [n for n, e in entries("model").items() if e.module.startswith(FAMILIES) and n not in OTHERS]
CLASSES = ClassTable(("a", "b", "c", "d"))


def build(name, **more):
    torch.manual_seed(0)
    if not hasattr(make_config(name), "dropout"):
        more.pop("dropout", None)
    return foveate.create(name, **(SMALL[name] | {"num_classes": 4} | more))


def batch(model, count=3):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, 3, *model.preprocessing.size, generator=generator)
    return {"image": image, "label": torch.arange(count) % 4, "names": ["x"] * count}


def test_every_model_is_here():
    assert set(NAMES) == set(SMALL)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_a_distribution_a_picture(self, name):
        model = build(name).eval()
        with torch.no_grad():
            out = model(batch(model)["image"])
        assert isinstance(out, ClassificationOutput)
        assert out.logits.shape == (3, 4)
        assert out.logits.isfinite().all()
        for look in out.transforms:
            assert look.grid.shape == (3, *look.output.shape[-2:], 2)

    def test_channels_and_classes_are_config(self, name):
        model = build(name, in_channels=5, num_classes=2).eval()
        assert model(torch.randn(2, 5, *model.preprocessing.size)).logits.shape == (2, 2)
        assert len(model.preprocessing.mean) == len(model.preprocessing.std) == 5

    def test_every_parameter_learns(self, name):
        model = build(name, dropout=0.0).train()
        for parameter in model.parameters():  # a localisation that starts at zero passes nothing down at first
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.01)
        losses = model.loss(batch(model, 4))
        assert losses["loss"].ndim == 0
        losses["loss"].backward()
        still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not still
        assert not [n for n, p in model.named_parameters() if not p.grad.any()]

    def test_weights_of_classes_weigh_the_loss(self, name):
        model = build(name, dropout=0.0).eval()
        data = batch(model)
        once = model.loss(data | {"class_weights": torch.ones(4)})["loss"]
        torch.testing.assert_close(once, model.loss(data)["loss"])
        other = model.loss(data | {"class_weights": torch.tensor([5.0, 1.0, 1.0, 1.0])})["loss"]
        assert not torch.isclose(once, other)

    def test_saved_and_loaded_it_is_the_same(self, name, tmp_path):
        model = build(name).eval()
        save_model(tmp_path / "m", model, name, {"classes": CLASSES}, "classification")
        loaded = load_model(tmp_path / "m")
        assert (loaded.name, loaded.task, loaded.preprocessing) == (name, "classification", model.preprocessing)
        image = batch(model)["image"]
        with torch.no_grad():
            assert torch.equal(loaded.model.eval()(image).logits, model(image).logits)

    def test_a_picture_is_judged_alone(self, name):
        model = build(name).eval()
        image = batch(model)["image"]
        with torch.no_grad():
            together, alone = model(image).logits, model(image[1:2]).logits
        torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
