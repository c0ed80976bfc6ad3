"""Train a recipe with several values of some fields: a grid, or values that are drawn."""

from __future__ import annotations

from pathlib import Path

from foveate.cli.early import check_line
from foveate.cli.flags import Parser, add_recipe, require_known, split_fields
from foveate.errors import ConfigError

OWN = {
    "--config", "--data", "--model", "--out", "--init", "--help", "--max-pixels", "--time", "--random", "--report",
    "--format",
}  # fmt: skip


def run(argv: list[str]) -> int:
    """`foveate sweep RECIPE [--data PATH] [--config FILE] --FIELD A,B ... [--random N] [--out DIR]`."""
    parser = Parser("sweep", __doc__ or "")
    add_recipe(parser, "--config")
    parser.add_argument("--out", metavar="DIR", help="the folder of the runs and tables (default runs/RECIPE-sweep)")
    parser.add_argument("--random", type=int, metavar="N", help="N runs whose values are drawn, by the recipe's --seed")
    parser.add_argument("--report", action="store_true", help="also evaluate each run into its report.html")
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex"), default="markdown", help="of the printed table"
    )
    parser.epilog = (
        "A field with several values is swept, as in --optim.lr 1e-3,3e-3 --epochs 10,20; with --random it may be a "
        "range, as in --optim.lr 1e-4..1e-2. Values that hold commas are divided by ';'. A field with one value is set "
        "for all runs. A sweep that was stopped goes on when it is called again; runs that are there are kept."
    )
    words, fields = split_fields(argv, OWN)
    args = parser.parse_args(words)
    check_line(parser, args, fields, OWN, instead=args.config is not None)
    if args.random is not None and args.random < 2:
        raise ConfigError(f"--random is {args.random}; give 2 runs or more")

    from foveate import pictures
    from foveate.cli.train import parse_time, written_report
    from foveate.engine.fields import fields_of, override
    from foveate.engine.processes import is_first
    from foveate.engine.sweep import Range, draw, grid, read_values, train_sweep
    from foveate.recipes.config import chosen
    from foveate.registry import current_field

    seconds = None if args.time is None else parse_time(args.time)
    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    recipe = chosen(args.recipe, args.data, args.model, args.config)
    known = fields_of(recipe)
    require_known({current_field(name, known): 0 for name in fields}, known, OWN)
    values = read_values(recipe, fields)
    fixed = {name: one[0] for name, one in values.items() if not isinstance(one, Range) and len(one) == 1}
    swept = {name: one for name, one in values.items() if name not in fixed}
    if not swept:
        raise ConfigError("nothing is swept; give a field several values, as in --optim.lr 1e-3,3e-3")
    recipe = override(recipe, fixed)
    if args.random is not None and "seed" in swept:
        raise ConfigError("--seed draws the values of --random, and has one value then")
    changes = grid(swept) if args.random is None else draw(swept, args.random, recipe.seed)
    if recipe.data is not None and is_first():
        print(recipe.data.describe(recipe.task), flush=True)

    def report(folder: Path) -> None:
        if args.report and is_first():
            written_report(folder)

    found = train_sweep(recipe, changes, args.out, args.init, seconds, report)
    if not is_first():
        return 0
    print(found.table(args.format), end="")
    best = found.ranked()[0][1]
    print(f"best: {best.path}\ntables: {found.folder / 'sweep.csv'}, sweep.md and sweep.json beside it")
    return 1 if any(one.error for one in found.trained) else 0
