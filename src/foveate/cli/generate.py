"""Generate samples with a trained model that needs no input: files, sheets of all of them, and one JSON file."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser, parse_with_options
from foveate.cli.inputs import Job, generated
from foveate.cli.places import choose_out
from foveate.cli.predict import progress_bar, require_writable_folder, write_summary
from foveate.errors import ConfigError, duration_text
from foveate.tasks.expansion import SUMMARY

MAX_COUNT = 10_000
MAX_SEED = 2**63 - 1


def run(argv: list[str]) -> int:
    """`foveate generate RUN [--count N] [--seed N] [--out DIR] [options of the family]`."""
    parser = Parser("generate", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder, a model folder or an exported .onnx file")
    parser.add_argument("--count", metavar="N", default="1", help="number of samples (1)")
    parser.add_argument(
        "--seed", metavar="N", default="0", help="of the noise; the same seed gives the same samples (0)"
    )
    parser.add_argument("--out", metavar="DIR", help="where the results go (generated, numbered if taken)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    args, family, given = parse_with_options(parser, argv)

    from foveate.predictor import Predictor
    from foveate.tasks.options import GENERATE, make_options

    count = _whole("--count", args.count, 1, MAX_COUNT)
    seed = _whole("--seed", args.seed, 0, MAX_SEED)
    make_options(family, given, GENERATE)  # complains before any work
    with contextlib.ExitStack() as locks:
        out, jobs = choose_out(args.out, args.run, lambda out: _plan(count, seed, out), locks, "generated")
        require_writable_folder(out)
        predictor = Predictor.open(args.run, device=args.device)
        task = predictor.family
        options = make_options(task, given, GENERATE)
        task.require(options)

        start = time.perf_counter()
        with progress_bar(count, "generating") as advance:
            found = predictor.generate(count, seed, options, lambda share: advance(share * count, ""))
        seconds = time.perf_counter() - start
        shared = {key: _written(out / name, write) for key, (name, write) in found.files.items()}
        for job, prediction in zip(jobs, found.predictions, strict=True):
            names = {
                key: job.relative(_written(job.result(ending), write))
                for key, (ending, write) in task.files(prediction, {"name": job.title}).items()
            }
            job.record |= names | task.record(prediction)
        summary = {"seed": seed} | {key: path.relative_to(out).as_posix() for key, path in shared.items()}
        write_summary(out / SUMMARY, predictor, jobs, options, seconds, family.noun(2), summary)
        for line in task.lines([(job.title, job.record) for job in jobs]):
            print(line)
        for path in shared.values():
            print(f"  {path}")
        print(f"generated: {count} {'sample' if count == 1 else 'samples'} in {duration_text(seconds)} -> {out}")
        return 0


def _plan(count: int, seed: int, out: Path) -> list[Job]:
    jobs = generated(count, out)
    for job in jobs:
        job.record |= {"seed": seed}
    return jobs


def _written(path: Path, write: Any) -> Path:
    from foveate.disk import atomic_write

    with atomic_write(path) as temporary:
        write(temporary)
    return path


def _whole(flag: str, text: str, least: int, most: int) -> int:
    """A whole number of a flag. Raises ConfigError for anything else."""
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ConfigError(f"{flag} is {text}; give a whole number from {least} to {most}")
    return value
