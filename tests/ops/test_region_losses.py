"""Dice, Tversky and focal loss: by hand, against independent formulas, in the limit, and their gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.models.semantic import fcn
from foveate.ops.losses import pixel_cross_entropy
from foveate.ops.region_losses import focal, pixel_loss, soft_dice, tversky
from foveate.records import IGNORE
from foveate.registry import make_config


def batch(classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 5, 6, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, classes - 1, (2, 5, 6), generator=generator)  # the last class is absent
    mask[0, 0] = IGNORE
    return logits, mask


def sure(mask: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits of a network that is certain of these labels."""
    return F.one_hot(mask, classes).permute(0, 3, 1, 2) * 200.0


def test_counts_by_hand() -> None:
    truth = torch.tensor([[[0, 0, 0, 1]]])
    found = torch.tensor([[[0, 0, 1, 1]]])
    # Class 0: TP 2, FP 0, FN 1. Class 1: TP 1, FP 1, FN 0.
    assert float(soft_dice(sure(found, 3), truth)) == pytest.approx(1 - (4 / 5 + 2 / 3) / 2)
    assert float(tversky(sure(found, 3), truth)) == pytest.approx(1 - (2 / 2.7 + 1 / 1.3) / 2)
    assert float(tversky(sure(found, 3), truth, 1.0, 1.0)) == pytest.approx(1 - (2 / 3 + 1 / 2) / 2)  # mean IoU
    assert float(soft_dice(sure(truth, 3), truth)) == pytest.approx(0)


def test_dice_is_that_of_a_loop_over_classes() -> None:
    logits, mask = batch()
    p, scores = logits.softmax(1), []
    for c in range(3):
        valid, own = mask != IGNORE, (mask == c).double()
        scores.append(2 * (p[:, c] * own)[valid].sum() / (p[:, c][valid].sum() + own[valid].sum()))
    assert float(soft_dice(logits, mask)) == pytest.approx(float(1 - torch.stack(scores).mean()))


def test_focal_is_that_of_torchvision_for_two_classes_and_the_cross_entropy_without_gamma() -> None:
    from torchvision.ops import sigmoid_focal_loss

    logits, mask = batch(3)
    assert float(focal(logits, mask, gamma=0.0)) == pytest.approx(float(pixel_cross_entropy(logits, mask)))
    weights = torch.tensor([0.5, 2.0, 1.0])
    theirs = pixel_cross_entropy(logits, mask, weights.double())
    assert float(focal(logits, mask, weights, gamma=0.0)) == pytest.approx(float(theirs))
    two = logits[:, :2]
    binary = mask.clamp(0, 1)
    expected = sigmoid_focal_loss(two[:, 1] - two[:, 0], binary.double(), alpha=-1, gamma=2.0, reduction="mean")
    assert float(focal(two, binary)) == pytest.approx(float(expected))


@pytest.mark.parametrize("kind", ["dice", "tversky", "focal", "cross_entropy+dice", "cross_entropy"])
def test_gradients_are_right_and_ignored_pixels_have_none(kind: str) -> None:
    logits, mask = batch()
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pixel_loss(kind, x, mask), (logits,))  # type: ignore[arg-type]
    pixel_loss(kind, logits, mask).backward()  # type: ignore[arg-type]
    assert logits.grad is not None
    assert (logits.grad[0, :, 0] == 0).all()
    assert (logits.grad[1] != 0).any()
    nothing = torch.full_like(mask, IGNORE)
    empty = logits.detach().requires_grad_()
    loss = pixel_loss(kind, empty, nothing)  # type: ignore[arg-type]
    loss.backward()
    assert float(loss) == 0
    assert empty.grad is not None
    assert (empty.grad == 0).all()


def test_labels_that_are_no_class_are_refused() -> None:
    logits, mask = batch()
    for kind in ("dice", "focal"):
        with pytest.raises(ConfigError, match="the mask holds label 9, but the logits have 4 classes"):
            pixel_loss(kind, logits, mask.masked_fill(mask == 1, 9))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["fcn8s", "deconvnet", "multiscale_cnn", "recurrent_cnn"])
def test_models_take_the_loss_by_name(name: str) -> None:
    assert make_config(name).loss == "cross_entropy"
    assert make_config(name, loss="focal").loss == "focal"
    with pytest.raises(ConfigError, match="loss is 'dise'; expected one of cross_entropy, dice"):
        make_config(name, loss="dise")


def test_the_loss_of_a_model_is_the_one_it_was_given() -> None:
    images, mask = torch.randn(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    for kind in ("cross_entropy", "dice", "tversky"):
        config = fcn.Config(
            num_classes=3,
            stride=8,
            backbone="test_efficientnet",
            head_channels=8,
            head_kernel=1,
            dropout=0.0,
            loss=kind,
        )  # type: ignore[arg-type]
        torch.manual_seed(0)
        model = fcn.FCN(config).eval()
        own = model.loss({"image": images, "mask": mask, "names": ["a", "b"]})["loss"]
        assert float(own) == pytest.approx(float(pixel_loss(kind, model(images).logits, mask)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="reduction 'sum' is of the cross-entropy alone"):
        fcn.Config(reduction="sum", loss="dice")
