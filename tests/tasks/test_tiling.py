from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foveate.errors import ConfigError
from foveate.records import Preprocessing
from foveate.tasks.fitting import AUTO_TILE_PIXELS
from foveate.tasks.semantic.tiling import (
    Tiling,
    _spans,
    choose_tiling,
    infer,
    predict_mask,
    predict_tiled,
)

PLAIN = Preprocessing((0.5,) * 3, (0.25,) * 3)


class Held:
    """A picture in memory that notes what is read from it."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.reads: list[tuple[int, int, int, int]] = []

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        self.reads.append((top, left, height, width))
        return self.pixels[top : top + height, left : left + width]

    def close(self) -> None:
        pass


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def chw(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def local_network(classes: int = 5, reach: int = 7) -> torch.nn.Module:
    """Looks `reach` pixels in every direction, no further."""
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, classes, 2 * reach + 1, padding=reach).eval()


def test_one_view_is_the_softmax_of_the_logits() -> None:
    network, image = local_network(), chw(picture(20, 31))
    with torch.inference_mode():
        expected = network(PLAIN(image)[None])[0].softmax(0)
        assert torch.allclose(infer(network, image, PLAIN), expected, atol=1e-6)
        assert (predict_mask(network, image, PLAIN).labels == expected.argmax(0).numpy()).all()


def test_flip_averages_probabilities_of_both_sides() -> None:
    network, image = local_network(), chw(picture(20, 31))
    with torch.inference_mode():
        seen = network(PLAIN(image)[None])[0].softmax(0)
        mirrored = network(PLAIN(image).flip(-1)[None])[0].softmax(0).flip(-1)
        assert torch.allclose(infer(network, image, PLAIN, flip=True), (seen + mirrored) / 2, atol=1e-6)


def test_answer_with_flip_mirrors_with_the_picture() -> None:
    network, image = local_network(), chw(picture(24, 40))
    with torch.inference_mode():
        one = infer(network, image, PLAIN, flip=True)
        other = infer(network, image.flip(-1), PLAIN, flip=True).flip(-1)
    assert torch.allclose(one, other, atol=1e-5)


def test_scales_resize_the_picture_and_the_answers() -> None:
    network, image = local_network(), chw(picture(32, 48))
    sizes: list[tuple[int, ...]] = []

    def watched(x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape[-2:]))
        return network(x)

    with torch.inference_mode():
        got = infer(watched, image, PLAIN, scales=(0.5, 1.0, 1.25))
        assert sizes == [(16, 24), (32, 48), (40, 60)]
        expected = network(PLAIN(image)[None]).softmax(1)
        half = F.interpolate(PLAIN(image)[None], (16, 24), mode="bilinear", antialias=True)
        larger = F.interpolate(PLAIN(image)[None], (40, 60), mode="bilinear")
        for scaled in (half, larger):
            expected = expected + F.interpolate(network(scaled), (32, 48), mode="bilinear").softmax(1)
    assert torch.allclose(got, expected[0] / 3, atol=1e-5)
    assert torch.allclose(got.sum(0), torch.ones(32, 48), atol=1e-5)


def test_scales_on_a_constant_picture_change_nothing() -> None:
    network, image = torch.nn.Conv2d(3, 4, 1).eval(), torch.full((3, 30, 50), 90, dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(infer(network, image, PLAIN, scales=(0.5, 2.0)), infer(network, image, PLAIN), atol=1e-5)
        small = image[:, :4, :3]  # of which a tenth is still a pixel
        assert torch.allclose(infer(network, small, PLAIN, scales=(0.1,)), infer(network, small, PLAIN), atol=1e-5)


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (float("nan"),), (100.0,)])
def test_bad_scales(scales: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"scale"):
        infer(local_network(), chw(picture(8, 8)), PLAIN, scales=scales)


@pytest.mark.parametrize("length", [1, 31, 64, 65, 96, 97, 127, 128, 129, 160, 191, 500, 1001])
@pytest.mark.parametrize("tiling", [Tiling(64, 0), Tiling(64, 32), Tiling(128, 32), Tiling(128, 64), Tiling(160, 64)])
def test_weights_are_a_partition_of_unity(length: int, tiling: Tiling) -> None:
    total = torch.zeros(length)
    spans = _spans(length, tiling)
    for span in spans:
        assert span.start % 32 == 0
        assert 0 < span.stop - span.start <= tiling.tile
        assert span.start <= span.low < span.high <= span.stop
        weights = span.weights()
        assert (weights > 0).all()
        total[span.low : span.high] += weights
        # Away from the picture's own ends, a quarter of the overlap is read for context alone.
        assert span.low == 0 or span.low - span.start >= tiling.overlap // 4
        assert span.high == length or span.stop - span.high >= tiling.overlap // 4 - 1
    assert torch.allclose(total, torch.ones(length), atol=1e-6)
    assert spans[0].start == 0
    assert spans[-1].stop == length


def test_weights_fade_along_a_raised_cosine() -> None:
    first, second = _spans(96, Tiling(64, 32))  # tiles 0..64 and 32..96 share 32..64 and fade over 40..56
    assert (first.low, first.high, second.low, second.high) == (0, 56, 40, 96)
    assert first.weights()[:40].tolist() == [1.0] * 40
    centres = (np.arange(16) + 0.5) / 16
    assert np.allclose(first.weights()[40:].numpy(), np.cos(centres * np.pi / 2) ** 2, atol=1e-6)
    assert np.allclose(second.weights()[:16].numpy(), np.sin(centres * np.pi / 2) ** 2, atol=1e-6)


@pytest.mark.parametrize("size", [(200, 301), (64, 400), (333, 40), (130, 129), (50, 60)])
@pytest.mark.parametrize("flip", [False, True])
def test_tiles_agree_with_the_whole_exactly_for_a_local_network(size: tuple[int, int], flip: bool) -> None:
    network, pixels = local_network(reach=7), picture(*size)
    whole = predict_mask(network, chw(pixels), PLAIN, flip=flip).labels
    tiled = predict_tiled(network, Held(pixels), PLAIN, tiling=Tiling(96, 32), flip=flip).labels
    assert tiled.dtype == np.uint8
    assert (tiled == whole).mean() > 0.9999  # ties in the last bit of a float may fall either way
    assert tiled.shape == size


def test_blending_is_the_weighted_mean_of_the_tiles() -> None:
    # A network whose answer tells the tile's number: tile n says class 0 with probability p_n.
    shares = [0.9, 0.3]
    calls = iter(shares)

    def network(x: Tensor) -> Tensor:
        p = next(calls)
        return torch.log(torch.tensor([p, 1 - p])).view(1, 2, 1, 1).expand(1, 2, *x.shape[-2:])

    mask = predict_tiled(network, Held(picture(40, 96)), PLAIN, tiling=Tiling(64, 32)).labels
    fade = np.cos((np.arange(16) + 0.5) / 16 * np.pi / 2) ** 2
    p0 = np.concatenate([np.full(40, 0.9), 0.9 * fade + 0.3 * (1 - fade), np.full(40, 0.3)])
    assert (mask == np.where(p0 >= 0.5, 0, 1)).all()


def test_reads_only_tiles_each_once() -> None:
    source = Held(picture(300, 500))
    predict_tiled(local_network(), source, PLAIN, tiling=Tiling(128, 32))
    assert len(source.reads) == len(set(source.reads))
    assert max(h for _, _, h, _ in source.reads) <= 128
    assert max(w for *_, w in source.reads) <= 128
    covered = np.zeros((300, 500), bool)
    for top, left, height, width in source.reads:
        assert top % 32 == 0 and left % 32 == 0
        covered[top : top + height, left : left + width] = True
    assert covered.all()


@pytest.mark.parametrize(("classes", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_many_classes_make_a_16_bit_mask(classes: int, dtype: type) -> None:
    network = torch.nn.Conv2d(3, classes, 1).eval()
    with torch.no_grad():
        network.weight.zero_()
        network.bias.copy_(torch.arange(classes))  # type: ignore[union-attr]
    pixels = picture(70, 90)
    for mask in (
        predict_mask(network, chw(pixels), PLAIN).labels,
        predict_tiled(network, Held(pixels), PLAIN, tiling=Tiling(64, 32)).labels,
    ):
        assert mask.dtype == dtype
        assert (mask == classes - 1).all()


def test_progress_is_the_share_of_the_tiles() -> None:
    seen: list[float] = []
    predict_tiled(local_network(), Held(picture(200, 140)), PLAIN, tiling=Tiling(96, 32), progress=seen.append)
    assert seen == [i / 6 for i in range(1, 7)]  # three rows of two


def test_sixteen_bit_windows() -> None:
    network, pixels = local_network(), picture(100, 140)
    wide = pixels.astype(np.uint16) * 257  # the same picture with 16 bits a channel
    eight = predict_tiled(network, Held(pixels), PLAIN, tiling=Tiling(64, 32)).labels
    assert (predict_tiled(network, Held(wide), PLAIN, tiling=Tiling(64, 32)).labels == eight).mean() > 0.9999


def test_choice_of_tiling() -> None:
    assert choose_tiling(1000, 1500) is None
    assert AUTO_TILE_PIXELS >= 1000 * 1500
    assert choose_tiling(1001, 1500) == Tiling(768, 128)
    assert choose_tiling(5000, 5000, tile=0) is None
    assert choose_tiling(500, 500, tile=256) == Tiling(256, 64)
    assert choose_tiling(500, 500, tile=256, overlap=96) == Tiling(256, 96)
    assert choose_tiling(200, 256, tile=256) is None  # one tile is the whole
    assert choose_tiling(200, 257, tile=256) == choose_tiling(257, 200, tile=256) == Tiling(256, 64)
    assert choose_tiling(1000, 1000, (1.0, 2.0)) == Tiling(384, 96)  # enlarged, a tile is as large as ever
    assert choose_tiling(1000, 1000, (1.2,)) is None  # 1200 x 1200
    assert choose_tiling(1000, 1000, (1.3,)) == Tiling(576, 128)  # 1300 x 1300
    assert choose_tiling(1001, 1500, (0.5,)) == Tiling(768, 128)  # the answer is of the image's own size
    assert choose_tiling(1000, 1000, (8.0,)) == Tiling(128, 32)  # not smaller, though it is enlarged
    assert choose_tiling(1000, 1000, (0.1, 8.0), overlap=96) == Tiling(192, 96)


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (500, None, r"tile is 500; it must be a multiple of 32, 64 or more: try 512"),
        (32, None, r"tile is 32; it must be a multiple of 32, 64 or more: try 64"),
        (-64, None, r"tile is -64"),
        (256, 100, r"overlap is 100; it must be a multiple of 32, 0 or more: try 96"),
        (256, 160, r"at most half of a tile can be shared: try --overlap 128 or --tile 320"),
    ],
)
def test_sizes_that_do_not_fit(tile: int, overlap: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_tiling(5000, 5000, tile=tile, overlap=overlap)
