"""Train a recipe on your labelled data, or on its own."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.early import check_line, check_names
from foveate.cli.flags import Parser, add_recipe, require_known, split_fields
from foveate.errors import ConfigError, FoveateError

if TYPE_CHECKING:
    from foveate.engine import Recipe

OWN = {
    "--data", "--model", "--out", "--resume", "--init", "--help", "--max-pixels", "--config", "--time", "--lr-find",
    "--preview", "--no-report", "--seeds", "--folds",
}  # fmt: skip
UNITS = {"s": 1, "m": 60, "h": 3600}


def run(argv: list[str]) -> int:
    """`foveate train RECIPE [--data PATH] [--model NAME] [--out RUN] [--resume] [--init RUN] [--FIELD VALUE ...]`."""
    parser = Parser("train", __doc__ or "")
    add_recipe(parser, "--resume or --config")
    parser.add_argument("--out", metavar="RUN", help="the run folder (default runs/RECIPE)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped, with its fields (default the newest)"
    )
    parser.add_argument("--lr-find", action="store_true", help="search for a learning rate, and train nothing")
    parser.add_argument(
        "--preview",
        metavar="FILE",
        help="draw augmented training images with their labels to FILE (.jpg or .png), and train nothing",
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="train under N seeds, and report the mean and the range")
    parser.add_argument(
        "--folds", type=int, metavar="K", help="cross-validate: train K times, and validate on each sample once"
    )
    parser.add_argument("--no-report", action="store_true", help="do not evaluate the best epoch into report.html")
    parser.epilog = "Any recipe field can be changed: --epochs 10 --optim.lr 1e-3 (foveate recipes RECIPE lists them)."
    words, fields = split_fields(argv, OWN)
    if {"-h", "--help"} & set(words):
        parser.epilog += _explained(words)
    args = parser.parse_args(words)
    check_line(parser, args, fields, OWN, instead=args.resume or args.config is not None)
    seconds = None if args.time is None else parse_time(args.time)

    from foveate import pictures
    from foveate.engine.fields import fields_of, override
    from foveate.engine.processes import join
    from foveate.engine.recipe import long_enough_check
    from foveate.registry import current_field

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    join()
    recipe = _recipe(args)
    known = fields_of(recipe)
    fields = {current_field(name, known): value for name, value in fields.items()}
    require_known(fields, known, OWN)
    recipe = override(recipe, fields)
    if not args.resume:
        recipe = long_enough_check(recipe, fields)
    if args.lr_find or args.preview:
        return _try_out(recipe, args)
    if args.seeds is None and args.folds is None:
        return _train(recipe, args, seconds)
    return _train_several(recipe, args, seconds)


def _recipe(args: Any) -> Recipe:
    """The recipe of a line, before its fields."""
    from foveate.engine.processes import from_first, is_first
    from foveate.engine.resume import newest_unfinished, resumed_recipe
    from foveate.recipes.config import chosen

    if args.resume:
        if args.config:
            raise ConfigError("--resume goes on with the fields of the run itself; leave --config out")
        if args.recipe is None and args.out is None:
            args.out = from_first(lambda: str(newest_unfinished().path))
            if is_first():
                print(f"resuming {args.out}", flush=True)
        found = from_first(lambda: resumed_recipe(args.recipe, args.out, _given(args)))
        if found is not None:
            return found
    return chosen(args.recipe, args.data, args.model, args.config)


def _train(recipe: Recipe, args: Any, seconds: float | None) -> int:
    from foveate.cli.inputs import predict_line
    from foveate.engine import train_recipe
    from foveate.engine.processes import is_first
    from foveate.engine.report import overfit_line
    from foveate.predictor import example_options
    from foveate.tasks import find_task

    if recipe.data is not None and is_first():
        print(recipe.data.describe(recipe.task), flush=True)
    folder = train_recipe(recipe, out=args.out, resume=args.resume, init=args.init, seconds=seconds)
    if not is_first():
        return 0
    if recipe.overfit:
        print(
            f"{overfit_line(folder)}\ntrained: {folder}\n"
            "next: the same command without --overfit; but if the best is not nearly perfect, look at the labels first "
            "(--preview FILE), or give more --epochs"
        )
        return 0
    if not args.no_report:
        try:
            if report := written_report(folder):
                print(f"report: {report}")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{folder} is trained, and foveate evaluate {shlex.quote(str(folder))} writes its report"
            ) from None
    predict = predict_line(folder, find_task(recipe.task), example_options(folder))
    print(f"trained: {folder}\nnext: foveate evaluate {shlex.quote(str(folder))}, {predict}")
    return 0


def _train_several(recipe: Recipe, args: Any, seconds: float | None) -> int:
    from foveate.engine.folds import train_folds
    from foveate.engine.processes import is_first
    from foveate.engine.seeds import train_seeds

    flag = "--seeds" if args.folds is None else "--folds"
    if args.seeds is not None and args.folds is not None:
        raise ConfigError("--seeds and --folds cannot be combined; give one of them")
    if args.resume or recipe.overfit:
        raise ConfigError(
            f"{flag} resumes stopped runs by itself, and trains on all samples; leave out --resume and --overfit"
        )
    if recipe.data is not None and is_first():
        print(recipe.data.describe(recipe.task), flush=True)

    def report(folder: Path) -> None:
        if is_first() and not args.no_report:
            written_report(folder)

    if args.folds is not None:
        folds = train_folds(recipe, args.folds, args.out, args.init, seconds, report)
        if is_first():
            print(*folds.lines(), f"page: {folds.folder / 'folds.html'}", sep="\n")
        return 0
    found = train_seeds(recipe, args.seeds, args.out, args.init, seconds, report)
    if is_first():
        print(*found.lines(), sep="\n")
        runs = " ".join(shlex.quote(str(found.folder / f"seed{seed}")) for seed in found.scores)
        print(f"next: foveate compare {runs}")
    return 0


def written_report(folder: Path) -> Path | None:
    """Write the report of a run, unless it has that of its best model; a training is whole also where it has none."""
    from foveate.engine.report import report_run

    if _is_reported(folder):
        return None
    try:
        return report_run(folder)
    except FoveateError as error:
        print(f"note: no report of {folder}: {error}", flush=True)
        return None


def _is_reported(folder: Path) -> bool:
    """True if the report is of the best model as it is: a finished run was resumed."""
    report, weights = folder / "report.html", folder / "model" / "config.json"
    return report.is_file() and weights.is_file() and report.stat().st_mtime_ns >= weights.stat().st_mtime_ns


def _try_out(recipe: Recipe, args: Any) -> int:
    """`--preview` and `--lr-find`: nothing is trained, and no run folder is made."""
    from foveate.cli.places import require_sheet, save_sheet
    from foveate.engine.prepare import prepare
    from foveate.engine.trial import find_lr, preview

    if args.preview:
        require_sheet("--preview", args.preview)
    if args.preview:
        # What a frozen network makes of the pictures cannot be looked at; the pictures can.
        save_sheet(preview(prepare(dataclasses.replace(recipe, features=False), args.init)), args.preview)
        print(f"preview: {args.preview}")
    if args.lr_find:
        found = find_lr(prepare(recipe, args.init))
        print(f"{'rate':>10}  {'loss':>10}", *found.lines(), sep="\n")
        print(
            f"the loss falls fastest at {found.best:.1e}: try --optim.lr {found.best:.1e} (the recipe has "
            f"{recipe.optim.lr:g})"
        )
    return 0


def parse_time(text: str) -> float:
    """A duration such as 25m, 1h30m, 90s or 1.5h, in seconds. Raises ConfigError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f"--time is '{text}'; expected a duration with its unit, as 25m, 1h30m or 90s")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ConfigError(f"--time is '{text}'; expected a time above 0")
    return seconds


def _given(args: Any) -> dict[str, Any]:
    """The model and the data of a resumed run, as far as the line names them."""
    return {"model": args.model, "data.path": None if args.data is None else str(Path(args.data).absolute())}


def _explained(words: list[str]) -> str:
    """The fields of the recipe, or of the model, that a line with --help names; '' if it names none."""
    if model := _value_of("--model", words):
        from foveate.cli.models import config_lines

        return f"\n\nfields of {model}, with their defaults:\n{config_lines(model)}"
    if words[0].startswith("-"):
        return ""
    check_names(words[0], None)
    from foveate.cli.recipes import field_lines
    from foveate.recipes import resolve

    return "\n".join([f"\n\nfields of {words[0]}, with their values:", *field_lines(resolve(words[0]))])


def _value_of(flag: str, words: list[str]) -> str:
    """The value of a flag on a line; '' if it is not there."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == flag or word.startswith(f"{flag}="):
            return following if word == flag else word.partition("=")[2]
    return ""
