"""Predicting many inputs at a time: opened ahead, then answered and written by several threads, and noted in order.

    files -> one thread opens them -> threads answer, and write the files of what they answered -> records, in order

A bounded number of inputs is in memory. The threads divide the cores among them: an image a core costs less than every
core on one image. Large inputs come one at a time, on all cores.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foveate.cli.inputs import Job
from foveate.errors import DataError

if TYPE_CHECKING:
    from foveate.cli.labelling import PredictedLabels
    from foveate.cli.places import Place
    from foveate.predictor import Predictor

AHEAD = 2  # units that are opened ahead, and answers that wait to be noted
FEW = 4  # units that are not worth several threads
MOST = 8  # threads that answer, each with an image and its logits in memory

Advance = Callable[[float, str], None]
Unit = Sequence[tuple[int, Job]]  # numbered jobs that are answered together


def workers_for(inputs: int, together: int) -> int:
    """The number of threads that answer: as many as torch has, from 2, so that one computes while another writes."""
    import torch

    return min(MOST, max(2, torch.get_num_threads())) if inputs > FEW * together else 1


def fail(job: Job, error: DataError, done: int, advance: Advance) -> None:
    """Report and note an input that could not be predicted. done: inputs that are finished with it."""
    job.error = job.complaint(error)
    job.release()
    advance(done, f"\n{job.error}")


class Results:
    """Writes the results of a call.

    annotated: also takes them into a data set of labels; None for none. place: moves them to a URL; None for none.
    page: a page of all predictions is written, for a family that has one.
    """

    def __init__(
        self,
        predictor: Predictor,
        annotated: PredictedLabels | None = None,
        place: Place | None = None,
        page: bool = True,
    ) -> None:
        self.predictor, self.family, self.annotated, self.place = predictor, predictor.family, annotated, place
        self.gallery = self.family.gallery(predictor.name) if page else None

    def write(self, job: Job, sample: Any, prediction: Any) -> dict[str, str]:
        """Write the files of one prediction; returns their names by key. Any thread may call it."""
        from foveate.disk import atomic_write

        names: dict[str, str] = {}
        for key, (ending, write) in self.family.files(prediction, sample).items():
            path = job.result(ending)
            with atomic_write(path) as temporary:
                write(temporary)
            names[key] = job.relative(path)
            if self.place is not None:
                self.place.push(job.out, path)
        return names

    def note(self, job: Job, sample: Any, prediction: Any, names: dict[str, str]) -> None:
        """Take a prediction, whose files are written, into its record and the page of all; in the order of the jobs.

        Raises DataError for labels that the format of `annotated` cannot hold.
        """
        if self.annotated is not None:
            self.annotated.add(job, sample, prediction)
        if self.gallery is not None:
            self.gallery.add(job.short_name, prediction, sample)
        record, note = self.family.record(prediction), self.predictor.note(sample)
        notes = [one for one in (note, record.get("note", "")) if one]
        for one in self.family.inputs:
            one.close(sample[one.name])
        job.release()
        job.record |= record | names | ({"note": "; ".join(notes)} if notes else {})

    def finish(self, out: Any) -> None:
        """Write the page of all predictions, for a family that has one, and the files of labels for all inputs."""
        if self.annotated is not None:
            self.annotated.finish()
        if self.gallery is not None:
            self.gallery.write(out)


@dataclass
class _Answered:
    """One job of a unit: its answer and the names of its files, or an error; neither for an input left for later."""

    number: int
    job: Job
    sample: Any = None
    prediction: Any = None
    names: dict[str, str] | None = None
    error: DataError | None = None


class Pipeline:
    """Predicts jobs with a model.

    predictor: answers in `workers` threads. whole: the same model on all cores, for large inputs. advance: called with
    the number of finished inputs, fractions of one included, and the input's name.
    """

    def __init__(
        self,
        predictor: Predictor,
        options: Any,
        results: Results,
        advance: Advance,
        workers: int = 1,
        whole: Callable[[], Predictor] | None = None,
    ) -> None:
        self.predictor, self.options, self.results, self.advance = predictor, options, results, advance
        self.workers, self.whole = workers, whole or (lambda: predictor)

    def run(self, jobs: Sequence[Job]) -> None:
        """Predict all. An input that fails is reported and noted; the others go on. Any other error stops all."""
        import torch

        threads = torch.get_num_threads()
        share = max(1, threads // self.workers)
        initializer = (lambda: torch.set_num_threads(share)) if self.predictor.device.type == "cpu" else None
        units = iter(_units(jobs, self.predictor.family.predict_size))
        flying: deque[Future[list[_Answered]]] = deque()
        with ThreadPoolExecutor(1) as readers, ThreadPoolExecutor(self.workers, initializer=initializer) as workers:
            try:
                while True:
                    while len(flying) < self.workers + AHEAD and (unit := next(units, None)) is not None:
                        opened = [readers.submit(self._open_small, *one) for one in unit]
                        flying.append(workers.submit(self._answer_unit, unit, opened))
                        del opened
                    if not flying:
                        break
                    for answered in flying.popleft().result():
                        self._finish(answered, flying)
            except BaseException:
                readers.shutdown(wait=False, cancel_futures=True)
                workers.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                torch.set_num_threads(threads)  # those of the workers are torch's own from then on

    def _open(self, number: int, job: Job) -> dict[str, Any]:
        return self.predictor.sample_of(job.local(), job.title, number if job.number < 0 else job.number)

    def _open_small(self, number: int, job: Job) -> dict[str, Any] | None:
        """Open an input, or leave it for later if it is large. Raises DataError."""
        given = job.local()
        small = all(one.is_small(given[one.name]) for one in self.predictor.family.inputs)
        return self._open(number, job) if small else None

    def _answer_unit(self, unit: Unit, opened: list[Future[dict[str, Any] | None]]) -> list[_Answered]:
        """Answer the inputs of a unit that are small and can be read, and write their files."""
        answered = [_Answered(number, job) for number, job in unit]
        for one, future in zip(answered, opened, strict=True):
            try:
                one.sample = future.result()
            except DataError as error:
                one.error = error
        opened.clear()
        self._answer(self.predictor, [one for one in answered if one.sample is not None])
        return answered

    def _answer(
        self, predictor: Predictor, batch: list[_Answered], progress: Callable[[float], None] | None = None
    ) -> None:
        """Answer a batch and write its files; if it fails, one input at a time, so that the others go on."""
        if not batch:
            return
        begin = time.perf_counter()
        if progress is None and self.workers == 1:
            done, title = batch[-1].number, batch[-1].job.title
            progress = lambda part: self.advance(done + part, title)  # noqa: E731
        try:
            predictions = predictor.answer([one.sample for one in batch], self.options, progress)
        except DataError as error:
            if len(batch) == 1:
                batch[0].error, batch[0].sample = error, None
                return
            for one in batch:
                self._answer(predictor, [one], progress)
            return
        seconds = (time.perf_counter() - begin) / len(batch)
        for one, prediction in zip(batch, predictions, strict=True):
            one.job.record["seconds"] = round(seconds, 4)
            one.prediction, one.names = prediction, self.results.write(one.job, one.sample, prediction)

    def _finish(self, answered: _Answered, flying: deque[Future[list[_Answered]]]) -> None:
        """Note one job, after those before it. A large input is opened and answered here, once all others rest."""
        number, job = answered.number, answered.job
        if answered.error is None and answered.sample is None:
            wait(flying)
            try:
                answered.sample = self._open(number, job)
                self._answer(self.whole(), [answered], lambda part: self.advance(number + part, job.title))
            except DataError as error:
                answered.error = error
        if answered.error is not None:
            fail(job, answered.error, number + 1, self.advance)
            return
        assert answered.names is not None
        try:
            self.results.note(job, answered.sample, answered.prediction, answered.names)
        except DataError as error:
            fail(job, error, number + 1, self.advance)
            return
        answered.sample = answered.prediction = None  # a large input must be gone before the next is decoded
        self.advance(number + 1, job.title)


def _units(jobs: Sequence[Job], size: int) -> Iterator[Unit]:
    """Numbered jobs, `size` at a time."""
    numbered = iter(enumerate(jobs))
    while unit := list(itertools.islice(numbered, size)):
        yield unit
