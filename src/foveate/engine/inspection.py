"""Inspection of a data set of any family: every sample is read, and every file that cannot be used is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from foveate.engine.near_equal import NearEqual
from foveate.errors import ConfigError, DataError
from foveate.records import DataSource, Problem, UnusableFilesError
from foveate.tasks import find_task
from foveate.tasks.findings import Findings

BATCH_SIZE = 256


def inspect(source: DataSource, task: str = "", progress: Callable[[int, int], None] | None = None) -> Findings:
    """Read all samples of a data source, going on past those that cannot be used.

    task: the family that the data is read for, by default the source's first. progress: called with (samples done, all
    samples). A file that cannot be used does not raise; it becomes a `Problem`.
    Raises ConfigError for a family that the source does not serve, or that has no task.
    """
    path = str(getattr(source, "path", ""))
    if task:
        find_task(task)
    if task and task not in source.tasks:
        raise ConfigError(
            f"{path or type(source).__name__}: data for {' and '.join(source.tasks)}, not for {task}; "
            "choose one of these, or leave it out"
        )
    task = source.serve(task)
    family = find_task(task)
    problems: list[Problem] = []
    recognised, datasets = "", {}
    try:
        recognised = source.describe(task)
        problems = source.problems(task)
        datasets = {split: source.readable(split, task) for split in source.splits()}
    except UnusableFilesError as error:  # too many for the rest to be a set
        recognised, problems = "", error.problems
    except DataError as error:
        recognised, problems = "", [_problem(error)]
    found: Findings = family.inspection(path, recognised or f"{type(source).__name__}: cannot be opened")
    found.task = task
    found.problems += problems
    if not recognised:
        return found
    found.source_notes += source.notes(task)
    found.remarks |= source.remarks(task)
    total, done = sum(len(dataset) for dataset in datasets.values()), 0
    near_equal = NearEqual()
    found.expect(total)
    for split, dataset in datasets.items():
        found.begin(split, dataset)
        for index, sample in enumerate(_samples(dataset)):
            done += 1
            try:
                if isinstance(sample, DataError):
                    raise sample
                found.add(split, sample)  # which may read more of the file, as the frames of a clip
            except DataError as error:
                found.fail(_problem(error))
            else:
                near_equal.add(split, dataset, index, sample)
                for note in dataset.file_notes(index) if hasattr(dataset, "file_notes") else ():
                    found.note(note, sample["name"])
            if progress is not None:
                progress(done, total)
    found.end()
    found.source_notes += near_equal.notes(found.sample_noun)
    return found


def _samples(dataset: Any) -> Iterator[Any]:
    """The samples in order; in place of one that cannot be read, its error."""
    for start in range(0, len(dataset), BATCH_SIZE):
        indices = range(start, min(start + BATCH_SIZE, len(dataset)))
        if hasattr(dataset, "draw"):  # generated data: many at once are much faster
            yield from dataset.draw([(0, index) for index in indices])
            continue
        for index in indices:
            try:
                sample = dataset[index]
            except DataError as error:
                sample = error
            yield sample


def _problem(error: DataError) -> Problem:
    """A DataError as a problem: its text begins with the file that it is about."""
    name, _, what = str(error).partition(": ")
    return Problem(Path(name), what or str(error))
