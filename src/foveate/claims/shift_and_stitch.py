"""Two ways to predict at every pixel: shift-and-stitch, and learned upsampling.

Shapes: images (B, C, H, W), labels (B, H, W), K classes; f the network's stride, R the side of its receptive field.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.claims import GAIN, HINT, NEW_SEEDS, Claim
from foveate.claims.cost import multiply_adds
from foveate.claims.exact import DIGITS, digits
from foveate.claims.trained import SIDE, TEST, TRAIN, gains
from foveate.datasets.pasture import CLASSES, Pasture
from foveate.metrics.segmentation import SegmentationMetrics, SegmentationScores
from foveate.ops.dense import atrous, shift_and_stitch
from foveate.ops.losses import pixel_cross_entropy
from foveate.ops.upconv import UpConv
from foveate.records import Preprocessing
from foveate.registry import claim, create_model

SECTION = "Deconvolution: shift-and-stitch"
STEPS, BATCH = 300, 8


@claim("shifts_give_every_pixel")
def shifts_give_every_pixel() -> Claim:
    """Compare f x f shifted and stitched passes with one pass without strides and with dilated filters."""
    return Claim(
        section=SECTION,
        claim="Running the network on shifted copies of the input gives the answers that striding leaves out.",
        effect="{:.1f} digits agree with the same network without strides, at every pixel",
        measure=_shifts_give_every_pixel,
        holds=DIGITS,
        partly=DIGITS,
        law=True,
    )


def _shifts_give_every_pixel(seed: int) -> tuple[float]:
    torch.manual_seed(seed)
    network = _trunk().double().eval()
    image = torch.randn(1, 3, 50, 61, dtype=torch.float64)
    with torch.no_grad():
        return (digits(shift_and_stitch(network, image, 8), atrous(network, image)),)


@claim("learned_upsampling_is_cleaner")
def learned_upsampling_is_cleaner() -> Claim:
    """Train one small network twice, from the same weights and on the same images of the Pasture data set.

    Once its logits are upsampled by a learned transposed convolution, in training and in testing. Once it is trained on
    the labels at the positions of its logits, under random shifts, and is shifted and stitched in testing.
    """
    return Claim(
        section=SECTION,
        claim="Instead of upsampling one may shift and stitch, but learned upsampling is generally cleaner.",
        effect="{:+.1f} points for learned upsampling, the smaller of two gains: boundary IoU {:+.1f} ({:.1f}, against "
        "{:.1f}), and mean IoU {:+.1f} ({:.1f}, against {:.1f}); shift-and-stitch takes {:.0f} times the multiply-adds",
        measure=_learned_upsampling_is_cleaner,
        holds=GAIN,
        partly=HINT,
        seeds=NEW_SEEDS,
        long=True,
    )


def _learned_upsampling_is_cleaner(seed: int) -> tuple[float, ...]:
    source = Pasture(height=SIDE, width=SIDE, train=TRAIN, test=TEST, seed=seed)
    train, test = _scenes(source, "train"), _scenes(source, "test")
    networks = _train_upsampling(seed, *train), _train_for_stitching(seed, *train)
    learned, stitched = (_score(network, *test) for network in networks)
    least, boundary, mean = gains(stitched, learned)
    adds = [multiply_adds(network, test[0][:1]) for network in networks]
    return (
        least, boundary, 100 * learned.boundary_iou, 100 * stitched.boundary_iou,
        mean, 100 * learned.mean_iou, 100 * stitched.mean_iou, adds[1] / adds[0],
    )  # fmt: skip


def _trunk() -> nn.Sequential:
    """Create a sequence of layers without padding: f = 8, R = 40."""
    patch_cnn = create_model(
        "patch_cnn", num_classes=len(CLASSES), widths=(16, 32, 64), kernels=(5, 3, 3), fc_kernel=3, hidden=128
    )
    network: nn.Sequential = patch_cnn.network
    return network


def _padded(image: Tensor, before: int) -> Tensor:
    """Pad with R - 1 = 39 rows and columns, `before` of them before the first: one patch for each pixel."""
    return F.pad(image, (before, 39 - before, before, 39 - before))


def _train_upsampling(seed: int, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(seed)
    trunk = _trunk()
    up = UpConv(len(CLASSES), 8)

    def network(image: Tensor) -> Tensor:
        # The centre of a patch is the centre of a block of eight pixels, the position of UpConv's output.
        logits: Tensor = up(trunk(_padded(image, before=16)))
        return logits

    _fit(nn.Sequential(trunk, up), seed, images, labels, lambda x, y: pixel_cross_entropy(network(x), y))
    return network


def _train_for_stitching(seed: int, images: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    torch.manual_seed(seed)
    trunk = _trunk()

    def loss(image: Tensor, label: Tensor) -> Tensor:
        dy, dx = torch.randint(8, (2,)).tolist()
        logits = trunk(_padded(image, before=20)[..., dy:, dx:])
        return pixel_cross_entropy(logits, label[..., dy::8, dx::8])

    _fit(trunk, seed, images, labels, loss)
    return lambda image: shift_and_stitch(trunk, _padded(image, before=20), 8)


def _fit(model: nn.Module, seed: int, images: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Train for STEPS steps of AdamW with one learning rate cycle; the seed determines the batches."""
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=STEPS)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(STEPS):
        batch = torch.randint(len(images), (BATCH,), generator=order)
        optimizer.zero_grad()
        loss(images[batch], labels[batch]).backward()
        optimizer.step()
        schedule.step()
    model.eval()


def _scenes(source: Pasture, split: str) -> tuple[Tensor, Tensor]:
    """Return normalised images (N, 3, H, W) and labels (N, H, W) of a split."""
    scenes = source.open(split)
    samples = [scenes[i] for i in range(len(scenes))]
    images = torch.stack([sample["image"].as_subclass(Tensor) for sample in samples])
    labels = torch.stack([sample["mask"].as_subclass(Tensor).long() for sample in samples])
    return Preprocessing.centred(3)(images), labels


def _score(network: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> SegmentationScores:
    metrics = SegmentationMetrics(len(CLASSES))
    for image, label in zip(images, labels, strict=True):
        with torch.inference_mode():
            prediction = network(image[None])[0].argmax(0)
        metrics.update(prediction, label)
    return metrics.compute()
