"""Batches of samples that share work: every sample once an epoch, groups whole, shared out to processes."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from foveate.engine.loading import EpochBatches

GROUPS = [f"image {random.Random(i).randrange(40)}" for i in range(300)]  # 1 to 14 samples in a group


def batches(epoch: int = 0, seed: int = 0, rank: int = 0, world: int = 1) -> list[list[int]]:
    order = EpochBatches(len(GROUPS), 16, seed, rank, world, groups=GROUPS)
    order.set_epoch(epoch)
    return [[index for _, index in batch] for batch in order]


def test_every_sample_comes_once_but_for_the_last_batch() -> None:
    indices = [index for batch in batches() for index in batch]
    assert len(indices) == len(set(indices)) == 18 * 16
    left = {frozenset(range(300)) - {i for batch in batches(epoch) for i in batch} for epoch in range(5)}
    assert len(left) == 5  # what is left out comes in another epoch


def test_a_group_is_in_batches_that_follow_each_other() -> None:
    order = [GROUPS[index] for batch in batches() for index in batch]
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes == len(set(order)) - 1
    images = [len({GROUPS[index] for index in batch}) for batch in batches()]
    alone = [len({GROUPS[index] for _, index in batch}) for batch in EpochBatches(300, 16, seed=0)]
    assert max(images) < min(alone)


def test_an_order_of_groups_is_as_likely_as_another() -> None:
    """A large group is not sooner in the epoch than a small one, as it is by the order of first samples."""
    sizes = Counter(GROUPS)
    large, small = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    assert sizes[large] > 5 * sizes[small]
    orders = [list(dict.fromkeys(GROUPS[i] for batch in batches(epoch) for i in batch)) for epoch in range(200)]
    both = [order for order in orders if large in order and small in order]
    sooner = sum(order.index(large) < order.index(small) for order in both)
    assert abs(sooner / len(both) - 0.5) < 0.12  # three deviations of 200 even draws are 0.11


def test_processes_share_out_one_order() -> None:
    parts = [batches(rank=rank, world=2) for rank in range(2)]
    for whole, first, second in zip(batches(), *parts, strict=True):
        assert first + second == whole and len(first) == len(second) == 8  # neighbours: a group is in one part, or cut
    odd = [next(iter(EpochBatches(300, 7, 0, rank, 3, groups=GROUPS))) for rank in range(3)]
    assert sorted(map(len, odd)) == [2, 2, 3]
    assert batches(epoch=1) != batches() != batches(seed=1)
