"""Names -> models, datasets, recipes, tasks, claims. Nothing is listed by hand: the folders are.

A class or function is marked where it stands:

    @model("fcn{stride}s", stride=(32, 16, 8))     -> fcn32s, fcn16s, fcn8s, each a preset of Config.stride
    @dataset("camvid")
    @recipe("fcn{stride}s_pasture", stride=(32, 16, 8))

The first line of the docstring describes each name. It may hold the keys of a mark, as in "FCN-{stride}s on CamVid.",
and words about each value, {about_stride}, where a mark gives them: stride={32: "coarse", 8: "fine"}.

The marks are literals, so names are read from the source with `ast`: listing everything imports nothing, and a
module is imported only when one of its names is asked for. Other packages add names through the entry-point groups
`foveate.models`, `foveate.datasets`, `foveate.recipes`, `foveate.tasks` and `foveate.claims`. Two owners of one name
are an error.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import itertools
import sys
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal, TypeVar

from foveate.errors import ConfigError, ModelError, nearest_path, unknown
from foveate.values import parse

Kind = Literal["model", "dataset", "recipe", "task", "claim"]
T = TypeVar("T")
ROOT = Path(__file__).parent
FOLDERS: dict[Kind, str] = {
    "model": "models", "dataset": "datasets", "recipe": "recipes", "task": "tasks", "claim": "claims",
}  # fmt: skip
# The command that lists the names of a kind.
LISTERS: dict[Kind, str] = {
    "model": "foveate models", "dataset": "foveate datasets", "recipe": "foveate recipes",
    "claim": "foveate claims --list",
}  # fmt: skip
# Earlier names -> today's, which `find` reads in their place: in recipe.json of older runs, and on the command line.
RENAMED: dict[Kind, dict[str, str]] = {
    "dataset": {"pasture_captions": "pasture", "pasture_classes": "pasture", "pasture_cows": "pasture"},
}
# The same for fields of a model's Config, in config.json and recipe.json, and for `--config.NAME`.
RENAMED_FIELDS = {"softly": "soft_share", "thrown": "random_windows"}

_DENSE = "it is the fully convolutional network that these grew from; --flip and --scales average several views"
_BOXES = "it finds each object with its box, its mask and its class; a detector of boxes alone is not here"
_WHOLE = "it is the convolutional classifier here"
# Names known from elsewhere (their beginnings, in small letters and digits) -> the nearest here, and why.
FAMILIAR = {
    "unet": ("fcn8s", "it, too, adds the encoder's fine features to coarse ones, by sums where a U-Net concatenates"),
    "segnet": ("deconvnet", "both unpool with the places of the encoder's maxima"),
    "deeplab": ("fcn8s", "DeepLab is an FCN with dilated filters and a dense CRF; predict and evaluate take --crf"),
    "crfrnn": ("fcn8s", "it is the network under the CRF; predict and evaluate take --crf"),
    **dict.fromkeys(("pspnet", "fpn", "hrnet", "segformer", "upernet", "linknet", "bisenet", "lraspp", "pan"),
                    ("fcn8s", _DENSE)),
    "maskrcnn": ("mnc", "it is the cascade of boxes, masks and classes that Mask R-CNN followed"),
    **dict.fromkeys(("mask2former", "maskformer", "yolact", "solo", "sam", "cellpose", "stardist", "fcis"),
                    ("mnc", "it is the instance segmentation here: a box, a mask and a class for every object")),
    **dict.fromkeys(("fasterrcnn", "yolo", "detr", "ssd", "retinanet", "fcos", "rtdetr"), ("mnc", _BOXES)),
    **dict.fromkeys(("resnet", "resnext", "vgg", "alexnet", "densenet", "efficientnet", "mobilenet", "convnext", "vit",
                     "swin", "googlenet", "xception"), ("inception_resnet_v2", _WHOLE)),
    **dict.fromkeys(("blip", "clip", "git", "captioning", "imagecaptioning", "nic", "llava"),
                    ("show_attend_tell", "it is the captioning model with attention here")),
    "stn": ("spatial_transformer", "STN is short for it"),
}  # fmt: skip
# The same for fields of a recipe, arguments of `foveate.train` and flags, which are spelled as flags are, without "--".
ELSEWHERE = {
    "learning_rate": "optim.lr", "wd": "optim.weight_decay", "optimizer": "optim.name", "bs": "batch_size",
    "lr0": "optim.lr", "scheduler": "optim.schedule", "max_epochs": "epochs",
    "batch": "batch_size", "num_epochs": "epochs", "num_workers": "workers", "patience": "early_stop",
    "gpus": "devices", "device": "devices", "imgsz": "augment.crop", "crop_size": "augment.crop",
    "gpu": "devices", "img_size": "augment.crop",
    "output": "out", "output_dir": "out", "project": "out", "save_dir": "out", "work_dir": "out",
    "dataset": "data", "weights": "init", "checkpoint": "init", "load_from": "init", "amp": "precision",
    "half": "precision", "fp16": "precision", "cfg": "config", "encoder": "config.backbone",
    "encoder_name": "config.backbone", "backbone": "config.backbone", "pretrained": "config.pretrained",
    "encoder_weights": "config.pretrained", "conf": "score", "score_thr": "score",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One name: where its object stands, and the preset that the name's template spells."""

    name: str
    module: str
    attribute: str
    preset: tuple[tuple[str, Any], ...] = ()
    summary: str = ""
    text: str = ""  # the whole docstring
    point: EntryPoint | None = None

    def load(self) -> Any:
        """Import the module and return the marked object."""
        if self.point is not None:
            return self.point.load()
        return getattr(importlib.import_module(self.module), self.attribute)


def _mark(template: str, **choices: tuple[Any, ...] | Mapping[Any, str]) -> Callable[[T], T]:
    """Say that the object answers to `template`, once for each combination of `choices`."""
    del template, choices  # read from the source by `entries`, which needs no import

    def keep(target: T) -> T:
        return target

    return keep


model = dataset = recipe = task = claim = _mark


def _marks(kind: Kind, path: Path, module: str) -> Iterator[Entry]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        text = ast.get_docstring(node) or ""
        for mark in node.decorator_list:
            if not (isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == kind):
                continue
            template = ast.literal_eval(mark.args[0])
            choices = {k.arg or "": ast.literal_eval(k.value) for k in mark.keywords}
            for values in itertools.product(*choices.values()):
                preset = dict(zip(choices, values, strict=True))
                words = {f"about_{k}": choices[k][v] for k, v in preset.items() if isinstance(choices[k], dict)}
                name, about = template.format(**preset), _filled(text, words | preset)
                yield Entry(name, module, node.name, tuple(preset.items()), about.partition("\n")[0], about)


def _filled(text: str, preset: Mapping[str, Any]) -> str:
    """A text with the values of a preset in place of their keys in braces."""
    for key, value in preset.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text


@cache
def entries(kind: Kind) -> dict[str, Entry]:
    """Every name of a kind, in alphabetical order."""
    found: dict[str, Entry] = {}
    folder = ROOT / FOLDERS[kind]
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(["foveate", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        for entry in _marks(kind, path, module):
            _add(kind, found, entry)
    for point in entry_points(group=f"foveate.{FOLDERS[kind]}"):
        _add(kind, found, Entry(point.name, point.module, point.attr, point=point))
    return dict(sorted(found.items()))


def _add(kind: Kind, found: dict[str, Entry], entry: Entry) -> None:
    if entry.name in found:
        raise ConfigError(
            f"two {kind}s are called '{entry.name}': {found[entry.name].module} and {entry.module}; rename one"
        )
    found[entry.name] = entry


def find(kind: Kind, name: str) -> Entry:
    """The entry of a name, or of an earlier name (`RENAMED`). Raises ConfigError, naming the nearest one."""
    known = entries(kind)
    name = current_name(kind, name)
    if name not in known:
        near, why = familiar(name)
        if kind in ("model", "recipe") and near in known:
            raise ConfigError(f"unknown {kind} '{name}'; the nearest is '{near}': {why}")
        if kind not in LISTERS:
            raise ConfigError(unknown(kind, name, known))
        found = nearest(name, known)
        near = f"is '{found[0]}'" if len(found) == 1 else f"are {', '.join(found)}"
        raise ConfigError(
            f"unknown {kind} '{name}'; {f'the nearest {near}, and ' if found else ''}`{LISTERS[kind]}` lists all"
        )
    return known[name]


def nearest(name: str, known: Mapping[str, Entry]) -> list[str]:
    """Up to three names of which it is a part; else the one that is spelled alike, or those that speak of it."""
    word = name.lower()
    return (
        [other for other in known if word in other.split("_")][:3]
        or difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        or [other for other in known if word in other][:3]
        or [entry.name for entry in known.values() if word in entry.summary.lower()][:3]
        or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    )


def familiar(name: str) -> tuple[str, str]:
    """The nearest model here to one that is known from elsewhere, and why; ('', '') for any other name."""
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    known = max((key for key in FAMILIAR if plain.startswith(key)), key=len, default="")
    return FAMILIAR.get(known, ("", ""))


def no_such_run(path: Path) -> ModelError:
    """Return the error for a run or model that does not exist; to the name of a network it says how to get a run."""
    kinds: tuple[Kind, ...] = ("model", "recipe")
    known = len(path.parts) == 1 and any(path.name in entries(kind) for kind in kinds)
    nearest, why = familiar(path.name) if len(path.parts) == 1 else ("", "")
    if known:
        hint = f"train one with foveate train {path} --data PATH, and give its run folder"
    elif near := nearest_path(path):
        hint = f"the nearest is {near}"
    elif nearest:
        hint = f"the nearest network is {nearest} ({why}): train it with foveate train {nearest} --data PATH"
    else:
        hint = "give a run folder, a model folder or an exported .onnx file"
    return ModelError(f"{path} does not exist; {hint}")


def current_name(kind: Kind, name: str) -> str:
    """The name itself, or today's name in place of an earlier one."""
    return name if name in entries(kind) else RENAMED.get(kind, {}).get(name, name)


def current_field(name: str, known: Collection[str]) -> str:
    """The field itself, or today's name of a renamed one, dotted or not, if that is among the known fields."""
    head, dot, last = name.rpartition(".")
    renamed = f"{head}{dot}{RENAMED_FIELDS.get(last, last)}"
    return renamed if name not in known and renamed in known else name


def nearest_field(name: str, known: Collection[str]) -> str:
    """The known field that one which there is not stands for; '' for none.

    It is the one that other tools call so, else, of a dotted name, one of the same part that is spelled alike, else one
    of that very name below another dot.
    """
    plain = name.replace("-", "_")
    part, _, last = plain.rpartition(".")
    elsewhere = ELSEWHERE.get(last, "")
    if part and elsewhere.rpartition(".")[0] != part:  # optim.learning_rate is of optim alone
        elsewhere = ""
    below = [field.removeprefix(f"{part}.") for field in known if part and field.startswith(f"{part}.")]
    alike = [f"{part}.{field}" for field in difflib.get_close_matches(last, below, n=1)]
    nested = [field for field in known if field.rpartition(".")[2] == last]
    return next((field for field in (elsewhere, plain, *alike, *nested) if field in known), "")


def fields_beside(name: str, known: Collection[str]) -> str:
    """The part of a message that stands for the nearest of a dotted name that is like none: the fields beside it.

    '' for a name without a dot.
    """
    part = name.rpartition(".")[0]
    below = [field.removeprefix(f"{part}.") for field in known if part and field.startswith(f"{part}.")]
    if below:
        return f"the fields of {part} are {', '.join(below)}"
    return "`foveate recipes RECIPE` lists the fields of a recipe" if part else ""


def create_model(name: str, **config: Any) -> Any:
    """Build a model by name; keyword arguments are fields of its Config. Raises ConfigError."""
    entry = find("model", name)
    cls = entry.load()
    return cls(make_config(name, **config))


def make_config(name: str, **config: Any) -> Any:
    """The Config of a model's name: its defaults, the name's preset, then the given fields. Raises ConfigError."""
    entry = find("model", name)
    config_type = sys.modules[entry.load().__module__].Config
    return config_type(**{**dict(entry.preset), **_values(config_type, config, name)})


def _values(config_type: Any, given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Values for the fields of a Config; a mapping stands for a Config inside of it. Raises ConfigError."""
    known = typing.get_type_hints(config_type)
    values: dict[str, Any] = {}
    for key, value in {current_field(k, known): v for k, v in given.items()}.items():
        if key not in known:
            raise ConfigError(unknown(f"field of {name}", key, known))
        if dataclasses.is_dataclass(known[key]) and isinstance(value, Mapping):
            inner: Any = known[key]
            values[key] = inner(**_values(inner, value, f"{name}'s {key}"))
        else:
            values[key] = parse(key, value, known[key])
    return values


def create_recipe(name: str) -> Any:
    """Build a recipe by name. Raises ConfigError."""
    entry = find("recipe", name)
    return entry.load()(**dict(entry.preset))
