"""Any registered model under the data and the schedule of a recipe of its family: `--model NAME`."""

import csv
import json

import pytest

import foveate
from foveate import cli
from foveate.errors import ConfigError
from foveate.recipes import resolve
from foveate.registry import create_recipe, make_config

# patch_cnn, made small, under the recipe of another model.
SMALL = [
    "--config.widths", "4,4", "--config.kernels", "3,3", "--config.fc_kernel", "3", "--config.hidden", "8",
    "--epochs", "1", "--batch_size", "2", "--augment.crop=",
]  # fmt: skip


@pytest.fixture
def run(photos, tmp_path):
    out = tmp_path / "run"
    assert cli.main(["train", "fcn8s", "--model", "patch_cnn", "--data", str(photos), "--out", str(out), *SMALL]) == 0
    return out


def test_schedule_and_augmentation_are_the_recipes_and_the_config_is_the_models_own():
    base, own = create_recipe("fcn8s_pasture"), resolve("fcn8s_pasture", model="patch_cnn")
    assert own.config == make_config("patch_cnn")
    assert (own.model, own.name, own.freeze, own.features) == ("patch_cnn", "fcn8s_pasture", (), False)
    for field in ("data", "augment", "optim", "epochs", "batch_size", "ema", "seed", "early_stop", "class_weights"):
        assert getattr(own, field) == getattr(base, field), field


def test_the_preset_of_a_name_is_part_of_its_defaults():
    assert resolve("fcn8s_pasture", model="fcn32s").config == make_config("fcn32s")
    assert make_config("fcn32s").stride == 32


def test_flags_change_the_config_of_the_given_model(run):
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["name"] == "fcn8s" and recipe["model"] == "patch_cnn" and recipe["task"] == "semantic"
    assert recipe["config"]["widths"] == [4, 4] and recipe["config"]["hidden"] == 8
    assert recipe["optim"]["lr"] == create_recipe("fcn8s").optim.lr
    about = json.loads((run / "model/config.json").read_text())
    assert about["model"] == "patch_cnn" and about["config"]["num_classes"] == len(about["tables"]["classes"]["names"])


def test_the_run_is_evaluated_reported_and_predicts(run, photos, tmp_path):
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "scores.json")]) == 0
    with (run / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["mean_iou"] == pytest.approx(float(row["mean_iou"]), abs=1e-6)
    assert (run / "report.html").is_file()
    prediction = foveate.load(run).predict(photos / "val/images/6.png")
    assert prediction.mask.shape == (32, 40)


def test_the_run_resumes_and_gives_what_it_would_have_given(run, photos, capsys, complaint):
    before = (run / "model/model.safetensors").read_bytes()
    words = ["train", "fcn8s", "--data", str(photos), "--out", str(run), *SMALL, "--resume"]
    assert cli.main([*words, "--model", "patch_cnn"]) == 0
    assert (run / "model/model.safetensors").read_bytes() == before
    assert cli.main(["train", "fcn8s", "--out", str(run), "--resume"]) == 0  # recipe.json has the rest
    assert (run / "model/model.safetensors").read_bytes() == before
    line = complaint("train", "fcn8s", "--out", str(run), "--resume", "--model", "deconvnet")
    assert "was started with model = patch_cnn, and is resumed with deconvnet" in line


def test_the_same_from_python(photos, tmp_path):
    run = foveate.train(
        "fcn8s", data=photos, out=tmp_path / "python", model="patch_cnn", epochs=1, batch_size=2, augment__crop=(),
        config__widths=(4, 4), config__kernels=(3, 3), config__fc_kernel=3, config__hidden=8,
    )  # fmt: skip
    assert foveate.load(run).name == "patch_cnn"


def test_a_model_of_another_family_is_refused(complaint):
    line = complaint("train", "fcn8s_pasture", "--model", "show_and_tell")
    assert line == (
        "model 'show_and_tell' is for captioning, but recipe 'fcn8s_pasture' trains models for semantic; choose a "
        "recipe for captioning, see `foveate recipes`"
    )


def test_an_unknown_model_is_refused_with_the_nearest(complaint):
    assert "patch_cnn" in complaint("train", "fcn8s_pasture", "--model", "patch_cn")


def test_a_field_of_the_recipes_own_model_is_unknown_for_another(complaint):
    line = complaint("train", "fcn8s_pasture", "--model", "patch_cnn", "--config.backbone", "resnet18")
    assert "--config.backbone" in line and "unknown" in line


def test_a_model_name_given_as_a_recipe_is_refused_with_what_to_do(complaint, monkeypatch):
    from foveate import registry

    without = {name: entry for name, entry in registry.entries("recipe").items() if not name.startswith("patch_cnn")}
    known = registry.entries
    for module in ("foveate.registry", "foveate.recipes"):
        monkeypatch.setattr(f"{module}.entries", lambda kind: without if kind == "recipe" else known(kind))
    line = complaint("train", "patch_cnn", "--data", "photos")
    assert line.startswith("'patch_cnn' is a model without a recipe of its own; train it under the schedule of a ")
    assert "--model patch_cnn --data PATH" in line
    with pytest.raises(ConfigError, match="without a recipe of its own"):
        foveate.train("patch_cnn")
