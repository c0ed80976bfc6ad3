"""What a sample looks like is a function of (seed, epoch, index); batches can be dealt, repeated and resumed."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch

from foveate.datasets.pasture import Pasture
from foveate.engine import loading
from foveate.engine.loading import CachedDataset, EpochBatches, SeededTransform, mixed_seed, train_loader
from foveate.engine.recipe import Recipe
from foveate.records import Preprocessing
from foveate.tasks import create_task
from foveate.transforms import SemanticAugment

SCENES = Pasture(height=40, width=40, train=10).open("train")
AUGMENT = SemanticAugment(crop=(32, 32), rotate=20, color=0.4).build({"classes": SCENES.classes}, Preprocessing())


def batches(recipe: Recipe, epochs: tuple[int, ...], rank: int = 0, world: int = 1) -> list[Any]:
    task = create_task("semantic", {"classes": SCENES.classes}, Preprocessing())
    loader = train_loader(recipe, SCENES, AUGMENT, task.collate, rank, world)
    found = []
    for epoch in epochs:
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        found += list(loader)
    return found


def by_name(found: list[Any]) -> dict[str, list[torch.Tensor]]:
    return {n: [b["image"][i], b["mask"][i]] for b in found for i, n in enumerate(b["names"])}


def same(a: dict[str, list[torch.Tensor]], b: dict[str, list[torch.Tensor]]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(x, y) for n in a for x, y in zip(a[n], b[n], strict=True))


def test_samples_do_not_depend_on_workers_batches_processes_or_what_came_before(tiny: Callable[..., Recipe]) -> None:
    alone = by_name(batches(tiny(batch_size=10), (3,)))
    assert len(alone) == 10
    assert same(alone, by_name(batches(tiny(batch_size=5), (3,))))
    assert same(alone, by_name(batches(tiny(batch_size=5), (0, 1, 2, 3))[-2:]))
    assert same(alone, by_name(batches(tiny(batch_size=5, workers=2), (3,))))
    dealt = [by_name(batches(tiny(batch_size=10), (3,), rank, 2)) for rank in (0, 1)]
    assert not dealt[0].keys() & dealt[1].keys()
    assert same(alone, dealt[0] | dealt[1])


def test_another_epoch_and_another_seed_change_every_sample(tiny: Callable[..., Recipe]) -> None:
    first = by_name(batches(tiny(batch_size=10), (0,)))
    for other in (by_name(batches(tiny(batch_size=10), (1,))), by_name(batches(tiny(batch_size=10, seed=1), (0,)))):
        assert all(not torch.equal(first[name][0], other[name][0]) for name in first)


def test_samples_leave_the_global_generator_alone(tiny: Callable[..., Recipe]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    batches(tiny(batch_size=5, workers=1), (0, 1))
    assert torch.equal(torch.rand(3), expected)


def test_an_epoch_is_a_permutation_in_whole_batches() -> None:
    order = EpochBatches(11, 4, seed=0)
    epochs = []
    for epoch in range(40):
        order.set_epoch(epoch)
        drawn = list(order)
        assert len(drawn) == len(order) == 2
        assert all(len(batch) == 4 and {e for e, _ in batch} == {epoch} for batch in drawn)
        indices = [i for batch in drawn for _, i in batch]
        assert len(set(indices)) == 8
        epochs.append(tuple(indices))
    assert len(set(epochs)) == 40
    seen = Counter(i for epoch in epochs for i in epoch)  # the three left out change: 40 * 8 / 11 = 29 times each
    assert set(seen) == set(range(11))
    assert min(seen.values()) > 18


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    assert [len(b) for b in EpochBatches(3, 8, seed=0)] == [3]


def test_near_seeds_are_unrelated() -> None:
    seeds = {mixed_seed(s, e, i) for s in range(8) for e in range(8) for i in range(8)}
    assert len(seeds) == 512
    assert mixed_seed(1, 23) != mixed_seed(12, 3)
    assert all(0 <= s < 2**63 for s in seeds)


def test_the_cache_gives_identical_samples_decoded_once() -> None:
    class Counting:
        def __init__(self) -> None:
            self.decoded: Counter[int] = Counter()

        def __len__(self) -> int:
            return len(SCENES)

        def __getitem__(self, index: int) -> Any:
            self.decoded[index] += 1
            return SCENES[index]

    source = Counting()
    kept = CachedDataset(source, room=1e9)
    for _ in range(3):
        for key in ((0, 2), (1, 2), (0, 5)):  # through the random transform, which must not touch what is kept
            plain = SeededTransform(SCENES, AUGMENT, seed=7)[key]
            again = SeededTransform(kept, AUGMENT, seed=7)[key]
            assert torch.equal(plain["image"], again["image"])
            assert torch.equal(plain["mask"], again["mask"])
            assert plain["name"] == again["name"]
    assert source.decoded == {2: 1, 5: 1}
    kept[2]["name"] = "changed by a transform"
    assert kept[2]["name"] == SCENES[2]["name"]


def test_a_batch_made_of_kept_samples_leaves_them_alone() -> None:
    classes = dataclasses.replace(SCENES.classes, ignore_index=9)
    task = create_task("semantic", {"classes": classes}, Preprocessing())
    sample = dict(SCENES[0])
    sample["mask"] = sample["mask"].long()  # the one type that needs no conversion
    sample["mask"][:4] = 9
    task.collate([sample])
    assert (sample["mask"][:4] == 9).all()


def test_the_cache_never_holds_more_than_its_room() -> None:
    size = 40 * 40 * 4  # three bytes of colour and one of label
    kept = CachedDataset(SCENES, room=3.5 * size)
    for index in range(10):
        assert torch.equal(kept[index]["image"], SCENES[index]["image"])
    assert len(kept.samples) == 3
    off = CachedDataset(SCENES, room=0)
    assert off[1]["image"] is off[1]["image"] and off[1]["image"] is not SCENES[1]["image"]
    assert torch.equal(off[1]["mask"], SCENES[1]["mask"])
    assert not off.samples


def test_all_caches_together_take_a_quarter_of_the_memory(
    tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "memory", lambda: 4_000_000)
    val = Pasture(height=40, width=40, val=30).open("val")
    train_set, val_set = loading.cached(SCENES, val, tiny(), world=1)
    assert (train_set.room, val_set.room) == (250_000, 750_000)
    train_set, val_set = loading.cached(SCENES, val, tiny(workers=5), world=2)  # two processes, five copies in each
    assert (train_set.room, val_set.room) == (25_000, 375_000)
    assert loading.cached(SCENES, val, tiny(cache=False), world=1)[0].room == 0


def test_memory_is_the_containers_where_there_is_one(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(loading, "CONTAINER_LIMIT", limit)
    machine = loading.memory()
    assert machine > 1 << 28
    limit.write_text("1000000\n")
    assert loading.memory() == 1_000_000
    limit.write_text("max\n")
    assert loading.memory() == machine


def test_what_loading_processes_receive_can_be_pickled(tiny: Callable[..., Recipe]) -> None:
    task = create_task("semantic", {"classes": SCENES.classes}, Preprocessing())
    loader = train_loader(tiny(), CachedDataset(SCENES, 1e9), AUGMENT, task.collate, 0, 1)
    dataset, collate = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn)))
    mine, theirs = collate([dataset[(1, 2)]]), task.collate([loader.dataset[(1, 2)]])
    assert torch.equal(mine["image"], theirs["image"])


class Drawn:
    """A set that is drawn anew each epoch: a sample is its key."""

    def __len__(self) -> int:
        return 6

    def draw(self, keys: list[tuple[int, int]]) -> list[dict[str, Any]]:
        return [{"key": key, "drawn_with": len(keys)} for key in keys]


def test_a_drawn_set_is_drawn_by_epoch_a_batch_at_once(tiny: Callable[..., Recipe]) -> None:
    drawn = loading.cached(Drawn(), SCENES, tiny(), 1)[0]
    assert isinstance(drawn, Drawn)  # it is not kept
    loader = train_loader(tiny(batch_size=3), drawn, None, list, 0, 1)
    loader.batch_sampler.set_epoch(4)  # type: ignore[union-attr]
    found = [sample for batch in loader for sample in batch]
    assert sorted(s["key"] for s in found) == [(4, i) for i in range(6)]
    assert {s["drawn_with"] for s in found} == {3}
    changed = SeededTransform(drawn, lambda s: s | {"dice": int(torch.randint(2**40, ()))}, seed=0)  # type: ignore[arg-type]
    assert changed[(2, 5)]["key"] == (2, 5)
    assert changed[(2, 5)]["dice"] == changed[(2, 5)]["dice"] != changed[(3, 5)]["dice"]


def test_spawned_processes_load_what_this_one_loads(tiny: Callable[..., Recipe]) -> None:
    """As on Windows and macOS, where a loading process inherits nothing."""
    task = create_task("semantic", {"classes": SCENES.classes}, Preprocessing())
    here = train_loader(tiny(workers=0), CachedDataset(SCENES, 1e9), AUGMENT, task.collate, 0, 1)
    there = torch.utils.data.DataLoader(
        here.dataset, batch_sampler=here.batch_sampler, collate_fn=here.collate_fn, num_workers=1,
        multiprocessing_context="spawn",
    )  # fmt: skip
    for epoch in (0, 3):  # as after a resume
        here.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        assert same(by_name(list(here)), by_name(list(there)))
