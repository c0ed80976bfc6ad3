"""What every semantic model promises. A new model adds a line to SMALL."""

import dataclasses

import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.records import IGNORE, ClassTable, SemanticOutput
from foveate.registry import entries, make_config
from foveate.store import load_model, save_model

TIMM = {"backbone": "resnet18", "head_channels": 16, "head_kernel": 3, "dropout": 0.0}
# name -> a config that runs in a fraction of a second
SMALL = {
    "fcn32s": TIMM,
    "fcn16s": TIMM | {"skip_channels": 8},
    "fcn8s": TIMM | {"lovasz": 0.5},
    "patch_cnn": {"widths": (8, 8), "kernels": (3, 3), "fc_kernel": 3, "hidden": 16, "dropout": 0.0},
    "multiscale_cnn": {"widths": (4, 8, 16), "hidden": 16},
    "recurrent_cnn": {"widths": (8, 8)},
    "deconvnet": {"widths": (16, 32), "depths": (1, 1), "head_channels": 64, "head_kernel": 3, "initial_std": 0.0},
}
NAMES = [n for n, e in entries("model").items() if e.module.startswith("foveate.models.semantic")]
CLASSES = ClassTable(("a", "b", "c", "d"))


def build(name, **more):
    torch.manual_seed(0)
    return foveate.create(name, **(SMALL[name] | {"num_classes": 4} | more))


def batch(size=(2, 3, 64, 96)):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(size, generator=generator)
    mask = torch.randint(0, 4, (size[0], *size[2:]), generator=generator)
    mask[:, :5] = IGNORE
    return {"image": image, "mask": mask, "names": ["x"] * size[0]}


def test_every_model_is_here():
    assert set(NAMES) == set(SMALL)


@pytest.mark.parametrize("field", ["in_channels", "num_classes"])
@pytest.mark.parametrize("name", NAMES)
def test_no_channels_and_no_classes_are_refused(name, field):
    with pytest.raises(ConfigError, match=rf"{field} 0\b.* must be at least 1"):
        build(name, **{field: 0})


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_any_size_in_the_same_size_out(self, name):
        model = build(name).eval()
        for height, width in ((64, 96), (97, 61), (33, 200)):
            with torch.no_grad():
                out = model(torch.randn(1, 3, height, width))
            assert isinstance(out, SemanticOutput)
            assert out.logits.shape == (1, 4, height, width)
            assert out.logits.isfinite().all()

    def test_channels_and_classes_are_config(self, name):
        model = build(name, in_channels=5, num_classes=2).eval()
        assert model(torch.randn(1, 5, 64, 64)).logits.shape == (1, 2, 64, 64)
        assert len(model.preprocessing.mean) == 5

    def test_config_is_frozen_and_documented(self, name):
        config = make_config(name)
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.num_classes = 3
        for field in dataclasses.fields(config):
            assert f"{field.name}:" in type(config).__doc__, f"{field.name} has no line in Config's docstring"

    def test_every_parameter_learns(self, name):
        model = build(name).train()
        for parameter in model.parameters():  # zero-initialised scores would hide the rest
            parameter.data += 0.02 * torch.randn_like(parameter)
        losses = model.loss(batch())
        losses["loss"].backward()
        dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not dead

    def test_ignored_pixels_change_nothing(self, name):
        model = build(name).eval()
        one, other = batch(), batch()
        torch.manual_seed(0)
        whole = model.loss(one)["loss"]
        all_ignored = dict(one, mask=torch.full_like(one["mask"], IGNORE))
        other["mask"] = other["mask"].clone()
        torch.manual_seed(0)
        assert torch.equal(whole, model.loss(other)["loss"])
        nothing = model.loss(all_ignored)["loss"]
        nothing.backward()
        assert nothing.item() == 0

    def test_class_weights_weight_the_pixels_of_a_class(self, name):
        """The mean of a class's own pixels has that class's weight: sum_k w_k n_k L_k / sum_k w_k n_k."""
        model, data = build(name).eval(), batch()

        def loss(*weights):
            torch.manual_seed(0)  # patches and rows are drawn
            losses = model.loss(data | {"class_weights": torch.tensor(weights)})
            return losses.get("cross_entropy", losses["loss"]).item()  # the Lovász term has classes of equal weight

        for parameter in model.parameters():  # scores that start at zero would make all classes equal
            parameter.data += 0.05 * torch.randn_like(parameter)
        counts = torch.full((4,), 16) if name == "patch_cnn" else data["mask"][data["mask"] != IGNORE].bincount()
        single = torch.tensor([loss(*row) for row in torch.eye(4).tolist()])
        assert single.unique().numel() == 4
        weights = torch.tensor([0.5, 3.0, 0.0, 1.25])
        shares = weights * counts / (weights * counts).sum()
        assert loss(*weights.tolist()) == pytest.approx((shares * single).sum().item(), rel=1e-5)

    def test_one_batch_can_be_learned(self, name):
        model = build(name).train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.5
        mask = (torch.arange(64) // 32 + 2 * (torch.arange(64)[:, None] // 32)).expand(2, 64, 64)  # four quarters
        image = 0.5 * torch.randn(2, 3, 64, 64)
        # Each of its own colour, for models that do not see how far the border is.
        image[:, 0] += 2 * (mask % 2) - 1
        image[:, 1] += 2 * (mask // 2) - 1
        data = {"image": image, "mask": mask, "names": []}
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        first = None
        for _ in range(25):
            optimizer.zero_grad()
            loss = model.loss(data)["loss"]
            loss.backward()
            optimizer.step()
            first = first or loss.item()
        assert loss.item() < 0.5 * first

    def test_folder_round_trip_is_exact(self, name, tmp_path):
        model = build(name).eval()
        save_model(tmp_path / "model", model, name, {"classes": CLASSES}, "semantic")
        loaded = load_model(tmp_path / "model")
        assert loaded.tables == {"classes": CLASSES}
        assert loaded.preprocessing == model.preprocessing
        x = torch.randn(1, 3, 64, 64)
        assert torch.equal(model(x).logits, loaded.model.eval()(x).logits)

    def test_batch_elements_do_not_mix(self, name):
        model = build(name).eval().double()
        x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(model(x).logits[1], model(x[1:]).logits[0], rtol=1e-9, atol=1e-9)
