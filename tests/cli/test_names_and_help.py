"""Names and flags before torch, help on fields, groups of recipes, completion."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from foveate import cli
from foveate.cli.completion import SCRIPTS, _options, candidates
from foveate.cli.early import check_fields, part_fields, recipe_fields, recipe_parts
from foveate.cli.flags import PLACES, Parser, _known_options
from foveate.cli.recipes import folded, group_of
from foveate.cli.train import OWN, parse_time
from foveate.engine.fields import fields_of
from foveate.engine.recipe import Optim, Recipe
from foveate.errors import ConfigError, duration_text
from foveate.recipes import resolve
from foveate.registry import ELSEWHERE, FAMILIAR, entries, familiar, make_config
from foveate.tasks import all_tasks
from foveate.tasks.options import flags
from foveate.values import meanings

Complaint = Callable[..., str]


def test_a_typo_is_answered_without_torch() -> None:
    lines = [
        "train fcn8ss", "train fcn8s --model fcn9s", "train fcn8s --epoch 3", "train fcn8s --lr 1e-3",
        "train fcn8s_pasture --augment.flipp true", "train fcn8s --config.strid 8", "models unet", "recipes unet",
        "evaluate nowhere", "predict nowhere a.jpg",
    ]  # fmt: skip
    script = (
        "import sys\nfrom foveate.cli import main\n"
        f"codes = [main(line.split()) for line in {lines!r}]\n"
        "assert codes == [1] * len(codes), codes\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == len(lines)


def test_fields_and_helps_are_told_without_torchvision_and_timm() -> None:
    lines = [
        "recipes fcn8s", "recipes mnc_nuclei", "models hypercolumns", "train show_attend_tell_pasture --help",
        "predict --help", "evaluate --help", "generate --help", "bench --help", "info",
    ]  # fmt: skip
    script = (
        "import sys\nfrom foveate.cli import main\nfrom foveate.recipes import resolve\n"
        "from foveate.registry import entries\n"
        f"for line in {lines!r}:\n"
        "    try:\n        main(line.split())\n    except SystemExit:\n        pass\n"
        "for name in entries('recipe'):\n    resolve(name)\n"
        "assert not {'torchvision', 'timm'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_fields_of_a_recipe_begin_with_its_sentence_its_model_and_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["recipes", "mnc_nuclei"]) == 0
    first, second, third, empty, fields = capsys.readouterr().out.split("\n", 4)
    assert first.startswith("mnc_nuclei: The multi-task network cascade on nuclei")
    assert second == "model mnc (foveate models mnc); any field below is a flag of"
    assert (third, empty) == ("  foveate train mnc_nuclei --data DSB2018", "")
    assert fields.startswith("  --config.num_classes")


def test_every_field_of_every_recipe_passes_the_early_check() -> None:
    assert set(recipe_fields()) >= {f"optim.{f.name}" for f in dataclasses.fields(Optim)}
    for name in entries("recipe"):
        check_fields(dict.fromkeys(fields_of(resolve(name)), "1"), OWN)
    with pytest.raises(ConfigError, match=r"unknown flag '--config\.strid'; the nearest is '--config\.stride'"):
        check_fields({"config.strid": "8"}, OWN, "fcn8s")
    assert {"stride", "backbone"} <= part_fields("config")


def test_the_fields_of_a_recipe_are_read_from_its_source() -> None:
    for name in entries("recipe"):
        known, parts = fields_of(resolve(name)), recipe_parts(name)
        for part in ("config", "augment", "data", "text", "options"):
            # One function chooses between the two networks, of which one has these.
            others = {"scaling", "variant"} if part == "config" and name.startswith("inception_v4") else set()
            fields = {field.removeprefix(f"{part}.") for field in known if field.startswith(f"{part}.")}
            assert parts.get(part, set()) == fields | others, (name, part)
    others = {field.name for field in dataclasses.fields(make_config("patch_cnn"))}
    assert recipe_parts("fcn8s", "patch_cnn")["config"] == others
    assert recipe_parts(None) == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train fcn8s --augment.mosaic 1", "unknown flag '--augment.mosaic'; the fields of augment are blur, bright"),
        ("sweep fcn8s --augment.mosaic 1,2", "unknown flag '--augment.mosaic'; the fields of augment are blur, bright"),
        ("train fcn8s --augment.stains 1", "unknown flag '--augment.stains'; the fields of augment are"),  # of mnc
        ("train mnc --augment.stains 1", "unknown flag '--augment.stains'; the nearest is '--augment.stain'"),
        ("train fcn8s --config.crop 1,2", "unknown flag '--config.crop'; the nearest is '--augment.crop'"),
        ("train draw --augment.mosaic 1", "unknown flag '--augment.mosaic'; `foveate recipes RECIPE` lists the fields"),
        ("train draw --encoder resnet18", "unknown flag '--encoder'; it is '--config.backbone' in recipes that have"),
        (
            "train draw --pretrained",
            "unknown flag '--pretrained'; it is '--config.pretrained' in recipes that have one",
        ),
        ("train fcn8s --model patch_cnn --config.lovas 1", "unknown flag '--config.lovas'; the fields of config are "),
        ("train --config x.yaml --augment.mosaic 1", "unknown flag '--augment.mosaic'; `foveate recipes RECIPE` lists"),
        ("train fcn8s --lr 1", "unknown flag '--lr'; the nearest is '--optim.lr'"),
        ("train fcn8s --learning-rate 1", "unknown flag '--learning-rate'; the nearest is '--optim.lr'"),
        ("train fcn8s --weight_decay 1", "unknown flag '--weight_decay'; the nearest is '--optim.weight_decay'"),
        ("train fcn8s --batch-size 4", "unknown flag '--batch-size'; the nearest is '--batch_size'"),
        ("train fcn8s --patience 4", "unknown flag '--patience'; the nearest is '--early_stop'"),
        ("train fcn8s --lr0 1", "unknown flag '--lr0'; the nearest is '--optim.lr'"),
        ("train fcn8s --encoder resnet34", "unknown flag '--encoder'; the nearest is '--config.backbone'"),
        ("train fcn8s --backbone resnet34", "unknown flag '--backbone'; the nearest is '--config.backbone'"),
        ("train fcn8s --data x --pretrained", "unknown flag '--pretrained'; the nearest is '--config.pretrained'"),
        ("train fcn8s --data x --amp", "unknown flag '--amp'; the nearest is '--precision'"),
        ("train fcn8s --optim.learning_rate 1", "unknown flag '--optim.learning_rate'; the nearest is '--optim.lr'"),
        ("train fcn8s --project x", "unknown flag '--project'; the nearest is '--out'"),
        ("train fcn8s --augment no", "unknown flag '--augment'; its fields are --augment."),
        ("train fcn8s data=x", "'data=x' is no flag; write --data x"),
        (
            "predict --model runs/a x.png",
            "unknown flag '--model'; a run and its inputs have none: foveate predict",
        ),
        ("predict runs/a x.png --conf 0.5", "unknown flag '--conf'; the nearest is '--score'"),
        ("test runs/a", "unknown verb 'test'; the nearest is 'evaluate'"),
        ("segment runs/a", "unknown verb 'segment'; the nearest is 'predict'"),
        ("train U-Net --data x", "unknown recipe 'U-Net'; the nearest is 'fcn8s': it, too, adds"),
        ("train mask_rcnn_r50 --data x", "unknown recipe 'mask_rcnn_r50'; the nearest is 'mnc': it is the cascade"),
        ("models deeplabv3plus", "unknown model 'deeplabv3plus'; the nearest is 'fcn8s': DeepLab is an FCN"),
        ("train fcn8s --time 25", "--time is '25'; expected a duration with its unit, as 25m, 1h30m or 90s"),
        ("train --resume --config a.json", "--resume goes on with the fields of the run itself; leave --config out"),
    ],
)
def test_a_name_from_elsewhere_leads_to_the_one_here(words: str, expected: str, complaint: Complaint) -> None:
    assert complaint(*words.split()).startswith(expected)


def test_every_name_from_elsewhere_leads_to_one_that_there_is() -> None:
    assert set(cli.ELSEWHERE.values()) <= set(cli.verbs()) and not set(cli.ELSEWHERE) & set(cli.verbs())
    known = {f"--{field}" for name in entries("recipe") for field in fields_of(resolve(name))}
    known |= OWN | set(_known_options())
    assert {f"--{name}" for name in ELSEWHERE.values()} <= known
    assert not PLACES & {name.removeprefix("--") for name in _known_options()}


def test_an_empty_value_is_no_value(complaint: Complaint) -> None:
    """As of a shell's variable that is not set: an empty path would be the current folder, or the run's own data."""
    asked = "is empty; give a value, or leave it out"
    assert complaint("train", "mnc", "--data", "") == f"--data {asked}"
    assert complaint("train", "", "--data", "x") == f"RECIPE {asked}"
    assert complaint("datasets", "inspect", "") == f"PATH {asked}"
    assert complaint("evaluate", "").startswith("RUN is empty; give a run folder, a model folder or an exported")
    parser = Parser("predict", "")
    parser.add_argument("inputs", nargs="*", metavar="INPUT")
    with pytest.raises(ConfigError, match=f"INPUT {asked}"):
        parser.parse_intermixed_args(["a.png", ""])


def test_familiar_names_lead_to_recipes_for_own_data() -> None:
    for near, _ in FAMILIAR.values():
        assert near in entries("model")
        assert group_of(entries("recipe")[near]) == 0
    assert familiar("fcn8") == ("", "")  # a typo, not a name from elsewhere


def test_durations() -> None:
    assert [parse_time(t) for t in ("90s", "25m", "1h30m", "1.5h")] == [90, 1500, 5400, 5400]
    for wrong in ("", "25", "m", "1h,30m", "0s", "-5m"):
        with pytest.raises(ConfigError, match=r"--time is '"):
            parse_time(wrong)


def test_a_time_of_any_length_says_something() -> None:
    seconds = (0.0, 0.00004, 0.0123, 0.4, 0.449, 0.997, 8.0, 8.44, 12.6, 59.7, 250, 3000, 7500)
    assert [duration_text(s) for s in seconds] == [
        "0 s", "0 s", "0.012 s", "0.4 s", "0.45 s", "1 s", "8 s", "8.4 s", "12.6 s", "1 min 0 s", "4 min 10 s",
        "50 min", "2 h 5 min",
    ]  # fmt: skip


def test_recipes_are_grouped_and_each_has_a_sentence_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    text = capsys.readouterr().out
    own, public, generated = (
        text.index(f"{title}:")
        for title in (
            "on your own data",
            "on a public data set that you have",
            "on generated data, which needs no file",
        )
    )
    assert own < text.index("  fcn8s ") < public < text.index("  fcn8s_camvid ") < generated
    assert generated < text.index("  fcn8s_pasture ")
    for name, entry in entries("recipe").items():
        assert text.count(f"  {name} ") == ("_mnist_" not in name or not entry.preset)
        assert (resolve(name).data is None) or group_of(entry) > 0, name  # one's own data is never in the recipe
        assert (resolve(name).data is not None) or group_of(entry) < 2, name
    (many,) = [line for line in text.splitlines() if "{model}_mnist_{kind}" in line]
    assert "64 recipes; model: cnn, mlp, st_cnn_affine" in many and many.endswith("rts, rts_hard.")
    assert public < text.index("  draw_cifar ") < generated  # one that is called after a set is for that set
    said: dict[tuple[str, ...], str] = {}
    for name, sentence in folded(list(entries("recipe").values())):
        # What is said beyond the name itself: "FCN-8s on ..." and "FCN-16s on ..." are one sentence.
        parts = set(re.findall(r"[a-z]+|\d+", name))
        words = tuple(word for word in re.findall(r"[a-z]+|\d+", sentence.lower()) if word not in parts)
        assert words not in said, f"{name} is described as {said[words]} is: {sentence}"
        said[words] = name


ACTION_FLAGS = {
    "inspect": {"--as", "--help", "--json", "--max-pixels", "--sheet", "--task"},
    "masks": {"--help"},
    "convert": {"--as", "--help", "--lossy", "--max-pixels", "--task", "--to"},
    "audit": {"--as", "--help", "--max-pixels", "--out", "--run", "--split"},
}


@pytest.mark.parametrize("action", ACTION_FLAGS)
def test_the_help_of_an_action_is_of_its_own_flags(
    action: str, capsys: pytest.CaptureFixture[str], complaint: Complaint
) -> None:
    for words in ([action, "--help"], ["--help", action], [action, "x", "-h"]):
        with pytest.raises(SystemExit):
            cli.main(["datasets", *words])
        printed = capsys.readouterr().out
        assert printed.startswith(f"usage: foveate datasets {action} PATH")
        listed = printed.partition("\noptions:\n")[2]
        assert set(re.findall(r"^ +(?:-h, )?(--[\w-]+)", listed, re.MULTILINE)) == ACTION_FLAGS[action]
        assert not re.findall(r"^ +(?:inspect|masks|convert|audit): ", printed, re.MULTILINE)
    others = set().union(*ACTION_FLAGS.values()) - ACTION_FLAGS[action]
    for flag in others | {"--format"}:
        assert complaint("datasets", action, "x", flag, "y").startswith(f"{flag} is for foveate datasets ")


def test_the_help_of_datasets_names_its_actions(capsys: pytest.CaptureFixture[str], complaint: Complaint) -> None:
    with pytest.raises(SystemExit):
        cli.main(["datasets", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{action}: " in printed for action in ACTION_FLAGS)
    assert "--format {text,json}" in printed and "--lossy" not in printed
    assert complaint("datasets", "audit", "x", "--task", "y") == (
        "--task is for foveate datasets inspect and convert; leave it out"
    )
    assert complaint("datasets", "inspect", "x", "--format", "json") == (
        "--format is for foveate datasets without an action; leave it out"
    )
    assert complaint("datasets", "masks", "x", "--tsk", "y").startswith("unknown flag '--tsk'")


def test_fields_are_explained_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes", "fcn8s"]) == 0
    listed = capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["train", "fcn8s", "--help"])
    helped = capsys.readouterr().out
    for field in fields_of(resolve("fcn8s")):
        for text in (listed, helped):
            assert re.search(rf"^  --{re.escape(field)} .*\n      \S", text, re.MULTILINE), field
    assert re.search(r"--augment.crop +288,352 ", listed)
    assert "      passes over the training set; 10 to 40 for most recipes." in listed


def test_a_base_says_what_the_fields_that_it_holds_mean() -> None:
    class Child(Recipe):
        """A recipe.

        seed: the child's own words
        """

    assert meanings(Child) == meanings(Recipe) | {"seed": "the child's own words"}


def test_meanings_go_on_over_lines_and_are_shared() -> None:
    found = meanings(Recipe)
    sds = meanings(type(make_config("sds")))
    assert sds["foreground"] == sds["background"] and sds["background"].startswith("regions of an image")
    assert found["window"].endswith("such as 0,4095 of a 12-bit camera.")
    assert set(found) == {f.name for f in dataclasses.fields(Recipe)}


def test_completion() -> None:
    assert candidates(["tr"]) == ["train"]
    assert set(candidates([""])) == set(cli.verbs())
    assert candidates(["train", "fcn16s_v"]) == ["fcn16s_voc"]
    assert candidates(["train", "fcn8s", "--model", "dec"]) == ["deconvnet"]
    assert candidates(["train", "fcn8s", "--optim.l"]) == ["--optim.lr"]
    assert candidates(["train", "fcn8s", "--res"]) == ["--resume"]
    assert candidates(["evaluate", "--js"]) == ["--json"]
    assert candidates(["evaluate", "runs/"]) == []  # files are the shell's own
    assert candidates(["predict", "torchvision/fcn_resnet50"]) == ["torchvision/fcn_resnet50"]
    for action, known in ACTION_FLAGS.items():
        assert candidates(["datasets", action, "x", "--"]) == sorted(known)
    for shell, script in SCRIPTS.items():
        assert "foveate completion --words" in script, shell


@pytest.mark.parametrize(
    "words, found",
    [
        (["train", "fcn8s", "--logger", ""], ["tensorboard", "mlflow", "wandb", "none"]),
        (["train", "fcn8s", "--optim.name", "adad"], ["adadelta"]),
        (["train", "fcn8s", "--cache", ""], ["true", "false"]),
        (["train", "fcn8s", "--epochs", ""], []),
        (["train", "fcn8s", "--config"], ["--config", "--config."]),
        (["train", "fcn8s", "--config.str"], ["--config.stride"]),
        (["train", "fcn8s", "--config.learned_upsampling", ""], ["true", "false"]),
        (["train", "fcn8s", "--config.loss", "f"], ["focal"]),
        (["train", "fcn8s", "--model", "patch_cnn", "--config.den"], ["--config.dense"]),
        (["sweep", "draw_mnist", "--data.h"], []),
        (["datasets", "inspect", "x", "--task", "in"], ["instances"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["cache", "c"], ["clear"]),
        (["recipes", "fcn8s", "--format", ""], ["text", "json"]),
        (["bench", "x", "--run"], ["--runtime"]),
    ],
)
def test_completion_of_fields_and_their_values(words: list[str], found: list[str]) -> None:
    assert candidates(words) == found


@pytest.mark.parametrize("verb", ["predict", "evaluate", "generate"])
def test_completion_knows_the_options_of_every_family(verb: str) -> None:
    known = {flag.text for task in all_tasks() for flag in flags(task.Options, verb)}
    assert known and known <= set(candidates([verb, "run", "--"]))
    assert set(_options(verb)) == known


def test_every_field_of_every_recipe_and_model_has_a_meaning_of_its_own() -> None:
    owners = {type(make_config(name)) for name in entries("model")}
    for name in entries("recipe"):
        recipe = resolve(name)
        owners |= {type(part) for part in (recipe, *vars(recipe).values()) if dataclasses.is_dataclass(part)}
    for owner in owners:
        told, fields = meanings(owner), {field.name for field in dataclasses.fields(owner)}
        assert fields <= set(told), owner
        for name, words in told.items():
            swallowed = [other for other in fields - {name} if re.search(rf"[.;] {other}: ", words)]
            assert not swallowed, f"{owner.__name__}.{name} tells of {swallowed}, too"


def test_bash_completes_with_the_script(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "foveate").write_text(f'#!/bin/sh\nexec {sys.executable} -m foveate "$@"\n')
    (tmp_path / "foveate").chmod(0o755)
    typed = "COMP_WORDS=(foveate train deconvnet_p)\nCOMP_CWORD=2"
    test = f"PATH={tmp_path}:$PATH\n{script}\n{typed}\n_foveate\necho ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", test], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["deconvnet_pasture"], done.stderr


def test_every_model_has_the_entry_of_its_paper(capsys: pytest.CaptureFixture[str], complaint: Complaint) -> None:
    from foveate.models.citations import PAPERS, bibtex

    assert set(PAPERS) == set(entries("model"))
    for name in PAPERS:
        entry = bibtex(name)
        assert re.fullmatch(r"@(inproceedings|article)\{\w+,\n.*\n\}", entry, re.DOTALL), name
        assert {line.split()[0] for line in entry.splitlines() if " = {" in line} >= {"author", "title", "year"}
        assert entry.count("{") == entry.count("}")
    assert cli.main(["models", "fcn8s", "--bibtex"]) == 0
    assert capsys.readouterr().out.startswith("@inproceedings{long2015fcn,")
    assert complaint("models", "--bibtex").startswith("--bibtex needs the name of a model")
