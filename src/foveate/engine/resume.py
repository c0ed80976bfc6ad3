"""The run folder that a training writes to, and the checks that a resumed run is the one that was started."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate import pictures
from foveate.engine import fields
from foveate.engine.processes import is_first, shared_folder
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError, DataError, counted
from foveate.records import Table


def resumed_recipe(name: str | None, out: str | Path | None, given: Mapping[str, Any]) -> Recipe | None:
    """The recipe of the run that `--resume` goes on with, as its recipe.json has it; None before its first epoch.

    name: of the recipe; None for that of the run in `out`. given: 'model' and 'data.path' as the command names them,
    where it does. Raises ConfigError where they are others than the run's.
    """
    run = RunFolder.existing(out or "") if name is None else _choose(name, out, resume=True)
    if not run.recipe_file.is_file():
        return None
    recipe = run.recipe()
    started = {"name": recipe.name, "model": recipe.model, "data.path": getattr(recipe.data, "path", None)}
    for field, value in {"name": name, **given}.items():
        if value is not None and value != started[field]:
            raise _other(run, field, started[field], value)
    limit = run.read_json("data.json").get("max_pixels") if (run.path / "data.json").is_file() else None
    if limit is not None and pictures.get_max_pixels() == pictures.DEFAULT_MAX_PIXELS:
        pictures.set_max_pixels(limit)
    return recipe


def newest_unfinished(folder: str | Path = "runs") -> RunFolder:
    """The run below a folder that was worked on last and is not finished. Raises ConfigError if there is none."""
    runs = [RunFolder(file.parent) for file in Path(folder).glob("*/recipe.json")]
    left = [run for run in runs if not _is_finished(run)]
    if not left:
        found = f"{counted(len(runs), 'finished run')} in it" if runs else "there is none in it"
        raise ConfigError(f"no run in {folder} to go on with: {found}; name one with --out RUN")
    return max(left, key=lambda run: max(f.stat().st_mtime for f in run.path.glob("*.*") if f.is_file()))


def _is_finished(run: RunFolder) -> bool:
    if run.progress.is_file():
        return run.is_done
    return len(run.history()) >= run.read_json("recipe.json").get("epochs", 1)


def finished_line(run: RunFolder, recipe: Recipe, monitor: str) -> str:
    """A sentence on a run of which nothing is left to train; '' for any other.

    monitor: the score by which epochs are ranked. A run that a time limit ended has epochs left.
    """
    history = run.history()
    if not history or not run.is_done:
        return ""
    last, best = history[-1], run.read_json(run.progress.name).get("best") or {}
    waited = last["epoch"] - best.get("epoch", last["epoch"])
    if len(history) >= recipe.epochs:
        return f"{run.path} was finished already, with {counted(len(history), 'epoch')}; nothing is left to train"
    if 0 < recipe.early_stop <= waited and monitor in last:
        return (
            f"{run.path} was finished already: it stopped early, with {counted(len(history), 'epoch')} of "
            f"{recipe.epochs}; nothing is left to train"
        )
    return ""


def choose_folder(recipe: Recipe, out: str | Path | None, resume: bool) -> RunFolder:
    """`out`, else runs/<recipe>, numbered if that is taken; to resume, the newest of that name.

    A run that failed before its first epoch was finished is no obstacle. Raises ConfigError where another stands
    already, unless it is resumed.
    """
    return _choose(f"{recipe.name}-overfit" if recipe.overfit else recipe.name, out, resume)


def _choose(name: str, out: str | Path | None, resume: bool) -> RunFolder:
    if not is_first():
        folder = Path(out) if out is not None else shared_folder()
        if folder is None:
            raise ConfigError("processes that a cluster starts do not know each other's run folder; name it with --out")
        return RunFolder(folder)
    if out is not None:
        run = RunFolder(out)
        if not resume and run.is_trained:
            raise ConfigError(f"{out} already holds a run; add --resume to go on with it, or choose another --out")
        return run
    path, number, taken = Path("runs") / name, 1, None
    while path.exists():
        taken, number = path, number + 1
        path = path.with_name(f"{name}-{number}")
    return RunFolder(taken if resume and taken else path)


# Fields that change no result, and of which other machines may need other values. Another number of processes is
# refused where it would change the training (`EpochEnd.load_state_dict`).
MAY_DIFFER = ("workers", "threads", "devices", "nodes", "logger")


def require_same_recipe(recipe: Recipe, run: RunFolder) -> None:
    """Raise ConfigError unless a resumed run has the fields that it was started with."""
    if not run.recipe_file.is_file():
        return  # it was stopped before it began
    # Read and written again, so that names of an older version are today's.
    old, new = (_flat(json.loads(json.dumps(fields.to_json(one)))) for one in (run.recipe(), recipe))
    for name in [*old, *(n for n in new if n not in old)]:
        if old.get(name) != new.get(name) and name not in MAY_DIFFER:
            raise _other(run, name, old.get(name), new.get(name))


def _other(run: RunFolder, field: str, old: Any, new: Any) -> ConfigError:
    return ConfigError(
        f"{run.path} was started with {field} = {old}, and is resumed with {new}; "
        "resume with the same fields, or start another run with --init"
    )


def with_earlier_options(recipe: Recipe, run: RunFolder) -> Recipe:
    """The recipe with the options of a run that was started before they were stored; any other stays as it is."""
    if not run.recipe_file.is_file() or "options" in run.read_json(run.recipe_file.name):
        return recipe
    return dataclasses.replace(recipe, options=run.recipe().options)


def require_same_data(run: RunFolder, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
    """Raise DataError unless a resumed run has the samples, the labels and the tables that it was started with."""
    old_tables = run.tables()
    for name, table in tables.items():
        today = [json.loads(json.dumps(one.to_json())) for one in (table, getattr(table, "earlier", table))]
        if old_tables.get(name) not in today:
            raise DataError(
                f"{run.path} was started with other {name} than {about['source']} has now; restore the list of {name}"
            )
    old = run.read_json("data.json")
    for split in ("train", "val"):
        changed = sorted(set(old[split]) ^ set(about[split]))
        if changed or old[split] != about[split]:
            first = changed[0] if changed else "their order"
            raise DataError(
                f"{run.path} was started with {counted(len(old[split]), f'{split} sample')}, now there are "
                f"{len(about[split])}; "
                f"first difference: {first}; restore them, or start another run with --init"
            )
        labels, before = (one.get("digests", {}).get(split, []) for one in (about, old))
        if before and labels != before:  # a run of an earlier version has none
            others = [n for n, mine, theirs in zip(about[split], labels, before, strict=True) if mine != theirs]
            raise DataError(
                f"{run.path} was started with other labels or captions than {about['source']} has now: "
                f"{len(others)} of {counted(len(labels), f'{split} sample')} differ ({', '.join(others[:3])}"
                f"{', ...' if len(others) > 3 else ''}); restore them, or start another run with --init"
            )


def require_same_start(run: RunFolder, init: str | Path | None) -> None:
    """Raise ConfigError where a resumed run is to start from other weights than it did."""
    about = run.read_json("data.json")
    if init is None or "init" not in about:  # a run of an earlier version did not write it down
        return
    before = about["init"]
    if str(init) != before and (before is None or Path(init).resolve() != Path(before).resolve()):
        raise _other(run, "init", before, init)


def listing(train_set: Any, val_set: Any) -> dict[str, Any]:
    """The samples that a run trains on and ranks epochs on, and digests of their labels, for the record."""
    found: dict[str, Any] = {"digests": {}}
    for split, dataset in (("train", train_set), ("val", val_set)):
        found[split] = [dataset.name(i) for i in range(len(dataset))]
        if hasattr(dataset, "digest"):
            found["digests"][split] = [dataset.digest(i) for i in range(len(dataset))]
    if pictures.get_max_pixels() != pictures.DEFAULT_MAX_PIXELS:
        found["max_pixels"] = pictures.get_max_pixels()
    return found


def started_from(run: RunFolder) -> str | None:
    """The run or file that a run took its first weights from, if it came as far as to write that down."""
    return run.read_json("data.json").get("init") if (run.path / "data.json").is_file() else None


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {prefix: data}
    return {k: v for key, value in data.items() for k, v in _flat(value, f"{prefix}.{key}" if prefix else key).items()}
