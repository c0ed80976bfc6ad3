"""Score a run on labelled data, and rewrite its report."""

from __future__ import annotations

import csv
import errno
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.flags import Parser, add_runtime, parse_with_options
from foveate.cluster import LOCAL
from foveate.errors import OutputError, duration_text

if TYPE_CHECKING:
    from foveate.records import DataSource

PARTS = ("per_class", "per_kind", "ap_per_class", "recall50_visible")  # scores of parts of the data, by name
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)  # reasons why another's run cannot be written


def run(argv: list[str]) -> int:
    """`foveate evaluate RUN [--data PATH] [--split NAME] [--json FILE] [options of the family]`."""
    parser = Parser("evaluate", __doc__ or "")
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, a model folder, an exported .onnx file, or torchvision/NAME"
    )
    parser.add_argument("--data", metavar="PATH", help="data with labels or captions (default: the run's own)")
    parser.add_argument("--split", metavar="NAME", help="which split (default: val, else test)")
    parser.add_argument("--json", metavar="FILE", help="also write the scores to FILE")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="also write a row a sample to FILE: its scores, what is right and what was predicted",
    )
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept images of up to N pixels")
    parser.add_argument(
        "--ray", nargs="?", const=LOCAL, metavar="ADDRESS",
        help="score on a Ray cluster: auto or host:port; without an address, one is started on this machine's cores",
    )  # fmt: skip
    add_runtime(parser)
    args, family, given = parse_with_options(parser, argv)

    from foveate import pictures
    from foveate.cli import by_ray
    from foveate.disk import require_writable, write_atomically
    from foveate.engine import evaluate_run
    from foveate.engine.report import report_run
    from foveate.tasks.options import EVALUATE, make_options

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    for file in filter(None, (args.json, args.csv)):
        require_writable(file)
    make_options(family, given, EVALUATE)  # complains before any work
    source = data_source(args.data, args.run, family.name) if args.data else None
    score = by_ray.score(args.run, args.ray, args.runtime, args.precision) if args.ray else None
    evaluation = evaluate_run(
        args.run, source=source, split=args.split, options=given, runtime=args.runtime, precision=args.precision,
        score=score,
    )  # fmt: skip
    scores = evaluation.to_json()
    samples = f"{len(evaluation.samples)} {family.noun(len(evaluation.samples))}"
    print(f"{evaluation.source}, split {evaluation.split}: {samples} in {duration_text(scores['seconds'])}")
    if described := evaluation.options.describe():
        print(f"predicted with {described}")
    for name, value in scores.items():
        if name != "seconds" and (value is None or isinstance(value, float)):
            print(f"  {name:<24}{_number(value, 'not defined')}{_interval(scores['intervals'].get(name))}")
    for key in PARTS:
        if part := scores.get(key, {}):
            averaged = key == "per_class" and family.monitor.startswith("mean_")
            print(f"  {key}" + (f", whose mean is {family.monitor}" if averaged else ""))
            for name, value in part.items():
                print(f"    {name:<22}{_number(value, 'absent')}")
    for note in (*evaluation.notes(), *evaluation.task.score_notes(evaluation.scores)):
        print(f"note: {note}")
    if args.json:
        write_atomically(args.json, json.dumps(scores, indent=2) + "\n")
    if args.csv:
        write_atomically(args.csv, csv_text(evaluation.rows()))
    # The report and evaluation.json of a run are about its own data, with the options that are its own.
    own = evaluation.options == evaluation.task.options
    if args.data is None and own and (Path(args.run) / "recipe.json").is_file():
        try:
            print(f"report: {report_run(args.run, evaluation)}")
        except OutputError as error:
            if getattr(error.__cause__, "errno", None) not in READ_ONLY:
                raise
            print(f"note: {args.run} cannot be written, so that its evaluation.json and report.html stay as they were")
    return 0


def data_source(data: str, run: str, family: str) -> DataSource:
    """The source of `--data`: of the same kind as the run's own, where that is made from other files.

    Strings of digits are composed from the digits of another folder, as `foveate train --data` does. Raises DataError.
    """
    from foveate.datasets import recognise
    from foveate.engine.run import RunFolder

    own = RunFolder(run).recipe().data if (Path(run) / "recipe.json").is_file() else None
    return (own.made_from(Path(data).absolute()) if own is not None else None) or recognise(Path(data), family)


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV, with a column for every key; what a row lacks is empty.

    Of a list, as of several references, a cell holds the JSON; of a list of one, that one.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else json.dumps(value, ensure_ascii=False)


def _interval(bounds: list[float] | None) -> str:
    """The 95 % interval behind a score; '' if it has none."""
    return f"  95 % {bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.4f}"
