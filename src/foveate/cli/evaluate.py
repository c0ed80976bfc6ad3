"""Score a run on labelled or described pictures, and renew its report."""

from __future__ import annotations

import json
from pathlib import Path

from foveate.cli.flags import Parser, add_inference, inference


def run(argv: list[str]) -> int:
    """`foveate evaluate RUN [--data PATH] [--split NAME] [--json FILE] [--scales LIST] [--crf] ...`."""
    parser = Parser("evaluate", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder or model folder")
    parser.add_argument("--data", metavar="PATH", help="pictures with labels or captions (default: the run's own)")
    parser.add_argument("--split", metavar="NAME", help="which split (default: val, else test)")
    parser.add_argument("--json", metavar="FILE", help="also write the scores to FILE")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    add_inference(parser)
    args = parser.parse_args(argv)

    from foveate import pictures
    from foveate.datasets import recognise
    from foveate.disk import require_writable, write_atomically
    from foveate.engine import evaluate_run
    from foveate.engine.report import report_run
    from foveate.engine.run import RunFolder
    from foveate.visualize.report.family import FAMILIES

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    if args.json:
        require_writable(args.json)
    source = recognise(Path(args.data), _task(args.run)) if args.data else None
    how = inference(args)
    evaluation = evaluate_run(args.run, source=source, split=args.split, how=how)
    scores = evaluation.to_json()
    print(f"{evaluation.source}, split {evaluation.split}: {scores['images']} pictures in {scores['seconds']:.1f} s")
    if looks := how.describe():
        print(f"looked at with {looks}")
    for name, value in scores.items():
        if name not in ("images", "seconds") and (value is None or isinstance(value, float)):
            print(f"  {name:<24}{_number(value, 'not defined')}")
    for name, value in scores.get("per_class", {}).items():
        print(f"    {name:<22}{_number(value, 'absent')}")
    if args.json:
        write_atomically(args.json, json.dumps(scores, indent=2) + "\n")
    # The report and evaluation.json of a run are about one plain look at its own data.
    if args.data is None and not looks and (Path(args.run) / "recipe.json").is_file():
        if evaluation.loaded.task in FAMILIES:
            print(f"report: {report_run(args.run, evaluation)}")
        else:  # a family without pages
            RunFolder(args.run).write_json("evaluation.json", scores)
    return 0


def _task(run: str) -> str:
    """The family of a run, whose formats are asked first; '' where that cannot be told, which is told later."""
    from foveate.errors import FoveateError
    from foveate.predictor import find_model_folder

    try:
        return str(json.loads((find_model_folder(Path(run)) / "config.json").read_text(encoding="utf-8"))["task"])
    except (FoveateError, OSError, ValueError, KeyError, TypeError):
        return ""


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.4f}"
