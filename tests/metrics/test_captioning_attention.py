"""Attention scores: pooled masks, hits, chance, entropy and change by hand and as laws; sums; errors."""

import math

import numpy as np
import pytest
import torch

from foveate.errors import DataError
from foveate.metrics.captioning import MAX_OBJECT_SHARE, CaptioningMetrics
from foveate.metrics.captioning.attention import pool


def mask(height, width, *boxes):
    m = np.zeros((height, width), bool)
    for top, left, bottom, right in boxes:
        m[top:bottom, left:right] = True
    return m


def one_hot(h, w, *cells):
    maps = np.zeros((len(cells), h, w))
    for t, (i, j) in enumerate(cells):
        maps[t, i, j] = 1
    return maps


def scored(words, maps, masks=None, named=None):
    metrics = CaptioningMetrics([["a dog"], ["a cat"]])
    metrics.update(0, " ".join(words), words, maps, masks, named)
    return metrics.compute()


DOG = mask(40, 40, (0, 0, 10, 15))[None]  # of 4 x 4 cells: the first, and half of the second
BIRD = mask(40, 40, (32, 32, 36, 35))[None]  # 12 of the last cell's 100 pixels


def test_pooling_by_hand_and_against_torch():
    assert pool(DOG, 4, 4)[0, 0].tolist() == [1, 0.5, 0, 0]
    m = np.random.default_rng(0).random((3, 24, 36)) < 0.4
    theirs = torch.nn.functional.avg_pool2d(torch.from_numpy(m).double(), (4, 6))
    assert pool(m, 6, 6) == pytest.approx(theirs.numpy())


@pytest.mark.parametrize("size", [(7, 5), (16, 16), (3, 50)])
def test_pooling_keeps_the_area_where_cells_cut_pixels_or_pixels_cells(size):
    m = np.random.default_rng(1).random((2, 13, 9)) < 0.3
    pooled = pool(m, *size)
    assert pooled.mean((1, 2)) == pytest.approx(m.mean((1, 2)))
    h, w = size
    fine = np.kron(m, np.ones((1, h, w)))  # each pixel as h x w: then cells are whole blocks of 13 x 9
    assert pooled == pytest.approx(fine.reshape(2, h, 13, w, 9).mean((2, 4)))


def test_mass_and_hit_by_hand():
    maps = one_hot(4, 4, (3, 3), (0, 1), (0, 2))
    maps[2, 0, 0], maps[2, 0, 2] = 0.4, 0.6
    scores = scored(["a", "dog", "dog"], maps, DOG, {"dog": (0,)})
    # "a" names nothing. The second cell is half the dog's, and so one of its cells; the third is not.
    assert scores.attention_words == 2
    assert scores.attention_hit == pytest.approx((1 + 0) / 2)
    assert scores.attention_mass == pytest.approx((0.5 + 0.4) / 2)
    assert scores.attention_chance == pytest.approx(2 / 16)
    assert scores.attention_mass_chance == pytest.approx(150 / 1600)


def test_what_is_smaller_than_a_cell_has_the_cell_it_fills_most():
    scores = scored(["bird", "bird"], one_hot(4, 4, (3, 3), (0, 0)), BIRD, {"bird": (0,)})
    assert scores.attention_hit == 0.5
    assert scores.attention_chance == pytest.approx(1 / 16)
    assert scores.attention_mass == pytest.approx(0.12 / 2)


def test_a_word_may_be_about_several_things_and_each_can_be_hit():
    both = np.concatenate([DOG, BIRD])
    named = {"animals": (0, 1)}
    scores = scored(["Animals,", "animals", "animals"], one_hot(4, 4, (3, 3), (0, 0), (2, 2)), both, named)
    assert scores.attention_hit == pytest.approx(2 / 3)
    assert scores.attention_chance == pytest.approx(3 / 16)
    # Each has the cell it fills most, the first and the last; the second cell is half theirs in common.
    pair = np.stack([mask(40, 40, (0, 6, 10, 14)), mask(40, 40, (0, 14, 10, 17), (0, 30, 10, 34))])
    assert pool(pair, 4, 4)[:, 0].tolist() == [[0.4, 0.4, 0, 0], [0, 0.3, 0, 0.4]]
    scores = scored(["pair"] * 4, one_hot(4, 4, (0, 0), (0, 1), (0, 2), (0, 3)), pair, {"pair": (0, 1)})
    assert scores.attention_hit == pytest.approx(3 / 4)
    assert scores.attention_chance == pytest.approx(3 / 16)


def cells_of(masks, h, w):
    """Return the cells of the objects, pixel by pixel: half full, or the fullest of an object that half fills none."""
    height, width = masks.shape[1] // h, masks.shape[2] // w
    chosen = set()
    for i in range(h):
        for j in range(w):
            block = masks[:, i * height : (i + 1) * height, j * width : (j + 1) * width]
            if 2 * block.any(0).sum() >= height * width:
                chosen.add((i, j))
    for m in masks:
        filled = {
            (i, j): int(m[i * height : (i + 1) * height, j * width : (j + 1) * width].sum())
            for i in range(h)
            for j in range(w)
        }
        if 2 * max(filled.values()) < height * width:
            chosen.add(max(filled, key=filled.get))  # the first of equals, by rows
    return chosen


@pytest.mark.parametrize("seed", range(8))
def test_every_cell_is_a_hit_or_not_as_the_rule_says(seed):
    """Coverage just below, at and above a half; objects that share a cell; small ones; compared cell by cell."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 40, 40), bool)
    for m in masks[2:]:
        top, left = rng.integers(0, 36, 2)
        m[top : top + rng.integers(2, 7), left : left + rng.integers(2, 7)] = True
    masks[0, :10, :4], masks[0, :9, 4], masks[0, :10, 10:15] = True, True, True  # 49 and 50 of 100 pixels
    masks[1, 30:37, 30:37] = True  # 49 of 100 pixels, and half of no cell
    every = [(i, j) for i in range(4) for j in range(4)]
    expected = cells_of(masks, 4, 4)
    assert cells_of(masks[:2], 4, 4) == {(0, 1), (3, 3)} <= expected
    hits = {c for c in every if scored(["it"], one_hot(4, 4, c), masks, {"it": (0, 1, 2, 3)}).attention_hit == 1}
    assert hits == expected


def test_a_uniform_map_scores_chance():
    maps = np.full((2, 4, 4), 1 / 16)
    scores = scored(["dog", "bird"], maps, np.concatenate([DOG, BIRD]), {"dog": (0,), "bird": (1,)})
    assert scores.attention_hit == pytest.approx(scores.attention_chance) == pytest.approx((2 + 1) / 32)
    assert scores.attention_mass == pytest.approx(scores.attention_mass_chance)
    assert scores.attention_entropy == pytest.approx(math.log(16))
    assert scores.attention_entropy_share == pytest.approx(1)
    assert scores.attention_change == 0


def test_chance_is_what_a_cell_drawn_at_random_reaches():
    rng = np.random.default_rng(0)
    masks = np.stack([mask(50, 70, (5, 10, 20, 31)), mask(50, 70, (40, 60, 45, 66))])
    every = one_hot(7, 9, *[(i, j) for i in range(7) for j in range(9)])
    scores = scored(["it"] * 63, every[rng.permutation(63)], masks, {"it": (0, 1)})
    assert scores.attention_hit == pytest.approx(scores.attention_chance)
    assert scores.attention_mass == pytest.approx(scores.attention_mass_chance)


def test_only_what_is_small_and_seen_is_scored():
    edge = mask(20, 20, (0, 0, 3, 20))  # 60 of 400: MAX_OBJECT_SHARE exactly
    below = edge.copy()
    below[0, 0] = False
    gone = np.zeros((20, 20), bool)
    masks = np.stack([edge, below, gone])
    maps = one_hot(4, 4, (0, 0), (0, 0), (0, 0))
    assert edge.mean() == MAX_OBJECT_SHARE == 0.15
    scores = scored(["large", "small", "gone"], maps, masks, {"large": (0,), "small": (1,), "gone": (2,)})
    assert scores.attention_words == 1
    assert scores.attention_mass_chance == pytest.approx(59 / 400)
    scores = scored(["large", "gone", "small"], maps, masks, {"large": (0, 1), "gone": (), "other": (1,)})
    assert scores.attention_words == 0
    assert math.isnan(scores.attention_hit) and math.isnan(scores.attention_chance)
    assert scores.to_json()["attention_hit"] is None
    assert scores.attention_entropy == 0


def test_entropy_and_change_by_hand():
    maps = one_hot(2, 2, (0, 0), (0, 0), (1, 1))
    maps[1] = [[0.5, 0.5], [0, 0]]
    scores = scored(["a", "big", "dog"], maps)
    assert scores.attention_entropy == pytest.approx(math.log(2) / 3)
    assert scores.attention_entropy_share == pytest.approx(1 / 2 / 3)
    assert scores.attention_change == pytest.approx((0.5 + 1) / 2)
    assert math.isnan(scores.attention_hit)


def test_change_is_a_mean_over_sentences_and_one_word_has_none():
    metrics = CaptioningMetrics([["a"], ["b"], ["c"]])
    metrics.update(0, "a b c", ["a", "b", "c"], one_hot(2, 2, (0, 0), (1, 1), (0, 0)))
    metrics.update(1, "a b", ["a", "b"], one_hot(3, 3, (0, 0), (0, 0)))
    metrics.update(2, "a", ["a"], one_hot(1, 1, (0, 0)))
    scores = metrics.compute()
    assert scores.attention_change == pytest.approx((1 + 0) / 2)
    assert scores.attention_entropy == scores.attention_entropy_share == 0


def test_nothing_said_has_no_maps():
    scores = scored([], np.zeros((0, 4, 4)), DOG, {"dog": (0,)})
    assert math.isnan(scores.attention_entropy) and math.isnan(scores.attention_change)


def test_tensors_and_float32_are_read_alike():
    maps = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0)).flatten(1).softmax(1).view(2, 5, 5)
    one = scored(["a", "dog"], maps, torch.from_numpy(DOG), {"dog": (0,)})
    other = scored(["a", "dog"], maps.double().numpy(), DOG, {"dog": (0,)})
    assert one == other


def test_sums_of_parts_are_the_whole():
    def count(metrics, index):
        metrics.update(index, "a dog", ["a", "dog"], one_hot(4, 4, (0, 0), (index, index)), DOG, {"dog": (0,)})

    references = [["a dog"], ["a cat"], ["a cow"]]
    whole, left, right, both = (CaptioningMetrics(references) for _ in range(4))
    for index in range(3):
        count(whole, index)
        count(left if index < 2 else right, index)
    both.merge(left.state())
    both.merge(right.state())
    assert both.compute() == whole.compute()
    assert whole.compute().attention_hit == pytest.approx(1 / 3)


def test_errors_say_what_came():
    maps = one_hot(4, 4, (0, 0), (0, 0))
    with pytest.raises(DataError, match=r"picture 0: attention of shape \(2, 4, 4\) for 1 word; expected \(1, h, w\)"):
        scored(["dog"], maps)
    for wrong in (2 * maps, maps / 2, maps * math.nan):
        with pytest.raises(
            DataError, match=r"picture 0: the map of 'a' sums to (2|0\.5|nan), .* must be a distribution"
        ):
            scored(["a", "dog"], wrong)
    negative = maps.copy()
    negative[1, 0, :2] = 1.5, -0.5
    with pytest.raises(DataError, match=r"the map of 'dog' sums to 1, its lowest value is -0\.5"):
        scored(["a", "dog"], negative)
    with pytest.raises(DataError, match=r"picture 0: masks of shape \(40, 40\); expected \(N, H, W\)"):
        scored(["a", "dog"], maps, DOG[0], {"dog": (0,)})
    with pytest.raises(DataError, match=r"picture 0: 'dog' names masks \[0, 1\], but there are 1"):
        scored(["a", "dog"], maps, DOG, {"dog": (0, 1)})
