"""Loading of training batches such that a run can be repeated and resumed exactly.

A sample is a function of (seed, epoch, index) and of nothing else: neither of the worker that loads it, nor of the
samples loaded before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from foveate.engine.recipe import Recipe
from foveate.errors import ConfigError

BUCKET = 20  # batches
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def mixed_seed(*parts: int) -> int:
    """One 63-bit seed from several numbers; near numbers give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1


@contextlib.contextmanager
def seeded(device: torch.device, *parts: int) -> Iterator[None]:
    """Draw torch's random numbers by a seed of `parts`; those of afterwards are as if none had been drawn."""
    with torch.random.fork_rng([device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(mixed_seed(*parts))
        yield


class WrappedDataset(Dataset[Any]):
    """A data set around another one, which has every attribute of it but `draw`, the drawing of fresh samples."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getattr__(self, name: str) -> Any:
        if name in ("dataset", "draw") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)


class SuitedDataset(WrappedDataset):
    """A data set whose samples have their inputs as a model takes them: its channels, and its intensities.

    task: the model's family. model: its name, for messages. notes: sentences on how inputs were taken -> names of the
    samples.
    """

    def __init__(self, dataset: Any, task: Any, model: str) -> None:
        super().__init__(dataset)
        self.task, self.model = task, model
        self.notes: dict[str, dict[str, None]] = {}  # names in order, each once
        if hasattr(dataset, "draw"):
            self.draw = self._draw

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self._suited(self.dataset[index])

    def _draw(self, keys: Sequence[tuple[int, int]]) -> list[Any]:
        return [self._suited(sample) for sample in self.dataset.draw(keys)]

    def _suited(self, sample: Any) -> Any:
        suited, note = self.task.suit(sample, self.model)
        if note:
            self.notes.setdefault(note, {})[sample["name"]] = None
        return suited


class CachedDataset(WrappedDataset):
    """Decoded samples, kept in memory from their first use on, as many as fit, and the last one that did not.

    A sample that is asked for several times in a row, as a clip with its captions is, has the same tensors each time,
    kept or not: which samples of a batch share them does not depend on what was loaded before.
    room: bytes for this copy of the object; each loading process has its own. A tensor that samples share counts once.
    """

    def __init__(self, dataset: Any, room: float) -> None:
        super().__init__(dataset)
        self.room = room
        self.samples: dict[int, Any] = {}
        self.used = 0
        self._counted: set[int] = set()  # ids of the values of `samples`
        self._last: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the samples: another process reads for itself."""
        return self.__dict__ | {"samples": {}, "used": 0, "_counted": set(), "_last": None}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if index in self.samples:
            return dict(self.samples[index])
        if self._last is not None and self._last[0] == index:
            return dict(self._last[1])
        sample = self.dataset[index]
        new = [value for value in sample.values() if id(value) not in self._counted]
        size = sum(getattr(value, "nbytes", 0) for value in new)  # of tensors, sound and clips
        if self.used + size <= self.room:
            self.used += size
            self.samples[index] = dict(sample)
            self._counted.update(map(id, new))
        else:
            self._last = (index, dict(sample))
        return sample


def memory() -> int:
    """The bytes of memory this process may use: the machine's, or its container's share."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not known on every system
        machine = 8 << 30
    try:
        return min(machine, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return machine


def cached(train_set: Any, val_set: Any, recipe: Recipe, world: int) -> tuple[Any, CachedDataset]:
    """Both sets under the recipe's cache: a quarter of the memory, shared out by their lengths.

    A set that draws fresh samples each epoch is not kept.
    """
    room = memory() / 4 / world if recipe.cache else 0.0
    share = len(train_set) / (len(train_set) + len(val_set))
    copies = max(1, loading_processes(recipe, world))
    kept = train_set if hasattr(train_set, "draw") else CachedDataset(train_set, room * share / copies)
    return kept, CachedDataset(val_set, room * (1 - share))


def require_workers(recipe: Recipe) -> None:
    """Raise ConfigError for many more loading processes than there are cores."""
    most = 8 * (os.cpu_count() or 1)
    if recipe.workers > most:
        raise ConfigError(
            f"workers is {recipe.workers}, on a machine of {most // 8} cores; give {most} or fewer, or -1 for the "
            "usual number"
        )


def loading_processes(recipe: Recipe, world: int) -> int:
    """The number of processes that load training samples; 0: the training process itself."""
    if recipe.workers >= 0:
        return recipe.workers
    # On a CPU the cores are the network's; beside a GPU they would idle.
    return min(8, (os.cpu_count() or 1) // world) if torch.cuda.is_available() else 0


class SeededTransform(Dataset[Any]):
    """Samples by (epoch, index), each transformed under its own seed."""

    def __init__(self, dataset: Dataset[Any], transform: Callable[[Any], Any] | None, seed: int) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Any]:
        """A batch of samples; a set that draws fresh samples each epoch draws the batch in one call."""
        draw = getattr(self.dataset, "draw", None)
        samples = draw(keys) if draw else [self.dataset[index] for _, index in keys]
        if self.transform is None:
            return list(samples)
        return [self._transformed(sample, key) for sample, key in zip(samples, keys, strict=True)]

    def _transformed(self, sample: Any, key: tuple[int, int]) -> Any:
        assert self.transform is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, *key))
            return self.transform(sample)


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index): a fresh permutation each epoch, drawn from (seed, epoch).

    batch_size is the whole step's; each of `world` processes takes its part of every batch. The last, smaller batch is
    left out (its samples come in another epoch) unless it is the only one.
    lengths: of the samples, where batches of like ones save padding: each stretch of BUCKET batches is sorted by
        length before it is divided, and the batches are shuffled.
    groups: of the samples, by a key each, where those of one group share work: whole groups are permuted, so that a
        group is in one batch, or in several that follow each other, and a process takes neighbours of a batch. Given
        without `lengths`.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        lengths: Sequence[int] | None = None,
        groups: Sequence[Hashable] | None = None,
    ) -> None:
        self.length, self.seed, self.rank, self.world = length, seed, rank, world
        self.batch_size = min(batch_size, length)
        self.lengths, self.groups = lengths, groups
        self.epoch = 0
        self.sampler = self  # Lightning calls set_epoch on a batch sampler's `sampler`

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        order = torch.randperm(self.length, generator=generator).tolist()
        if self.groups is not None:
            order = self._grouped(order, generator)
        steps: Sequence[int] = range(len(self))
        if self.lengths is not None:
            order = self._sorted_in_stretches(order)
            steps = torch.randperm(len(self), generator=generator).tolist()
        for step in steps:
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield [(self.epoch, index) for index in self._own(batch)]

    def _own(self, batch: list[int]) -> list[int]:
        """The part of this process; parts differ by one sample at most."""
        if self.groups is None:
            return batch[self.rank :: self.world]
        starts = [len(batch) * rank // self.world for rank in (self.rank, self.rank + 1)]
        return batch[starts[0] : starts[1]]

    def _grouped(self, order: list[int], generator: torch.Generator) -> list[int]:
        """The order with the samples of each group together; every order of the groups is as likely."""
        assert self.groups is not None
        members: dict[Hashable, list[int]] = {key: [] for key in self.groups}
        for index in order:
            members[self.groups[index]].append(index)
        groups = list(members.values())
        return [index for i in torch.randperm(len(groups), generator=generator).tolist() for index in groups[i]]

    def _sorted_in_stretches(self, order: list[int]) -> list[int]:
        assert self.lengths is not None
        kept = order[: len(self) * self.batch_size]
        size = BUCKET * self.batch_size
        stretches = (kept[start : start + size] for start in range(0, len(kept), size))
        return [index for stretch in stretches for index in sorted(stretch, key=self.lengths.__getitem__)]


def train_loader(
    recipe: Recipe,
    dataset: Any,
    transform: Callable[[Any], Any] | None,
    collate: Callable[[list[Any]], Any],
    rank: int,
    world: int,
    lengths: Sequence[int] | None = None,
    groups: Sequence[Hashable] | None = None,
) -> DataLoader[Any]:
    """The training batches of a recipe: those of process `rank` of `world`. lengths, groups: see EpochBatches."""
    workers = loading_processes(recipe, world)
    return DataLoader(
        SeededTransform(dataset, transform, recipe.seed),
        batch_sampler=EpochBatches(len(dataset), recipe.batch_size, recipe.seed, rank, world, lengths, groups),
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        # A new epoch draws a number here. From the global generator it would move dropout, but not after a resume.
        generator=torch.Generator().manual_seed(recipe.seed),
    )
