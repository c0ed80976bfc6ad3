"""A resumed run is the one that was started: its fields, its samples in their order, and their labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foveate import pictures
from foveate.engine.fields import to_json
from foveate.engine.recipe import Recipe
from foveate.engine.resume import MAY_DIFFER, require_same_data, require_same_recipe, resumed_recipe
from foveate.engine.run import RunFolder
from foveate.errors import ConfigError, DataError
from foveate.records import ClassTable

Tiny = Callable[..., Recipe]


def test_only_fields_that_change_no_more_than_roundings_may_differ(tiny: Tiny, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    require_same_recipe(tiny(), run)  # nothing was started
    run.write_json("recipe.json", to_json(tiny(precision="float32")))
    require_same_recipe(tiny(precision="float32", workers=2, threads=3, devices=2, nodes=3, logger="none"), run)
    assert set(MAY_DIFFER) == {"workers", "threads", "devices", "nodes", "logger"}
    for field, value in (
        ("seed", 1), ("batch_size", 2), ("epochs", 3), ("ema", 0.5), ("accumulate", 2), ("freeze_norm", True),
        ("validate_every", 2), ("early_stop", 1), ("class_weights", "log"), ("optim__lr", 0.5), ("optim__clip", 0.0),
        ("config__dropout", 0.5), ("data__train", 9), ("augment__flip", False), ("window", "full"), ("overfit", 2),
    ):  # fmt: skip
        with pytest.raises(
            ConfigError, match=rf"was started with {field.replace('__', '.')} = .*, and is resumed with"
        ):
            require_same_recipe(tiny(precision="float32", **{field: value}), run)


def about(**changes: Any) -> dict[str, Any]:
    found = {
        "source": "images in data", "train": ["a", "b", "c"], "val": ["d", "e"],
        "digests": {"train": ["1", "2", "3"], "val": ["4", "5"]},
    }  # fmt: skip
    return found | changes


def test_other_samples_orders_and_labels_of_either_split_are_refused(tmp_path: Path) -> None:
    run, tables = RunFolder(tmp_path), {"classes": ClassTable(("x", "y"))}
    run.write_json("tables.json", {"classes": tables["classes"].to_json()})
    run.write_json("data.json", about())
    require_same_data(run, tables, about())
    for split in ("train", "val"):
        names, digests = about()[split], about()["digests"]
        with pytest.raises(DataError, match=rf"{len(names)} {split} samples, now there are .*first difference: z"):
            require_same_data(run, tables, about(**{split: [*names, "z"]}))
        with pytest.raises(DataError, match="first difference: their order"):
            require_same_data(run, tables, about(**{split: names[::-1]}))
        other = digests | {split: [*digests[split][:-1], "9"]}
        with pytest.raises(DataError, match=rf"1 of {len(names)} {split} samples differ \({names[-1]}\); restore them"):
            require_same_data(run, tables, about(digests=other))
    with pytest.raises(DataError, match="was started with other classes than images in data has now"):
        require_same_data(run, {"classes": ClassTable(("y", "x"))}, about())
    run.write_json("data.json", {name: one for name, one in about().items() if name != "digests"})
    require_same_data(run, tables, about())  # a run of an earlier version has no digests


def test_a_resumed_run_reads_images_as_large_as_it_was_started_with(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless another limit was given."""
    run, limits = RunFolder(tmp_path), []
    run.write_json("recipe.json", to_json(tiny()))
    run.write_json("data.json", about(max_pixels=123_456))
    monkeypatch.setattr(pictures, "set_max_pixels", limits.append)
    assert resumed_recipe(None, tmp_path, {}) == tiny() and limits == [123_456]
    monkeypatch.setattr(pictures, "get_max_pixels", lambda: 99)
    resumed_recipe(None, tmp_path, {})
    assert limits == [123_456]
