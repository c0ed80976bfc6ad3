"""Label pictures with a trained model: masks, overlays and one JSON file."""

from __future__ import annotations

import contextlib
import difflib
import glob
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.flags import Parser, add_inference, inference
from foveate.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    import numpy as np

    from foveate.pictures import Windows
    from foveate.predictor import Predictor
    from foveate.records import SemanticPrediction

LONGEST_OVERLAY = 4096  # pixels; overlays of larger pictures are scaled down
# Pictures up to this size are decoded while others are looked at; larger ones come one at a time, to bound memory.
PIPELINED_PIXELS = 4_000_000
AHEAD = 2


def run(argv: list[str]) -> int:
    """`foveate predict RUN INPUT... --out DIR`."""
    parser = Parser("predict", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder, a model folder or an exported .onnx file")
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="pictures, folders of pictures, or globs such as 'a/*.jpg'"
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="where the masks, overlays and predictions.json go")
    add_inference(parser)
    parser.add_argument(
        "--tile", type=int, metavar="N", help="side of the tiles; 0: never (default: above 1.5 megapixels)"
    )
    parser.add_argument("--overlap", type=int, metavar="N", help="pixels that neighbouring tiles share (default 128)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    args = parser.parse_args(argv)

    from foveate import pictures
    from foveate.predictor import Predictor
    from foveate.tasks.tiling import choose_tiling

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    choose_tiling(2**16, 2**16, args.scales, args.tile, args.overlap)  # complain before any work
    looks = vars(inference(args))
    out = Path(args.out)
    jobs = plan(args.inputs, out)
    _check_writable(out)
    predictor = Predictor.open(args.run, device=args.device)

    def look(job: Job, windows: Windows, progress: Callable[[float], None]) -> SemanticPrediction:
        return predictor.predict(
            windows,
            **looks,
            tile=args.tile,
            overlap=args.overlap,
            name=str(job.source),
            progress=progress,
        )

    start = time.perf_counter()
    with _progress(len(jobs)) as advance:
        _predict_all(jobs, look, advance)
    seconds = time.perf_counter() - start
    settings = {**looks, "scales": list(args.scales), "tile": args.tile, "overlap": args.overlap}
    _write_summary(out / "predictions.json", predictor, jobs, settings, seconds)
    failed = [job for job in jobs if job.error]
    done = len(jobs) - len(failed)
    if not done and len(jobs) == 1:
        return 1  # its one line stands above
    print(f"predicted: {done} of {len(jobs)} pictures in {seconds:.1f} s ({done / seconds:.1f} pictures/s) -> {out}")
    if failed:
        print(
            f"foveate: {len(failed)} of {len(jobs)} pictures could not be looked at; they are named above",
            file=sys.stderr,
        )
    return 1 if failed else 0


@dataclass
class Job:
    """One picture: where it is read, where its mask and overlay go, and what came of it."""

    source: Path
    mask: Path
    overlay: Path
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def plan(inputs: list[str], out: Path) -> list[Job]:
    """The pictures that the inputs mean, each once, with places for their results that nobody else has.

    Sub-folders of a folder are kept; equal names are told apart by their suffix or a number.
    Raises DataError for an input that is not there or has no picture, ConfigError where a result would replace
    an input.
    """
    jobs: list[Job] = []
    seen: set[Path] = set()
    taken: set[str] = set()
    for source, relative in (pair for text in inputs for pair in _find(text, out)):
        if source.resolve() in seen:
            continue
        seen.add(source.resolve())
        target = _free_name(relative, taken)
        jobs.append(Job(source, out / f"{target}.png", out / f"{target}_overlay.jpg"))
    for job in jobs:
        if job.mask.resolve() in seen or job.overlay.resolve() in seen:
            raise ConfigError(f"results in {out} would replace the input {job.source}; choose another --out")
    return jobs


def _find(text: str, out: Path) -> list[tuple[Path, Path]]:
    """(file, its path relative to what was asked for) of every picture that an input means."""
    from foveate.pictures import PICTURE_SUFFIXES

    path = Path(text).expanduser()
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir():
        ours = out.resolve()
        files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
        shown = [p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        found = [p for p in shown if path.resolve() == ours or ours not in p.resolve().parents]
        if not found:
            raise DataError(f"no pictures in {path}; expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}")
        return [(p, p.relative_to(path)) for p in found]
    if glob.has_magic(text):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - '**' and absolute patterns
        found = [p for p in matches if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
        if not found:
            others = f"; {len(matches)} other files and folders do" if matches else ", nor anything else"
            raise DataError(f"no picture matches {text}{others}; check the folder and the pattern")
        root = Path(os.path.commonpath([p.parent for p in found]))
        return [(p, p.relative_to(root)) for p in found]
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"the nearest is {path.parent / near[0]}" if near else "give a picture, a folder or a glob"
    raise DataError(f"{path} does not exist; {hint}")


def _free_name(relative: Path, taken: set[str]) -> Path:
    """A name without suffix that is not taken yet: photo, else photo_jpg, else photo_jpg_2, ..."""
    stem = relative.with_suffix("")
    longer = relative.with_name(f"{stem.name}_{relative.suffix.removeprefix('.')}")
    candidates = [stem, longer]
    number = 2
    while str(candidates[0]).casefold() in taken:  # some file systems do not tell Photo from photo
        candidates.pop(0)
        if not candidates:
            candidates.append(longer.with_name(f"{longer.name}_{number}"))
            number += 1
    taken.add(str(candidates[0]).casefold())
    return candidates[0]


def _check_writable(out: Path) -> None:
    """Raise OutputError now rather than after the first picture."""
    from foveate.pictures import atomic_write

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    probe = out / ".foveate-write-test"
    try:
        with atomic_write(probe) as temporary:
            temporary.touch()
    except OutputError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise OutputError(f"cannot write into {out}: {reason}; choose another folder with --out") from error
    probe.unlink(missing_ok=True)


def _predict_all(
    jobs: list[Job],
    look: Callable[[Job, Windows, Callable[[float], None]], SemanticPrediction],
    advance: Callable[[float, str], None],
) -> None:
    """Decode ahead, look, write behind. What fails to be read is told and noted; the others go on.

    advance: called with the number of finished pictures, fractions of one included, and the picture's name.
    """
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
                    writing.append(writers.submit(_write_result, job, windows, prediction))
                else:  # on this thread, where the memory that the tiles gave back can be used again
                    _write_result(job, windows, prediction)
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


def _write_result(job: Job, windows: Windows, prediction: SemanticPrediction) -> None:
    from foveate.pictures import atomic_write
    from foveate.visualize import index_png, overlay, with_legend

    shares = _shares(prediction)
    with atomic_write(job.mask) as temporary:
        index_png(prediction.mask, prediction.classes, temporary)
    picture, mask = _reduced(windows, prediction.mask)
    windows.close()
    drawn = with_legend(overlay(picture, mask, prediction.classes), prediction.classes, shares)
    with atomic_write(job.overlay) as temporary:
        drawn.save(temporary, format="JPEG", quality=90)
    job.record |= {"height": windows.height, "width": windows.width, "shares": shares}


def _shares(prediction: SemanticPrediction) -> dict[str, float]:
    """`prediction.shares()`, a strip at a time: counting takes eight bytes a pixel, which a large mask cannot have."""
    from dataclasses import replace

    import numpy as np

    totals = dict.fromkeys(prediction.classes.names, 0.0)
    for strip in np.array_split(prediction.mask, -(-prediction.mask.size // 2**20)):
        for name, share in replace(prediction, mask=strip).shares().items():
            totals[name] += share * (strip.size / prediction.mask.size)
    return totals


def _reduced(windows: Windows, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its mask, shrunk by a whole factor until the longest side is at most LONGEST_OVERLAY.

    The picture is averaged over f x f pixels and read in strips; of the mask, one label in f x f is kept.
    """
    import numpy as np

    height, width = windows.height, windows.width
    factor = -(-max(height, width) // LONGEST_OVERLAY)
    if factor == 1:
        return windows.read(0, 0, height, width), mask
    factor = min(factor, height, width)
    rows, columns = height // factor, width // factor
    small = np.empty((rows, columns, windows.channels), windows.read(0, 0, 1, 1).dtype)
    step = max(1, 2**21 // (width * factor))
    for top in range(0, rows, step):
        count = min(step, rows - top)
        strip = windows.read(top * factor, 0, count * factor, columns * factor)
        blocks = strip.reshape(count, factor, columns, factor, -1)
        small[top : top + count] = blocks.mean((1, 3), dtype=np.float32).round()
    middle = factor // 2
    return small, mask[middle::factor, middle::factor][:rows, :columns]


def _write_summary(path: Path, predictor: Predictor, jobs: list[Job], settings: dict[str, Any], seconds: float) -> None:
    from foveate.pictures import atomic_write

    out = path.parent
    done = [job for job in jobs if not job.error]
    summary = {
        "model": {
            "path": str(predictor.path),
            "name": predictor.name,
            "task": predictor.task,
            "runtime": predictor.runtime,
            "device": str(predictor.device),
            "classes": list(predictor.classes.names),
        },
        "settings": settings,
        "pictures": [
            {
                "file": str(job.source),
                "mask": job.mask.relative_to(out).as_posix(),
                "overlay": job.overlay.relative_to(out).as_posix(),
                **job.record,
            }
            for job in done
        ],
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
