"""Does a captioner's attention fall on what it names, on photographs? Hits against chance, over five folds.

    python benchmarks/coco_attention.py FOLDER [--kinds soft,hard] [--folds 0,1,2,3,4] [--set FIELD=VALUE ...]
        [--name NAME] [--runs DIR] [--json FILE]

FOLDER holds COCO photographs in `images/`, their captions in `captions.json`, and the objects of some of them in
`instances.json`. The photographs are dealt to five folds, those with objects as evenly as those without. For each fold
the recipe `show_attend_tell`, with soft or with hard attention, is trained on three of the others and those of the
fourth that have objects, ranked on the rest of the fourth, and scored on the fold: BLEU-4 and CIDEr-D of captions from the
recipe's search, and the attention of each word that names an annotated object (metrics/captioning/attention.py), in these
captions and, as they are few and name few objects, in the reference captions, each word given the true ones before it.

`--set` changes fields of the recipe, as `--set epochs=40 config.strides=16`; give such a variant a `--name`, so that it
stands beside the baseline. Each fold is kept in the JSON file when it is done, and not measured again.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

from foveate.datasets.coco import Annotation, rasterise
from foveate.disk import write_atomically
from foveate.engine import train_recipe
from foveate.engine.run import environment
from foveate.metrics.captioning.attention import on_objects
from foveate.predictor import Predictor
from foveate.recipes import resolve
from foveate.records import Caption, CaptionDataset, CaptionSample, Preprocessing
from foveate.text import END

FOLDS = 5
# The captions whose words are looked at, and what is summed over these words (`on_objects`).
WORDS_OF = ("generated", "reference")
SUMS = ("words", "mass_sum", "mass_chance_sum", "hits", "hits_chance")
# What is kept of the machine and the source tree with each fold.
PROVENANCE = ("commit", "clean", "python", "packages", "instructions", "threads", "cpu")
RESULTS = Path(__file__).parent.parent / "results" / "attention" / "photographs.json"
# Category -> words that mean it, singular, where the category's own name is not enough or not a word of a caption.
WORDS = {
    "person": "person man woman boy girl child kid baby guy lady player skier surfer skateboarder snowboarder rider "
    "batter catcher pitcher umpire chef student toddler someone people",
    "bicycle": "bicycle bike", "car": "car vehicle", "motorcycle": "motorcycle motorbike bike",
    "airplane": "airplane plane jet aircraft airliner", "bus": "bus", "train": "train locomotive",
    "truck": "truck vehicle", "boat": "boat ship sailboat canoe", "traffic light": "light stoplight",
    "fire hydrant": "hydrant", "stop sign": "sign", "parking meter": "meter", "bench": "bench",
    "bird": "bird duck pigeon seagull", "cat": "cat kitten", "dog": "dog puppy", "horse": "horse pony",
    "sheep": "sheep lamb", "cow": "cow bull cattle calf", "elephant": "elephant", "bear": "bear cub", "zebra": "zebra",
    "giraffe": "giraffe", "backpack": "backpack", "umbrella": "umbrella parasol", "handbag": "handbag purse bag",
    "tie": "tie necktie", "suitcase": "suitcase luggage bag", "frisbee": "frisbee disc", "skis": "ski skis",
    "snowboard": "snowboard", "sports ball": "ball", "kite": "kite", "baseball bat": "bat",
    "baseball glove": "glove mitt", "skateboard": "skateboard board", "surfboard": "surfboard board",
    "tennis racket": "racket racquet", "bottle": "bottle", "wine glass": "glass", "cup": "cup mug", "fork": "fork",
    "knife": "knife", "spoon": "spoon", "bowl": "bowl", "banana": "banana", "apple": "apple", "sandwich": "sandwich",
    "orange": "orange", "broccoli": "broccoli", "carrot": "carrot", "hot dog": "hotdog", "pizza": "pizza",
    "donut": "donut doughnut", "cake": "cake", "chair": "chair stool", "couch": "couch sofa", "potted plant": "plant",
    "bed": "bed", "dining table": "table", "toilet": "toilet", "tv": "tv television screen monitor",
    "laptop": "laptop computer", "mouse": "mouse", "remote": "remote controller", "keyboard": "keyboard",
    "cell phone": "phone cellphone", "microwave": "microwave", "oven": "oven stove", "toaster": "toaster",
    "sink": "sink", "refrigerator": "refrigerator fridge", "book": "book", "clock": "clock", "vase": "vase",
    "scissors": "scissors", "teddy bear": "teddy", "hair drier": "drier dryer", "toothbrush": "toothbrush",
}  # fmt: skip
IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "knife": "knives", "calf": "calves",
    "mouse": "mice", "sheep": "sheep", "scissors": "scissors", "people": "people", "cattle": "cattle", "skis": "skis",
    "broccoli": "broccoli", "luggage": "luggage", "aircraft": "aircraft", "someone": "someone",
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Measure the wanted folds and print a line for each kind."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", default="soft,hard")
    parser.add_argument("--folds", default=",".join(map(str, range(FOLDS))))
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--name", default="baseline")
    parser.add_argument("--runs", type=Path, default=Path("runs/coco_attention"))
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # small steps: more threads are slower, and the result would depend on their number
    photographs = Photographs(args.folder)
    fields = dict(one.split("=", 1) for one in args.set)
    for kind in args.kinds.split(","):
        for fold in map(int, args.folds.split(",")):
            kept = read(args.json)
            if str(fold) in kept.get(args.name, {}).get(kind, {}).get("folds", {}):
                continue
            found = measure(photographs, fold, kind, fields, args.runs / args.name / kind / str(fold))
            entry = kept.setdefault(args.name, {}).setdefault(kind, {"folds": {}})
            entry["folds"][str(fold)] = found
            entry["total"] = total(entry["folds"].values())
            write_atomically(args.json, json.dumps(kept, indent=1) + "\n")
        print(line(args.name, kind, read(args.json)[args.name][kind]), flush=True)
    return 0


def read(file: Path) -> dict[str, Any]:
    """What is kept: name -> kind -> folds and their total."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def total(folds: Any) -> dict[str, Any]:
    """Over folds: shares of all words together, means of the captions' scores."""
    folds = list(folds)
    pooled = {words: shares(np.sum([[fold[words][key] for key in SUMS] for fold in folds], 0)) for words in WORDS_OF}
    means = {key: fmean(fold[key] for fold in folds) for key in ("bleu4", "cider_d", "entropy_share")}
    return {"folds": len(folds), **pooled, **means}


def shares(sums: np.ndarray) -> dict[str, float]:
    """The sums of `on_objects`, as they are and for a word: mass and hits, by chance, and how often that is."""
    mass, mass_chance, hit, hit_chance = (sums[1:] / max(sums[0], 1)).tolist()
    rates = {"hit": hit, "chance": hit_chance, "mass": mass, "mass_chance": mass_chance}
    return dict(zip(SUMS, sums.tolist(), strict=True)) | rates | {"times": hit / max(hit_chance, 1e-9)}


def line(name: str, kind: str, entry: Mapping[str, Any]) -> str:
    """A total in words."""
    found = entry["total"]
    words = "; ".join(
        f"{100 * found[of]['hit']:.1f} % of {found[of]['words']:.0f} words in {of} captions hit, "
        f"{100 * found[of]['chance']:.1f} % by chance, {found[of]['times']:.2f} times"
        if found[of]["words"]
        else f"no word in {of} captions names an object that is small enough"
        for of in WORDS_OF
    )
    return (
        f"{name}, {kind}, {found['folds']} of {FOLDS} folds: {words}; BLEU-4 {found['bleu4']:.3f}; entropy "
        f"{found['entropy_share']:.2f} of the largest"
    )


def measure(photographs: Photographs, fold: int, kind: str, fields: Mapping[str, str], out: Path) -> dict[str, Any]:
    """Train on the other folds and score on this one."""
    data = out / "data"
    photographs.write(fold, data)
    settings = {"config.attention": kind, **fields}
    recipe = resolve("show_attend_tell", data=data, overrides=settings)
    run = out / "run"
    if not (run / "model").is_dir() or not (run / "finished").is_file():
        train_recipe(recipe, out=run, resume=(run / "checkpoints" / "last.ckpt").is_file())
        (run / "finished").touch()
    predictor = Predictor.open(run, device="cpu")
    family: Any = predictor.family
    dataset = NamedObjects(recipe.data.open("test", "captioning"), photographs, family.preprocessing)
    metrics = family.metrics(dataset)
    with torch.inference_mode():
        list(family.score(predictor.runner, dataset, range(len(dataset)), metrics))
        references = on_references(predictor.runner, family, dataset)
    found = metrics.compute().to_json()
    words = found["attention_words"]
    keys = ("attention_mass", "attention_mass_chance", "attention_hit", "attention_chance")
    generated = np.array([words, *((found[key] or 0.0) * words for key in keys)])
    command = f"python benchmarks/coco_attention.py FOLDER --kinds {kind} --folds {fold}"
    changed = f" --set {' '.join(f'{name}={value}' for name, value in fields.items())}" if fields else ""
    here = environment()
    return {
        "generated": shares(generated), "reference": shares(references), "bleu4": found["bleu4"],
        "cider_d": found["cider_d"], "entropy_share": found["attention_entropy_share"], "photographs": found["images"],
        "command": command + changed, "seed": recipe.seed, **{key: here.get(key) for key in PROVENANCE},
    }  # fmt: skip


def on_references(model: Any, family: Any, dataset: NamedObjects) -> np.ndarray:
    """The sums of `on_objects` over the reference captions of a set, each word given the true ones before it."""
    sums = np.zeros(5)
    for index in range(len(dataset)):
        sample: Any = dataset[index]
        if "masks" not in sample:
            continue
        rows = [torch.tensor([*family.text.encode(caption.text), END]) for caption in dataset.captions(index)]
        batch = family.collate([{"image": sample["image"], "name": sample["name"], "tokens": row} for row in rows])
        maps = model(batch["image"], batch["tokens"]).attention.numpy()
        for tokens, own in zip(rows, maps, strict=True):
            words = family.text.words(tokens.tolist())
            chosen = own[[positions[0] for _, positions in words]]
            sums += on_objects(chosen, [w for w, _ in words], sample["masks"], sample["named"], sample["name"])
    return sums


class Photographs:
    """The photographs of a folder, their captions and their objects.

    images: file name -> its entry in captions.json, in the names' order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.captions, self.instances = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in ("captions.json", "instances.json")
        )
        entries = sorted(self.captions["images"], key=lambda image: image["file_name"])
        self.images = {entry["file_name"]: entry for entry in entries}

    @cached_property
    def annotations(self) -> dict[str, list[dict[str, Any]]]:
        """File name -> its objects and crowds, for the photographs that instances.json lists."""
        names = {image["id"]: image["file_name"] for image in self.instances["images"]}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
        for annotation in self.instances["annotations"]:
            found[names[annotation["image_id"]]].append(annotation)
        return found

    @cached_property
    def folds(self) -> list[list[str]]:
        """Five lists of file names, with equal shares of photographs with and without objects."""
        dealt: list[list[str]] = [[] for _ in range(FOLDS)]
        for listed in (True, False):
            names = [name for name in self.images if (name in self.annotations) == listed]
            random.Random(0).shuffle(names)
            for i, name in enumerate(names):
                dealt[i % FOLDS].append(name)
        return dealt

    def splits(self, fold: int) -> dict[str, list[str]]:
        """The fold is test; val, the photographs without objects of the next one; train, all others."""
        test, following = self.folds[fold], self.folds[(fold + 1) % FOLDS]
        val = [name for name in following if name not in self.annotations]
        return {"train": [name for name in self.images if name not in {*test, *val}], "val": val, "test": test}

    def write(self, fold: int, out: Path) -> None:
        """A fold as COCO's files captions_SPLIT2017.json, beside a link to the images."""
        out.mkdir(parents=True, exist_ok=True)
        if not (out / "images").exists():
            (out / "images").symlink_to(self.folder / "images", target_is_directory=True)
        for split, names in self.splits(fold).items():
            images = [self.images[name] for name in names]
            ids = {image["id"] for image in images}
            chosen = [one for one in self.captions["annotations"] if one["image_id"] in ids]
            content = {"images": images, "annotations": chosen}
            write_atomically(out / f"captions_{split}2017.json", json.dumps(content))

    def objects(self, name: str, height: int, width: int) -> tuple[np.ndarray, dict[str, tuple[int, ...]]]:
        """The masks (N, height, width) of a photograph, and the words that name them."""
        categories = {category["id"]: category["name"] for category in self.instances["categories"]}
        masks, words = np.zeros((len(self.annotations[name]), height, width), bool), {}
        for i, annotation in enumerate(self.annotations[name]):
            shape = annotation["segmentation"]
            parts = shape if isinstance(shape, dict) else tuple(np.array(p, float).reshape(-1, 2) for p in shape)
            one = Annotation(annotation["id"], 0, bool(annotation.get("iscrowd")), parts)
            masks[i] = rasterise(self.folder / "instances.json", one, height, width)
            for word in words_of(categories[annotation["category_id"]]):
                words[word] = (*words.get(word, ()), i)
        return masks, words


def words_of(category: str) -> Iterator[str]:
    """The words that mean a category, singular and plural, each once."""
    found: dict[str, None] = {}
    for word in WORDS.get(category, category).split():
        found |= dict.fromkeys((word, IRREGULAR.get(word, plural(word))))
    return iter(found)


def plural(word: str) -> str:
    """The regular plural: buses, benches, puppies, cars."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"


class NamedObjects:
    """A captioned split whose samples have masks over the part of the image that a network sees, and their words.

    Photographs whose objects are not annotated have neither: their captions are scored, their attention is not.
    """

    def __init__(self, dataset: CaptionDataset, photographs: Photographs, preprocessing: Preprocessing) -> None:
        self.dataset, self.photographs, self.preprocessing = dataset, photographs, preprocessing
        self.channels = dataset.channels

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """The file's name."""
        return self.dataset.name(index)

    def captions(self, index: int) -> tuple[Caption, ...]:
        """The reference captions."""
        return self.dataset.captions(index)

    def __getitem__(self, index: int) -> CaptionSample:
        sample = self.dataset[index]
        if sample["name"] not in self.photographs.annotations:
            return sample
        height, width = sample["image"].shape[-2:]
        masks, named = self.photographs.objects(sample["name"], height, width)
        seen = seen_part(torch.from_numpy(masks), self.preprocessing)
        return sample | {"masks": seen.numpy(), "named": named}  # type: ignore[return-value,typeddict-item]


def seen_part(masks: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """(N, H, W) -> the window of it that a network of a fixed size takes from an image of H x W (`pictures.fitting`)."""
    if preprocessing.stretch or not preprocessing.size:
        return masks
    factor = min(side / size for side, size in zip(masks.shape[-2:], preprocessing.size, strict=True))
    window = [max(1, round(size * factor * preprocessing.crop)) for size in preprocessing.size]
    return F.center_crop(masks, window)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
