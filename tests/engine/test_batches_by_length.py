"""Batches of sentences of like length: every pair once an epoch, little padding, the same for every process."""

from __future__ import annotations

import itertools
import random

import pytest

from foveate.engine.loading import BUCKET, EpochBatches

LENGTHS = [3 + random.Random(i).randrange(17) for i in range(1003)]


def batches(epoch: int = 0, seed: int = 0, rank: int = 0, world: int = 1, size: int = 16) -> list[list[int]]:
    order = EpochBatches(len(LENGTHS), size, seed, rank, world, LENGTHS)
    order.set_epoch(epoch)
    found = list(order)
    assert len(found) == len(order)
    assert {e for batch in found for e, _ in batch} == {epoch}
    return [[index for _, index in batch] for batch in found]


def padding(found: list[list[int]]) -> float:
    """The share of a batch's tokens that are filled up."""
    filled = sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in found)
    return 1 - sum(LENGTHS[i] for batch in found for i in batch) / filled


def test_every_pair_comes_once_but_for_the_last_batch() -> None:
    found = batches()
    indices = [i for batch in found for i in batch]
    assert all(len(batch) == 16 for batch in found)
    assert len(indices) == len(set(indices)) == 62 * 16
    left = [set(range(len(LENGTHS))) - {i for batch in batches(e) for i in batch} for e in range(6)]
    assert all(len(rest) == 11 for rest in left)
    assert len({frozenset(rest) for rest in left}) == 6  # what is left out comes in another epoch


def test_like_lengths_come_together_but_not_the_same_ones() -> None:
    plain = EpochBatches(len(LENGTHS), 16, seed=0)
    apart = padding([[i for _, i in batch] for batch in plain])
    assert padding(batches()) < 0.1 < 0.3 < apart
    spread = [max(LENGTHS[i] for i in batch) - min(LENGTHS[i] for i in batch) for batch in batches()]
    # A stretch of 320 pairs in order spans 17 lengths in 20 batches; only the last stretch is shorter: two batches.
    assert BUCKET == 20
    assert sorted(spread)[-3] <= 3
    partners = [set(batch) for epoch in range(5) for batch in batches(epoch) if 0 in batch]
    assert len(partners) > 3
    assert all(len(a & b) < 8 for a, b in itertools.combinations(partners, 2))


def test_short_and_long_batches_are_mixed() -> None:
    """Not from short to long: the rank of a batch's place and of its length have little to do with each other."""
    means = [sum(LENGTHS[i] for i in batch) / 16 for batch in batches()]
    rising = sum(a < b for a, b in itertools.pairwise(means))
    assert 20 < rising < 42  # of 61


def test_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    assert batches(3) == batches(3)
    assert batches(3) != batches(4)
    assert batches(3) != batches(3, seed=1)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_get_parts_of_the_same_batches(world: int) -> None:
    whole = batches(2)
    parts = [batches(2, rank=rank, world=world) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole)}
    for step, batch in enumerate(whole):
        dealt = [part[step] for part in parts]
        assert all(len(part) == 16 // world for part in dealt)
        assert sorted(i for part in dealt for i in part) == sorted(batch)


def test_a_set_of_one_batch_and_equal_lengths_are_no_special_case() -> None:
    one = EpochBatches(3, 8, seed=0, lengths=[5, 2, 9])
    assert [sorted(i for _, i in batch) for batch in one] == [[0, 1, 2]]
    alike = EpochBatches(64, 8, seed=0, lengths=[7] * 64)
    assert sorted(i for batch in alike for _, i in batch) == list(range(64))
