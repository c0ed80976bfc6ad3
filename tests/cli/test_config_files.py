"""`--config`: a training from a recipe.json or a YAML file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foveate.datasets.pasture import Pasture
from foveate.engine.fields import to_json
from foveate.errors import ConfigError
from foveate.recipes import resolve
from foveate.recipes.config import from_file


def write(folder: Path, text: str) -> Path:
    file = folder / "fields.yaml"
    file.write_text(text)
    return file


def test_the_recipe_json_of_a_run_gives_the_recipe(tmp_path: Path) -> None:
    for name, fields in (
        ("fcn8s_pasture", {"epochs": "7", "optim.lr": "0.5", "augment.crop": "64,96", "freeze": ""}),
        ("show_attend_tell_pasture", {"text.size": "500", "options.beams": "3"}),
    ):
        recipe = resolve(name, overrides=fields)
        (tmp_path / "recipe.json").write_text(json.dumps(to_json(recipe)))
        assert from_file(tmp_path / "recipe.json") == recipe
    without = dataclasses.replace(resolve("fcn8s_pasture"), augment=None)
    (tmp_path / "recipe.json").write_text(json.dumps(to_json(without)))
    assert from_file(tmp_path / "recipe.json", model="deconvnet") == dataclasses.replace(
        resolve("fcn8s_pasture", model="deconvnet", overrides={"freeze": ",".join(without.freeze)}), augment=None
    )


def test_yaml_changes_fields_nested_and_dotted(tmp_path: Path, photos: Path) -> None:
    text = (
        f"recipe: fcn8s\ndata: {photos}\nepochs: 3\noptim:\n  lr: 1e-2\n  warmup: 0\n"
        "augment.crop: [64, 96]\nconfig: {stride: 16}\n"
    )
    fields = {"epochs": 3, "optim.lr": 0.01, "optim.warmup": 0, "augment.crop": (64, 96), "config.stride": 16}
    assert from_file(write(tmp_path, text)) == resolve("fcn8s", photos, fields)
    assert from_file(write(tmp_path, "recipe: fcn8s_pasture\ndata: {train: 5}")).data == Pasture(
        height=192, width=192, train=5, val=50, test=100
    )
    assert from_file(write(tmp_path, "augment: null"), "fcn8s").augment is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs: 3", r"fields.yaml does not name a recipe; add a line such as 'recipe: fcn8s'"),
        ("recipe: fcn8s\nepoch: 3", r"fields.yaml: unknown field 'epoch'; the nearest is 'epochs'"),
        ("recipe: fcn8s\noptim: {lrr: 3}", r"fields.yaml: unknown field 'optim.lrr'; the nearest is 'optim.lr'"),
        ("recipe: fcn8s\nepochs: many", r"fields.yaml: --epochs is 'many'; expected a whole number"),
        ("recipe: fcn8s\nepochs: null", r"fields.yaml: --epochs is None; expected a whole number"),
        ("recipe: fcn8s\ndata: {train: 5}", r"recipe 'fcn8s' has no data of its own to change; give data: PATH"),
        ("recipe: fcn8s\ntext: {size: 5}", r"recipe 'fcn8s' has no text; leave text out"),
        ("recipe: fcn9s", r"unknown recipe 'fcn9s'"),
        ("- a\n- b", r"holds no fields; expected lines such as 'recipe: fcn8s'"),
        ("a: [", r"fields.yaml is not yaml: "),
        (
            "recipe: fcn8s\nepochs: 3\nepochs: 4",
            r"is not yaml: 'epochs' comes twice, again in line 3; leave one of them",
        ),
        (
            "recipe: fcn8s\noptim:\n  lr: 3\n  lr: 4",
            r"is not yaml: 'lr' comes twice, again in line 4; leave one of them",
        ),
        ("recipe: fcn8s\noptim: {lr: 3}\noptim.lr: 4", r"fields.yaml gives optim.lr twice; leave one of them out"),
        ("recipe: fcn8s\noptim.lr: 4\noptim: {lr: 3}", r"fields.yaml gives optim.lr twice; leave one of them out"),
    ],
)
def test_a_wrong_file_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=expected):
        from_file(write(tmp_path, text))


def test_the_line_and_the_file_must_agree(tmp_path: Path, photos: Path, complaint: Callable[..., str]) -> None:
    file = write(tmp_path, "recipe: fcn8s")
    with pytest.raises(ConfigError, match="is for recipe 'fcn8s', and the command names 'fcn16s'"):
        from_file(file, "fcn16s")
    assert complaint("train", "--config", str(tmp_path / "none.yaml")).startswith(
        f"--config {tmp_path}/none.yaml cannot"
    )
    # Flags win over the file, whose data need not be there then.
    assert complaint("train", "--config", str(file), "--epochs", "0") == "epochs is 0; expected 1 or more"
    gone = write(tmp_path, "recipe: fcn8s\ndata: nowhere")
    assert from_file(gone, data=photos) == resolve("fcn8s", photos)
