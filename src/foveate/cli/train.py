"""Train a recipe on your labelled data, or on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser, require_known, split_fields

OWN = {"--data", "--model", "--out", "--resume", "--init", "--help", "--max-pixels"}


def run(argv: list[str]) -> int:
    """`foveate train RECIPE [--data PATH] [--model NAME] [--out RUN] [--resume] [--init RUN] [--FIELD VALUE ...]`."""
    parser = Parser("train", __doc__ or "")
    parser.add_argument("recipe", metavar="RECIPE", help="one of `foveate recipes`")
    parser.add_argument("--data", metavar="PATH", help="your labelled data, in any recognised format")
    parser.add_argument("--model", metavar="NAME", help="train this model under the recipe's data and schedule")
    parser.add_argument("--out", metavar="RUN", help="the run folder (default runs/RECIPE)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped, with its fields")
    parser.add_argument("--init", metavar="RUN", help="start from another run, or from a public weight file")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept images of up to N pixels")
    parser.epilog = "Any recipe field can be changed: --epochs 10 --optim.lr 1e-3 (foveate recipes RECIPE lists them)."
    words, fields = split_fields(argv, OWN)
    if {"-h", "--help"} & set(words) and (model := _value_of("--model", words)):
        from foveate.cli.models import config_lines

        parser.epilog += f"\n\nfields of {model}, with their defaults:\n{config_lines(model)}"
    args = parser.parse_args(words)

    from foveate import pictures
    from foveate.cli.inputs import predict_line
    from foveate.engine import train_recipe
    from foveate.engine.fields import fields_of, override
    from foveate.engine.processes import is_first
    from foveate.engine.resume import resumed_recipe
    from foveate.recipes import resolve
    from foveate.registry import current_field
    from foveate.tasks import find_task

    if args.max_pixels is not None:
        pictures.set_max_pixels(args.max_pixels)
    recipe = resumed_recipe(args.recipe, args.out, _given(args)) if args.resume else None
    if recipe is None:
        recipe = resolve(args.recipe, args.data, model=args.model)
    known = fields_of(recipe)
    fields = {current_field(name, known): value for name, value in fields.items()}
    require_known(fields, known, OWN)
    recipe = override(recipe, fields)
    if recipe.data is not None and is_first():
        print(recipe.data.describe(recipe.task), flush=True)
    run_folder = train_recipe(recipe, out=args.out, resume=args.resume, init=args.init)
    if is_first():
        predict = predict_line(run_folder, find_task(recipe.task))
        print(f"trained: {run_folder}\nnext: foveate evaluate {run_folder}, {predict}")
    return 0


def _given(args: Any) -> dict[str, Any]:
    """The model and the data of a resumed run, as far as the line names them."""
    return {"model": args.model, "data.path": None if args.data is None else str(Path(args.data).absolute())}


def _value_of(flag: str, words: list[str]) -> str:
    """The value of a flag on a line; '' if it is not there."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == flag or word.startswith(f"{flag}="):
            return following if word == flag else word.partition("=")[2]
    return ""
