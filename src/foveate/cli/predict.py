"""Predict with a trained model: results as files, drawings, and one JSON file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.flags import Parser, given_inputs, parse_with_options
from foveate.cli.inputs import STDIN, SUMMARY, Job, generated, plan, require_texts, stdin_lines
from foveate.cli.results import Place, choose_out, placed, results_in
from foveate.cluster import LOCAL
from foveate.errors import ConfigError, DataError, OutputError, listed

if TYPE_CHECKING:
    from foveate.predictor import Predictor
    from foveate.tasks.base import Task

AHEAD = 2  # inputs that are opened ahead, and predictions that wait to be written


def run(argv: list[str]) -> int:
    """`foveate predict RUN INPUT... [--out DIR] [further inputs and options of the family]`."""
    parser = Parser("predict", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder, a model folder or an exported .onnx file")
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="files, folders, or globs such as 'a/*.jpg'; for models that take them texts, text files of one a line, - "
        "for standard input, or tables of inputs",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="where the results and predictions.json go (predictions, numbered if taken)"
    )
    parser.add_argument("--count", type=int, metavar="N", help="samples to generate, of models without an input (1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept images of up to N pixels")
    parser.add_argument(
        "--ray", nargs="?", const=LOCAL, metavar="ADDRESS",
        help="predict on a Ray cluster: auto or host:port; without an address, one is started on this machine's cores",
    )  # fmt: skip
    args, family, given = parse_with_options(parser, argv)

    from foveate import pictures
    from foveate.cli import by_ray
    from foveate.predictor import Predictor
    from foveate.tasks.options import PREDICT, make_options

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    make_options(family, given, PREDICT)  # complains before any work
    shared = given_inputs(args, family)
    if args.inputs == [STDIN] and args.out is None:
        require_texts(family)
        return _answer_lines(args.run, args.device, given)
    with placed(args.out) as place:
        out, jobs = choose_out(place.given, args.run, lambda out: _plan(args.inputs, args.count, shared, out, family))
        require_writable_folder(out)
        predictor = Predictor.open(args.run, device="cpu" if args.ray else args.device)
        options = make_options(predictor.family, given, PREDICT)
        predictor.family.require(options)

        start = time.perf_counter()
        with progress_bar(len(jobs), "predicting") as advance:
            if args.ray:
                by_ray.predict(jobs, predictor, args, given, place, advance)
            else:
                writer = Results(predictor, place, predictor.family.gallery(predictor.name))
                predict_all(jobs, predictor, options, writer, advance)
                writer.finish(out)
        seconds = time.perf_counter() - start
        write_summary(out / SUMMARY, predictor, jobs, options, seconds, family.noun(2))
        place.finish(out)
    done, failed = [job for job in jobs if not job.error], [job for job in jobs if job.error]
    if not done and len(jobs) == 1:
        return 1  # its error is printed already
    notes: dict[str, list[str]] = {}
    for job in done:
        if note := job.record.get("note"):
            notes.setdefault(note, []).append(job.short_name)
    for note, names in notes.items():
        print(f"note: {listed(names, family.noun())}: {note}", file=sys.stderr)
    for line in predictor.family.lines([(job.title, job.record) for job in done]):
        print(line)
    nouns, rate = family.noun(len(jobs)), f"{len(done) / seconds:.1f} {family.noun(2)}/s"
    print(f"predicted: {len(done)} of {len(jobs)} {nouns} in {seconds:.1f} s ({rate}) -> {place.url or out}")
    if failed:
        print(f"foveate: {len(failed)} of {len(jobs)} {nouns} failed; they are named above", file=sys.stderr)
    return 1 if failed else 0


def _answer_lines(run: str, device: str, given: dict[str, str]) -> int:
    """Answer standard input line by line, each as soon as it is read, on standard output; nothing else is written."""
    from foveate.predictor import Predictor
    from foveate.tasks.options import PREDICT, make_options

    predictor = Predictor.open(run, device=device)
    options = make_options(predictor.family, given, PREDICT)
    predictor.family.require(options)
    failed = 0
    for number, text in enumerate(stdin_lines(), start=1):
        try:
            sample = predictor.sample(text, f"standard input, line {number}")
            (prediction,) = predictor.answer([sample], options)
        except DataError as error:
            print(f"foveate: {error}", file=sys.stderr)
            print(flush=True)  # so that line n of the output belongs to line n of the input
            failed += 1
            continue
        record = predictor.family.record(prediction)
        if note := record.get("note"):
            print(f"note: line {number}: {note}", file=sys.stderr)
        for line in predictor.family.lines([(text, record)]):
            print(line, flush=True)
    return 1 if failed else 0


def _plan(inputs: list[str], count: int | None, shared: dict[str, str], out: Path, family: type[Task]) -> list[Job]:
    """The jobs of a line. Raises ConfigError for inputs that the family does not take, or takes and are missing."""
    if not family.inputs:
        if inputs:
            raise ConfigError(f"models for {family.title} take no input, but {inputs[0]} was given; leave it out")
        if count is not None and count < 1:
            raise ConfigError(f"--count is {count}; give 1 or more")
        return generated(count or 1, out)
    if count is not None:
        raise ConfigError(f"--count is for models without an input; models for {family.title} predict each input once")
    if not inputs:
        raise ConfigError("the following arguments are required: INPUT; see foveate predict --help")
    return plan(inputs, shared, out, family, results_in(out, family.endings))


def require_writable_folder(out: Path) -> None:
    """Raise OutputError now rather than after the first prediction."""
    from foveate.disk import require_writable

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    require_writable(out / SUMMARY)


class Results:
    """Writes the results of a call. `write` is called in a thread of its own, one prediction at a time, in order.

    place: where the results go. gallery: the page of all predictions, None for none.
    """

    def __init__(self, predictor: Predictor, place: Place, gallery: Any = None) -> None:
        self.predictor, self.family, self.place, self.gallery = predictor, predictor.family, place, gallery

    def write(self, job: Job, sample: Any, prediction: Any) -> None:
        """Write the files of one prediction, and note them in its record."""
        from foveate.disk import atomic_write

        names: dict[str, str] = {}
        for key, (ending, write) in self.family.files(prediction, sample).items():
            path = job.result(ending)
            with atomic_write(path) as temporary:
                write(temporary)
            names[key] = job.relative(path)
            self.place.push(job.out, path)
        if self.gallery is not None:
            self.gallery.add(job.short_name, prediction, sample)
        record, note = self.family.record(prediction), self.predictor.note(sample)
        if notes := [one for one in (note, record.get("note", "")) if one]:
            names["note"] = "; ".join(notes)
        for one in self.family.inputs:
            one.close(sample[one.name])
        job.release()
        job.record |= record | names

    def finish(self, out: Path) -> None:
        """Write the page of all predictions, for a family that has one."""
        if self.gallery is not None:
            self.gallery.write(out)


def predict_all(
    jobs: list[Job],
    predictor: Predictor,
    options: Any,
    results: Results,
    advance: Callable[[float, str], None],
) -> None:
    """Open ahead, predict, write behind. An input that fails is reported and noted; the others go on.

    advance: called with the number of finished inputs, fractions of one included, and the input's name.
    """
    with ThreadPoolExecutor(1) as readers, ThreadPoolExecutor(1) as writers:
        reading: deque[Future[Any]] = deque()
        writing: deque[Future[None]] = deque()
        together: list[tuple[int, Job, Any]] = []  # inputs that are answered in one batch
        upcoming = iter(jobs)
        try:
            for number, job in enumerate(jobs):
                while len(reading) <= AHEAD and (coming := next(upcoming, None)) is not None:
                    reading.append(readers.submit(_open_small, predictor, coming))
                small, large = None, False
                try:
                    small = reading.popleft().result()
                    large = small is None
                    sample = _open_large(predictor, job, writing) if large else small
                    together.append((number, job, sample))
                    del sample
                except DataError as error:
                    _fail(job, error, number + 1, advance)
                    large = False
                del small  # a large input must be gone before the next is decoded
                if not large and len(together) < predictor.family.predict_size and number + 1 < len(jobs):
                    continue
                for done, one, sample, prediction in _answer(predictor, together, options, advance):
                    if large:  # on this thread, where the memory that the tiles gave back can be used again
                        results.write(one, sample, prediction)
                    else:
                        writing.append(writers.submit(results.write, one, sample, prediction))
                    del sample, prediction
                    while len(writing) > AHEAD:
                        writing.popleft().result()
                    advance(done + 1, one.title)
            while writing:
                writing.popleft().result()
        except BaseException:
            readers.shutdown(cancel_futures=True)
            writers.shutdown(cancel_futures=True)
            raise


def _answer(
    predictor: Predictor, together: list[tuple[int, Job, Any]], options: Any, advance: Callable[[float, str], None]
) -> Iterator[tuple[int, Job, Any, Any]]:
    """(number, job, sample, prediction) of a batch, which is emptied; one that fails is reported, the others go on."""
    batch = together[:]
    together.clear()
    if not batch:
        return
    begin = time.perf_counter()
    last, title = batch[-1][0], batch[-1][1].title
    try:
        samples = [sample for _, _, sample in batch]
        predictions = predictor.answer(samples, options, lambda part: advance(last + part, title))
        del samples
    except DataError as error:
        if len(batch) == 1:
            _fail(batch[0][1], error, last + 1, advance)
            return
        for one in batch:
            yield from _answer(predictor, [one], options, advance)
        return
    seconds = (time.perf_counter() - begin) / len(batch)
    while batch:
        number, job, sample = batch.pop(0)
        job.record["seconds"] = round(seconds, 4)
        yield number, job, sample, predictions.pop(0)


def _fail(job: Job, error: DataError, done: int, advance: Callable[[float, str], None]) -> None:
    job.error = job.complaint(error)
    job.release()
    advance(done, f"\n{job.error}")


def _sample(predictor: Predictor, job: Job) -> dict[str, Any]:
    given = job.local()
    return predictor.sample(given if len(given) > 1 else next(iter(given.values()), None), job.title) | {
        "index": job.number
    }


def _open_small(predictor: Predictor, job: Job) -> dict[str, Any] | None:
    """Open an input, or leave it for later if it is large. Raises DataError."""
    given = job.local()
    small = all(one.is_small(given[one.name]) for one in predictor.family.inputs)
    return _sample(predictor, job) if small else None


def _open_large(predictor: Predictor, job: Job, writing: deque[Future[None]]) -> dict[str, Any]:
    """Open a large input once everything before it has been written and released."""
    while writing:
        writing.popleft().result()
    return _sample(predictor, job)


def write_summary(
    path: Path,
    predictor: Predictor,
    jobs: list[Job],
    options: Any,
    seconds: float,
    nouns: str,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write predictions.json. nouns: the key of its entries. more: further entries about the whole call."""
    from foveate.disk import atomic_write

    summary = {
        "model": {
            "path": str(predictor.path),
            "name": predictor.name,
            "task": predictor.family.name,
            "runtime": predictor.runtime,
            "device": str(predictor.device),
            **predictor.family.about(),
        },
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(options).items()},
        **(more or {}),
        nouns: [job.record for job in jobs if not job.error],
        "failed": [job.record | {"error": job.error} for job in jobs if job.error],
        "seconds": round(seconds, 3),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def progress_bar(total: int, title: str) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr, where that is a terminal. A name that starts with a line break is an error message."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: float, name: str) -> None:
            if name.startswith("\n"):
                console.print(f"foveate: {name.strip()}", markup=False, highlight=False, soft_wrap=True)
                name = ""
            bar.update(task, completed=done, description=name[-40:])

        yield advance
