"""Predict with a trained model: results as files, drawings, and one JSON file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.fastest import exported_if_equal
from foveate.cli.flags import Parser, add_runtime, given_inputs, parse_with_options
from foveate.cli.inputs import STDIN, Job, generated, plan, require_texts, stdin_lines
from foveate.cli.labelling import PredictedLabels, require_labels
from foveate.cli.pipeline import Pipeline, Results, fail, workers_for
from foveate.cli.places import choose_out, placed, read_claims, results_in
from foveate.cli.videos import ENDINGS as VIDEO_ENDINGS
from foveate.cli.videos import passed_over, predict_video, split_videos, video_jobs
from foveate.cluster import LOCAL
from foveate.disk import sweep
from foveate.errors import ConfigError, DataError, OutputError, counted, duration_text, listed
from foveate.tasks.expansion import SUMMARY

if TYPE_CHECKING:
    from foveate.predictor import Predictor
    from foveate.tasks.base import Task


def run(argv: list[str]) -> int:
    """`foveate predict RUN INPUT... [--out DIR] [further inputs and options of the family]`."""
    args, family, given = parse_with_options(_parser(), argv)

    from foveate import pictures
    from foveate.cli import by_ray
    from foveate.predictor import Predictor
    from foveate.tasks.options import PREDICT, make_options

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    make_options(family, given, PREDICT)  # complains before any work
    shared = given_inputs(args, family)
    if args.format:
        require_labels(args.format, family)
    if args.inputs == [STDIN] and args.out is None:
        require_texts(family)
        return _answer_lines(Predictor.open(args.run, args.device, args.runtime, args.precision), given)
    videos, words = split_videos(args.inputs, family, args.every)
    if args.ray and (videos or args.format):
        raise ConfigError(f"{'videos are' if videos else '--format is'} not supported on a cluster; leave out --ray")
    endings = (*family.endings, *VIDEO_ENDINGS)

    def planned(out: Path) -> list[Job]:
        clips = video_jobs(videos, out, results_in(out, endings))
        return clips if clips and not words else [*_plan(words, args.count, shared, out, family), *clips]

    if unread := passed_over(words, family):
        print(f"note: {unread}", file=sys.stderr)
    with placed(args.out) as place, contextlib.ExitStack() as locks:
        out, jobs = choose_out(place.given, args.run, planned, locks)
        others, clips = jobs[: len(jobs) - len(videos)], jobs[len(jobs) - len(videos) :]
        require_writable_folder(out)
        earlier = _tables(out)
        workers = 1 if args.ray else workers_for(len(others), family.predict_size)
        device = "cpu" if args.ray else args.device
        open_model = functools.partial(Predictor.open, args.run, device, args.runtime, args.precision)
        predictor = open_model(workers=workers)
        options = make_options(predictor.family, given, PREDICT)
        predictor.family.require(options)

        if not args.ray:
            if read_claims(out):
                sweep(out)  # what a call that was stopped was writing
            place.claim(out, args.run, jobs)
        annotated = PredictedLabels(args.format, out, predictor.family) if args.format else None
        start = time.perf_counter()
        if args.ray:
            with progress_bar(len(jobs), "predicting") as advance:
                by_ray.predict(jobs, predictor, args, given, place, advance)
        else:
            with tempfile.TemporaryDirectory() as folder:
                if file := exported_if_equal(predictor, others, options, Path(folder)):
                    open_model = functools.partial(Predictor.open, file, args.device)
                    predictor = dataclasses.replace(open_model(workers=workers), path=predictor.path)
                results = Results(predictor, annotated, place)
                # Of an exported file the number of threads is fixed when it is opened.
                shares = predictor.runtime != "torch" and workers > 1
                whole: Callable[[], Predictor] = functools.cache(open_model) if shares else lambda: predictor
                with progress_bar(len(jobs), "predicting") as advance:
                    Pipeline(predictor, options, results, advance, workers, whole).run(others)
                    for number, job in enumerate(clips, start=len(others) + 1):
                        _predict_video(job, whole(), options, args.every or 1, number, advance)
            results.finish(out)
        tables = [name for name, written in _tables(out).items() if earlier.get(name) != written]
        seconds = time.perf_counter() - start
        more = {"label_format": args.format} if args.format else {}
        write_summary(out / SUMMARY, predictor, jobs, options, seconds, family.noun(2), more)
        place.finish(out)
    return _print_results(predictor, jobs, clips, tables, seconds, place.url or str(out))


def _parser() -> Parser:
    parser = Parser("predict", __doc__ or "")
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, a model folder, an exported .onnx file, or torchvision/NAME"
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="files, folders, globs such as 'a/*.jpg', or https URLs; videos, for models that take images; for models "
        "that take text: texts, text files with one text a line, - for standard input, or tables of inputs",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="where the results and predictions.json go (predictions, numbered if taken)"
    )
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="also write DIR/NAME, a data set of the inputs whose labels are the predictions: coco, labelme, cvat, "
        "voc, yolo or another that `foveate datasets convert` writes",
    )
    parser.add_argument("--every", type=int, metavar="N", help="of videos, predict every N-th frame (1)")
    parser.add_argument("--count", type=int, metavar="N", help="samples to generate, of models without an input (1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept images of up to N pixels")
    parser.add_argument(
        "--ray", nargs="?", const=LOCAL, metavar="ADDRESS",
        help="predict on a Ray cluster: auto or host:port; without an address, one is started on this machine's cores",
    )  # fmt: skip
    add_runtime(parser)
    return parser


def _print_results(
    predictor: Predictor, jobs: list[Job], videos: list[Job], tables: list[str], seconds: float, folder: str
) -> int:
    """Print what was predicted, with notes and failures; returns the exit code. videos: the videos among the jobs."""
    family = predictor.family
    done = [job for job in jobs if not job.error]
    if not done and len(jobs) == 1:
        return 1  # its error is printed already
    notes: dict[str, list[str]] = {}
    for job in done:
        if note := job.record.get("note"):
            notes.setdefault(note, []).append(job.short_name)
    for note, names in notes.items():
        print(f"note: {listed(names, family.noun())}: {note}", file=sys.stderr)
    for line in family.lines([(job.title, job.record) for job in done if job not in videos]):
        print(line)
    for job in videos:
        if not job.error:
            print(
                f"{job.title}: {counted(job.record['frames'], 'frame')} -> {job.record.get('overlay', 'no drawings')}"
            )
    answers, failures, answered, nouns = _outcome(family, [job for job in jobs if job not in videos], videos)
    runtime = "" if predictor.runtime == "torch" else f" in {predictor.computed_in}"
    tables_text = f" ({', '.join(tables)})" if tables else ""
    took = f"{duration_text(seconds)} ({_rate(answered, seconds, nouns)})"
    print(f"predicted: {answers} in {took}{runtime} -> {folder}{tables_text}")
    if failures:
        print(f"foveate: {failures} failed; they are named above", file=sys.stderr)
    return 1 if failures else 0


def _outcome(family: Task, others: list[Job], videos: list[Job]) -> tuple[str, str, int, str]:
    """The answers and the failures in words, the number of answers, of which a video has many, and their name."""
    frames = sum(job.record["frames"] for job in videos if not job.error)
    answers, failures = [], []
    for group, noun in (
        (others, family.noun(len(others))),
        (videos, "video file" if len(videos) == 1 else "video files"),
    ):
        failed = sum(bool(job.error) for job in group)
        about = f" ({counted(frames, 'frame')})" if group is videos else ""
        answers += [f"{len(group) - failed} of {len(group)} {noun}{about}"] if group else []
        failures += [f"{failed} of {len(group)} {noun}"] if failed else []
    nouns = [family.noun(2)] * bool(others) + ["frames"] * bool(videos)
    answered = sum(not job.error for job in others) + frames
    return " and ".join(answers), " and ".join(failures), answered, " and ".join(nouns)


def _tables(out: Path) -> dict[str, int]:
    """The tables in a folder, by name, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in sorted(out.glob("*.csv"))}


def _rate(count: int, seconds: float, nouns: str) -> str:
    """The speed in words: '3.2 pictures/s', or '20.5 s each' where it takes more than a second each."""
    if count and seconds > count:
        return f"{duration_text(seconds / count)} each"
    return f"{count / seconds:.1f} {nouns}/s"


def _answer_lines(predictor: Predictor, given: dict[str, str]) -> int:
    """Answer standard input line by line, each as soon as it is read, on standard output; nothing else is written."""
    from foveate.tasks.options import PREDICT, make_options

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


def _predict_video(
    job: Job, predictor: Predictor, options: Any, every: int, done: int, advance: Callable[[float, str], None]
) -> None:
    """Predict one video, or note why it could not be. done: inputs that are finished with it."""
    begin = time.perf_counter()
    try:
        found = predict_video(predictor, Path(job.title), job.out, options, every, lambda name: advance(done - 1, name))
    except DataError as error:
        fail(job, error, done, advance)
        return
    job.record |= found | {"seconds": round(time.perf_counter() - begin, 4)}


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
            **({} if predictor.precision == "float32" else {"precision": predictor.precision}),
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
