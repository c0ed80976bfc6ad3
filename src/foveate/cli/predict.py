"""Look at pictures with a trained model: masks, classes or captions, drawings, and one JSON file."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.flags import Parser, add_inference, inference
from foveate.cli.inputs import Job, plan
from foveate.cli.results import Results, results_of, write_clip_of
from foveate.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    from foveate.pictures import Windows
    from foveate.predictor import Predictor
    from foveate.tasks.inference import Inference

# Pictures up to this size are decoded while others are looked at; larger ones come one at a time, to bound memory.
PIPELINED_PIXELS = 4_000_000
AHEAD = 2


def run(argv: list[str]) -> int:
    """`foveate predict RUN INPUT... [--out DIR]`."""
    parser = Parser("predict", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder, a model folder or an exported .onnx file")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="pictures, folders of pictures, or globs such as 'a/*.jpg'"
    )
    parser.add_argument(
        "--out", metavar="DIR", default="predictions", help="where the results and predictions.json go (predictions)"
    )
    add_inference(parser)
    parser.add_argument(
        "--tile", type=int, metavar="N", help="side of the tiles; 0: never (default: above 1.5 megapixels)"
    )
    parser.add_argument("--overlap", type=int, metavar="N", help="pixels that neighbouring tiles share (default 128)")
    parser.add_argument(
        "--clip", choices=("turn", "move"), help="of a classifier: also a GIF of each picture in motion, and its looks"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    args = parser.parse_args(argv)

    from foveate import pictures
    from foveate.predictor import Predictor
    from foveate.tasks.tiling import choose_tiling

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    choose_tiling(2**16, 2**16, args.scales, args.tile, args.overlap)  # complain before any work
    how = inference(args)
    out = Path(args.out)
    jobs = plan(args.inputs, out)
    _check_writable(out)
    predictor = Predictor.open(args.run, device=args.device)

    settings = _settings(predictor, how, args.tile, args.overlap)
    if args.clip and predictor.task != "classification":
        raise ConfigError(f"--clip shows what a classifier does; {predictor.name} is for {predictor.task}")

    def look(job: Job, windows: Windows, progress: Callable[[float], None]) -> Any:
        told = {"progress": progress} if predictor.task == "semantic" else {}  # which may take long
        return predictor.predict(windows, **settings, **told, name=str(job.source))

    results = results_of(predictor)
    start = time.perf_counter()
    with _progress(len(jobs)) as advance:
        _predict_all(jobs, look, results, advance)
        for job in jobs if args.clip else ():
            if not job.error:
                job.record["clip"] = job.told(write_clip_of(job, predictor, args.clip))
    seconds = time.perf_counter() - start
    results.finish(out)
    _write_summary(out / "predictions.json", predictor, jobs, settings, seconds)
    done, failed = [job for job in jobs if not job.error], [job for job in jobs if job.error]
    if not done and len(jobs) == 1:
        return 1  # its one line stands above
    for line in results.tell(done):
        print(line)
    each = len(done) / seconds
    print(f"predicted: {len(done)} of {len(jobs)} pictures in {seconds:.1f} s ({each:.1f} pictures/s) -> {out}")
    if failed:
        print(
            f"foveate: {len(failed)} of {len(jobs)} pictures could not be looked at; they are named above",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _settings(predictor: Predictor, how: Inference, tile: int | None, overlap: int | None) -> dict[str, Any]:
    """What the family's predictor is told. Raises ConfigError for flags that mean nothing to it."""
    from foveate.tasks import colocalisation
    from foveate.tasks.captioning import BEAMS, require_search
    from foveate.tasks.classification import require_plain

    task = predictor.task
    if task == "semantic":
        if how.beams:
            raise ConfigError(f"a label map is not searched with {how.beams} beams; --beams is for models that speak")
        views = {name: value for name, value in vars(how).items() if name != "beams"}
        return views | {"tile": tile, "overlap": overlap}
    if tile is not None or overlap is not None:
        who = {"captioning": "a captioner", "colocalisation": "a co-localiser"}.get(task, "a classifier")
        raise ConfigError(f"{who} sees its picture whole; leave out --tile and --overlap")
    if task == "captioning":
        require_search(how, len(predictor.classes))
        return {"beams": how.beams or BEAMS}
    if task == "colocalisation":
        colocalisation.require_plain(how)
        return {}
    require_plain(how)
    return {"flip": how.flip}


def _check_writable(out: Path) -> None:
    """Raise OutputError now rather than after the first picture."""
    from foveate.disk import require_writable

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    require_writable(out / "predictions.json")


def _predict_all(
    jobs: list[Job],
    look: Callable[[Job, Windows, Callable[[float], None]], Any],
    results: Results,
    advance: Callable[[float, str], None],
) -> None:
    """Decode ahead, look, write behind. What fails to be read is told and noted; the others go on.

    advance: called with the number of finished pictures, fractions of one included, and the picture's name.
    """

    def finish(job: Job, windows: Windows, prediction: Any) -> None:
        job.record |= results.write(job, windows, prediction)

    with ThreadPoolExecutor(1) as readers, ThreadPoolExecutor(1) as writers:
        reading: deque[Future[Windows | None]] = deque()
        writing: deque[Future[None]] = deque()
        upcoming = iter(jobs)
        try:
            for number, job in enumerate(jobs):
                while len(reading) <= AHEAD and (coming := next(upcoming, None)) is not None:
                    reading.append(readers.submit(_open_small, coming))
                try:
                    small = reading.popleft().result()
                    windows = small or _open_large(job, writing)
                    begin = time.perf_counter()
                    prediction = look(job, windows, lambda part, n=number, j=job: advance(n + part, j.source.name))  # type: ignore[misc]
                    job.record["seconds"] = round(time.perf_counter() - begin, 4)
                except DataError as error:
                    job.error = " ".join(str(error).split())
                    advance(number + 1, f"\n{job.error}")
                    continue
                if small:
                    writing.append(writers.submit(finish, job, windows, prediction))
                else:  # on this thread, where the memory that the tiles gave back can be used again
                    finish(job, windows, prediction)
                del small, windows, prediction  # a large picture must be gone before the next is decoded
                while len(writing) > AHEAD:
                    writing.popleft().result()
                advance(number + 1, job.source.name)
            while writing:
                writing.popleft().result()
        except BaseException:
            readers.shutdown(cancel_futures=True)
            writers.shutdown(cancel_futures=True)
            raise


def _open_small(job: Job) -> Windows | None:
    """Decode a picture, or leave it for later if it is large. Raises DataError."""
    from foveate.pictures import open_windows, picture_size

    height, width = picture_size(job.source)
    return open_windows(job.source) if height * width <= PIPELINED_PIXELS else None


def _open_large(job: Job, writing: deque[Future[None]]) -> Windows:
    """Decode a large picture once everything before it has been written and let go."""
    from foveate.pictures import open_windows

    while writing:
        writing.popleft().result()
    return open_windows(job.source)


def _write_summary(path: Path, predictor: Predictor, jobs: list[Job], settings: dict[str, Any], seconds: float) -> None:
    from foveate.pictures import atomic_write

    done = [job for job in jobs if not job.error]
    names = list(predictor.classes.names)
    speaks = predictor.task == "captioning"
    summary = {
        "model": {
            "path": str(predictor.path),
            "name": predictor.name,
            "task": predictor.task,
            "runtime": predictor.runtime,
            "device": str(predictor.device),
            **({"vocabulary": len(names)} if speaks else {"classes": names}),
        },
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
        "pictures": [{"file": str(job.source), **job.record} for job in done],
        "failed": [{"file": str(job.source), "error": job.error} for job in jobs if job.error],
        "seconds": round(seconds, 3),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr, where that is a terminal. A name that starts with a line break is a complaint."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("predicting", total=total)

        def advance(done: float, name: str) -> None:
            if name.startswith("\n"):
                console.print(f"foveate: {name.strip()}", markup=False, highlight=False, soft_wrap=True)
                name = ""
            bar.update(task, completed=done, description=name[-40:])

        yield advance
