"""`--ray`: prediction and scoring on the processes of a Ray cluster.

Predictions. The model travels with the call, so that it need not be on every machine; inputs and the folder of results
are read and written by the processes themselves, and have to be at a place that all of them reach: a shared disk, or a
URL. A process writes the files of a few inputs, each whole, and then a part with their records. A call that is started
again reads the parts and goes on with the rest; at the end, parts become predictions.json.

Scores. Each process reads its samples itself. Batches are those of one process, and their sums are added in the data
set's order, so the scores are those of one process with one thread, to the last digit.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.inputs import Job
from foveate.cli.places import PARTS, Place
from foveate.cluster import spread
from foveate.disk import sweep
from foveate.errors import ConfigError, DataError
from foveate.remote import RemoteFile
from foveate.values import parse_json
from foveate.version import __version__

if TYPE_CHECKING:
    from foveate.engine.evaluate import Scoring
    from foveate.predictor import Predictor

CHUNK = 16  # inputs that are done again, at most, where a process dies
PER_PROCESS = 4  # chunks of each process, so that all end at about the same time


def predict(
    jobs: Sequence[Job],
    predictor: Predictor,
    args: Any,
    given: Mapping[str, str],
    place: Place,
    advance: Callable[[float, str], None],
) -> None:
    """Predict jobs on a cluster, but those that an unfinished call has done; sets each job's record or error.

    args: the line of `foveate predict`. given: the options on it. advance: called with the number of inputs that are
    done and the last one's name. Raises ConfigError for results that one process alone would see, and what `spread`
    raises.
    """
    urls = [place.url, *(str(one) for job in jobs for one in job.given.values())]
    if any(url.startswith("memory:") for url in urls):
        raise ConfigError(
            "memory:// is the memory of one process, which those of a cluster do not see; leave out --ray"
        )
    if predictor.family.gallery(predictor.name) is not None:
        print("note: with --ray no page of all predictions is written; predictions.json has them", file=sys.stderr)
    out = jobs[0].out
    content = _pack(predictor.path)
    mark = _fingerprint(content, given, args)
    left = _left(jobs, place, out, mark)
    place.claim(out, args.run, jobs)
    done = len(jobs) - len(left)
    if done:
        print(f"note: {done} of {len(jobs)} were done before, and are kept", file=sys.stderr)
    by_number = {job.number: job for job in jobs}
    where = place.url or str(out.absolute())
    opened = (args.device, args.runtime, args.precision)
    arguments = (content, str(predictor.path), dict(given), where, mark, opened, args.max_pixels)
    lost: list[Job] = []
    for most in (CHUNK, 1):  # those of a chunk that killed each process are tried again one by one
        left, lost = lost or left, []
        chunks: list[list[Job]] = []

        def cut(processes: int, left: list[Job] = left, chunks: list[list[Job]] = chunks, most: int = most) -> Any:
            size = max(1, min(most, len(left) // (PER_PROCESS * processes)))
            chunks.extend(left[i : i + size] for i in range(0, len(left), size))
            return [[_shipped(job) for job in chunk] for chunk in chunks]

        for number, outcomes in spread(Predictions, arguments, cut, args.ray):
            if outcomes is None and len(chunks[number]) > 1:
                lost += chunks[number]
                continue
            if outcomes is None:
                (job,) = chunks[number]
                outcomes = [(job.number, job.record, f"{job.title}: kills the process that predicts it; leave it out")]
            for index, record, error in outcomes:
                job = by_number[index]
                job.record, job.error = record, error
                done += 1
                advance(done, f"\n{error}" if error else job.title)
        if not lost:
            break
    if not place.url:
        sweep(out)  # what killed processes were writing


def score(
    path: str, address: str, runtime: str | None = None, precision: str = "float32"
) -> Callable[[Scoring, Any], list[tuple[int, float]]]:
    """Return what scores the samples of `evaluate_run` on a cluster.

    path: of the model. address: as of `spread`. runtime, precision: of an exported file.

    It takes the scoring and the counter, and fills the counter and the scoring's outcomes; returns (index, own score)
    of each sample. Raises what `spread` raises, and what reading a sample raises.
    """

    from foveate import pictures
    from foveate.tasks.base import Task
    from foveate.torchvision_networks import refuse

    refuse(path, "--ray")

    def scored(scoring: Scoring, total: Any) -> list[tuple[int, float]]:
        if type(scoring.task).observe is not Task.observe:  # what a batch shows as a whole may depend on those before
            raise ConfigError(
                f"models for {scoring.task.title} are scored in whole batches by a single process; leave out --ray"
            )
        count, size = len(scoring.dataset), scoring.task.batch_size

        def cut(processes: int) -> list[range]:
            batches = max(1, -(-count // size) // (PER_PROCESS * processes))
            return [range(i, min(i + batches * size, count)) for i in range(0, count, batches * size)]

        opened = (scoring.source, scoring.split, scoring.options, runtime, precision, pictures.get_max_pixels())
        arguments = (str(Path(path).absolute()), *opened)
        waiting: dict[int, Any] = {}
        samples: list[tuple[int, float]] = []
        following = 0
        for number, result in spread(Scores, arguments, cut, address):
            if result is None:
                raise DataError("a sample kills each process that scores it; score without --ray to see which")
            waiting[number] = result
            while following in waiting:  # in the data set's order, as one process adds them
                own, states, notes, outcomes = waiting.pop(following)
                for state in states:
                    total.merge(_dense(state))
                for note, names in notes.items():
                    scoring.dataset.notes.setdefault(note, {}).update(names)
                scoring.outcomes.update(outcomes)
                samples += own
                following += 1
        return samples

    return scored


class Scores:
    """One process of `score`: opens model and data once, and scores ranges of samples, whole batches each."""

    def __init__(
        self, path: str, source: Any, split: str, options: Any, runtime: str | None, precision: str, max_pixels: int
    ) -> None:
        from foveate import pictures
        from foveate.engine.evaluate import open_scoring

        pictures.set_max_pixels(max_pixels)
        self.scoring = open_scoring(
            path, source=source, split=split, options=options, runtime=runtime, precision=precision
        )
        self.empty = self.scoring.task.metrics(self.scoring.dataset, whole=True)
        self.nothing = self.empty.state().clone()

    def __call__(self, indices: range) -> tuple[list[tuple[int, float]], list[Any], dict[str, dict[str, None]], Any]:
        """(index and own score of each sample, states to merge in this order, notes on samples, outcomes by index)."""
        import torch

        scoring = self.scoring
        states: list[Any] = []
        samples: list[tuple[int, float]] = []
        scoring.dataset.notes.clear()
        scoring.outcomes.clear()
        with torch.inference_mode():
            for start in range(0, len(indices), scoring.task.batch_size):
                self._batch(indices[start : start + scoring.task.batch_size], samples, states)
        if not torch.equal(self.empty.state(), self.nothing):
            raise ConfigError(f"scores of {scoring.task.title} cannot be computed in parts; leave out --ray")
        return samples, states, dict(scoring.dataset.notes), dict(scoring.outcomes)

    def _batch(self, indices: range, samples: list[tuple[int, float]], states: list[Any]) -> None:
        """Score one batch as `Task.score` does, with a counter of its own for each addition."""
        task = self.scoring.task
        batch = [task.prepare(self.scoring.dataset[index]) for index in indices]
        counter = _fresh(self.empty)
        predictions = task.answer_to_score(self.scoring.model, batch, self.scoring.options, counter)
        task.observe(self.scoring.model, counter, batch)
        states.append(_sparse(counter.state()))
        for index, sample, prediction in zip(indices, batch, predictions, strict=True):
            counter = _fresh(self.empty)
            self.scoring.outcomes[index] = task.outcome(sample, prediction)
            samples.append((index, task.count(counter, index, sample, prediction)))
            states.append(_sparse(counter.state()))


def _fresh(empty: Any) -> Any:
    """A counter like an empty one: its arrays and lists are its own, everything else is shared."""
    counter = copy.copy(empty)
    for name, value in vars(empty).items():
        if hasattr(value, "dtype") or isinstance(value, (list, dict, set)):
            setattr(counter, name, copy.copy(value) if isinstance(value, (list, dict, set)) else copy.deepcopy(value))
    return counter


def _sparse(state: Any) -> tuple[Any, ...]:
    """A state as (shape, places that are not 0, their values); bytes as they are."""
    flat = state.reshape(-1)
    if flat.dtype.is_floating_point or flat.dtype.is_signed:
        places = flat.nonzero()[:, 0]
        return tuple(state.shape), places.numpy(), flat[places].numpy()
    return tuple(state.shape), None, flat.numpy()


def _dense(sparse: tuple[Any, ...]) -> Any:
    """The inverse of `_sparse`."""
    import torch

    shape, places, values = sparse
    if places is None:
        return torch.from_numpy(values.copy()).reshape(shape)
    flat = torch.zeros(math.prod(shape), dtype=torch.from_numpy(values).dtype)
    flat[torch.from_numpy(places)] = torch.from_numpy(values)
    return flat.reshape(shape)


class Predictions:
    """One process of `predict`: opens the model once, and predicts chunks of jobs.

    content: the model's files by name. path: where they came from. given: the options as text. where: the folder or URL
    of the results. mark: what parts have to agree in. opened: device, runtime and precision.
    """

    def __init__(
        self,
        content: Mapping[str, bytes],
        path: str,
        given: Mapping[str, str],
        where: str,
        mark: str,
        opened: tuple[str, Any, str],
        max_pixels: int | None,
    ) -> None:
        from foveate import pictures
        from foveate.predictor import Predictor
        from foveate.tasks.options import PREDICT, make_options

        if max_pixels is not None:
            pictures.set_max_pixels(max_pixels)
        with tempfile.TemporaryDirectory(prefix="foveate-") as folder:
            for name, data in content.items():
                (Path(folder) / name).write_bytes(data)
            exported = Path(path).suffix.lower() == ".onnx"
            self.predictor = Predictor.open(Path(folder) / Path(path).name if exported else folder, *opened)
        self.predictor.path = Path(path)
        self.options = make_options(self.predictor.family, given, PREDICT)
        self.where, self.mark = where, mark

    def __call__(self, jobs: list[Job]) -> list[tuple[int, dict[str, Any], str]]:
        """Write the results of some jobs, then a part with their records; (number, record, error) of each."""
        from foveate.cli.pipeline import Pipeline, Results
        from foveate.remote import is_url

        with tempfile.TemporaryDirectory(prefix="foveate-") as folder:
            remote = is_url(self.where)
            place = Place(folder, self.where) if remote else Place(self.where)
            out = Path(folder if remote else self.where)
            states = {job.number: _state(job) for job in jobs}
            for job in jobs:
                job.out = out
            results = Results(self.predictor, place=place, page=False)
            Pipeline(self.predictor, self.options, results, lambda done, name: None).run(jobs)
            done = [
                {"inputs": _key(job), "state": states[job.number], "name": job.name.as_posix(), "record": job.record}
                for job in jobs
                if not job.error
            ]
            if done:
                name = hashlib.sha256(json.dumps([one["name"] for one in done]).encode()).hexdigest()[:16]
                place.write(out, f"{PARTS}/{name}.json", json.dumps({"mark": self.mark, "done": done}))
        return [(job.number, job.record, job.error) for job in jobs]


def _pack(path: Path) -> dict[str, bytes]:
    """The files of a model folder, or an exported file with those beside it of the same export."""
    from foveate.predictor import find_model_folder

    if path.suffix.lower() == ".onnx":
        return {file.name: file.read_bytes() for file in sorted(path.parent.glob(f"{path.stem}*.onnx"))}
    folder = find_model_folder(path)
    return {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}


def _fingerprint(content: Mapping[str, bytes], given: Mapping[str, str], args: Any) -> str:
    """A digest of all that results depend on besides their inputs."""
    opened = (args.device, args.runtime, args.precision)
    digest = hashlib.sha256(json.dumps([__version__, dict(given), *opened, args.max_pixels]).encode())
    for name in sorted(content):
        digest.update(name.encode() + hashlib.sha256(content[name]).digest())
    return digest.hexdigest()


def _left(jobs: Sequence[Job], place: Place, out: Path, mark: str) -> list[Job]:
    """The jobs that no part of an unfinished call has done; the others get their records from there."""
    done: dict[str, dict[str, Any]] = {}
    for name in place.names(out, PARTS):
        try:
            part = parse_json(place.read(out, name) or "")
            if part["mark"] == mark:
                done |= {json.dumps([one["inputs"], one["name"]]): one for one in part["done"]}
        except (ValueError, KeyError, TypeError):  # the list of names, or a file that is none of ours
            continue
    left = []
    for job in jobs:
        found = done.get(json.dumps([_key(job), job.name.as_posix()]))
        if found is not None and found["state"] == _state(job):
            job.record = found["record"]
        else:
            left.append(job)
    return left


def _key(job: Job) -> list[str]:
    return [str(one.absolute()) if isinstance(one, Path) else str(one) for one in job.given.values()]


def _state(job: Job) -> list[Any]:
    """Size and time of each input file, by which a changed one is known."""
    found: list[Any] = []
    for one in job.given.values():
        try:
            if isinstance(one, RemoteFile):
                found.append(list(one.state()))
            elif isinstance(one, Path):
                stat = one.stat()
                found.append([stat.st_size, stat.st_mtime_ns])
        except (OSError, DataError):  # reading it will say so
            found.append(None)
    return found


def _shipped(job: Job) -> Job:
    """A job as another process, in another folder, can do it."""
    given = {name: one.absolute() if isinstance(one, Path) else one for name, one in job.given.items()}
    return dataclasses.replace(job, given=given)
