"""Patch CNN: patch by patch and all at once are one answer, and centres are drawn evenly."""

import pytest
import torch

import foveate
from foveate.errors import ConfigError
from foveate.models.semantic.patch_cnn import Config, balanced_centres
from foveate.ops.dense import shift_and_stitch
from foveate.records import IGNORE

SMALL = {"num_classes": 3, "widths": (4, 6), "kernels": (3, 2), "fc_kernel": 2, "hidden": 8}


def build(**more):
    torch.manual_seed(0)
    model = foveate.create("patch_cnn", **(SMALL | more)).double().eval()
    model.shares.copy_(torch.tensor([0.7, 0.2, 0.1]))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return model


def every_pixel(model, image):
    """The sliding window: cut the patch around each pixel, classify it."""
    b, _, h, w = image.shape
    where = torch.meshgrid(torch.arange(b), torch.arange(h), torch.arange(w), indexing="ij")
    logits = model.classify(model.cut(image, *(axis.flatten() for axis in where)))
    return logits.reshape(b, h, w, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [(20, 23), (13, 5), (1, 1)])
def test_patch_by_patch_equals_fully_convolutional_exactly(size):
    model = build(dense="atrous", prior=0.0)
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(model(image).logits, every_pixel(model, image), rtol=0, atol=1e-12)


def test_the_strided_answer_is_exact_at_every_fth_pixel():
    model = build(prior=0.0)
    image = torch.randn(1, 3, 19, 26, dtype=torch.float64)
    f = model.config.stride
    assert f == 4
    torch.testing.assert_close(
        model(image).logits[..., ::f, ::f], every_pixel(model, image)[..., ::f, ::f], rtol=0, atol=1e-12
    )


def test_shift_and_stitch_is_the_third_way():
    model = build(dense="atrous", prior=0.0)
    image = torch.randn(1, 3, 12, 15, dtype=torch.float64)
    stitched = shift_and_stitch(model.network, model._padded(image, 0, 0), 4)
    torch.testing.assert_close(stitched, model(image).logits, rtol=0, atol=1e-12)


def test_the_patch_is_just_what_one_answer_sees():
    for kernels, side in (((5, 5, 3), 60), ((3, 3, 3), 5 * 8 + 2 * 7)):  # by hand: 2 s + k - 1, three times
        config = Config(kernels=kernels)
        assert config.patch == side
        assert config.stride == 8
        network = foveate.create("patch_cnn", kernels=kernels).eval().network
        assert network(torch.zeros(1, 3, side, side)).shape[-2:] == (1, 1)
        image = torch.randn(1, 3, side, side, requires_grad=True)
        network(image).sum().backward()
        assert image.grad[0].abs().sum(0)[[0, 0, -1, -1], [0, -1, 0, -1]].isfinite().all()


def test_the_prior_turns_balanced_answers_into_answers_as_frequent_as_in_training():
    """Bayes' rule by hand: p(k | x) = p_balanced(k | x) shares_k / sum."""
    model = build(dense="atrous")
    image = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    balanced = every_pixel(model, image).softmax(1)
    expected = balanced * model.shares[:, None, None]
    torch.testing.assert_close(model(image).logits.softmax(1), expected / expected.sum(1, keepdim=True))


def test_the_shares_follow_the_training_pixels():
    model = build().float().train()
    mask = torch.full((2, 30, 30), IGNORE)
    mask[0, :10] = 2  # 300 pixels
    batch = {"image": torch.randn(2, 3, 30, 30), "mask": mask, "names": []}
    model.loss(batch)
    assert model.shares.tolist() == [0, 0, 1]
    model.loss(batch | {"mask": torch.where(mask == 2, 0, mask).index_fill(0, torch.tensor([1]), 1)})
    torch.testing.assert_close(model.shares, torch.tensor([300, 900, 300]) / 1500)
    model.loss(batch | {"mask": torch.full_like(mask, IGNORE)})
    torch.testing.assert_close(model.shares, torch.tensor([300, 900, 300]) / 1500)
    before = model.shares.clone()
    model.eval().loss(batch)
    assert torch.equal(model.shares, before)  # evaluation is not training


def test_centres_come_from_all_classes_alike():
    torch.manual_seed(0)
    mask = torch.zeros(2, 40, 40, dtype=torch.int64)
    mask[1, 7, 9] = 1  # one pixel
    mask[0, :20] = IGNORE
    image, row, column = balanced_centres(mask, 1001)
    labels = mask[image, row, column]
    assert torch.bincount(labels).tolist() == [500, 501]
    assert {tuple(t) for t in torch.stack([image, row, column], 1)[labels == 1].tolist()} == {(1, 7, 9)}
    spread = (image[labels == 0] * 40 + row[labels == 0]).unique()
    assert len(spread) > 55  # of the 60 rows that are labelled


def test_without_any_label_every_centre_is_ignored():
    mask = torch.full((1, 4, 4), IGNORE)
    image, row, column = balanced_centres(mask, 5)
    assert (mask[image, row, column] == IGNORE).all()
    assert len(image) == 5


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kernels": (3,)}, r"widths \(4, 6\) and kernels \(3,\); expected one value of each per layer"),
        ({"prior": 2.0}, r"prior is 2.0; expected 0 \(balanced classes\) to 1"),
        ({"dense": "fast"}, "dense is 'fast'; expected one of upsampled, atrous"),
        ({"dropout": 2.0}, "dropout is 2.0; expected 0 or more and below 1"),
        ({"patches": 0}, "patches 0 must be at least 1"),
    ],
)
def test_invalid_configs_raise(fields, text):
    with pytest.raises(ConfigError, match=text):
        build(**fields)


def test_patches_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"patches of \(40, 40\) pixels; this network takes 12x12"):
        build().classify(torch.zeros(1, 3, 40, 40, dtype=torch.float64))
