"""Strokes that a robot needs to label with the studio's tools, and with the proposals of a model of 20 labelled pictures.

    python benchmarks/studio_assist.py DSB2018 CAMVID COCO [--objects N] [--scenes N] [--epochs N] [--json FILE]

DSB2018, CAMVID: folders with train/ and val/, each with images/, and masks/ of object numbers or labels/ of classes.
COCO: a folder with instances_*.json and images/. The robot knows the truth and speaks to `foveate studio` as its page
does; strokes are counted, so that nothing depends on the machine.

Objects (box-cut). Of each set N pictures (20 unless stated), evenly spaced among the sorted names; in each one object
drawn with seed 0: a nucleus of 100 pixels or more in DSB2018 val, a connected region of a class of 1 % of the picture
or more in CamVid val, an object of COCO, no crowd, of 1 % or more. The robot drags the object's tight box, then clicks
into the middle of the largest wrong part, until IoU is 0.85; after 20 clicks the object has failed and counts 20.

Scenes (scribble-fill). N pictures (6 unless stated) of CamVid val, evenly spaced. One scribble for each class, the
largest first, along the middle of its largest part and half as thick; then one of the largest wrong part, until the
share of the scored pixels with the right class is reached; at most 60.

Pre-labels. 20 pictures of CamVid train are labelled by the truth, and 5 more to validate on. The studio trains `fcn8s` on
them and proposes labels for the scenes, all of which the robot takes; then it paints over the largest wrong part with a
round brush, along its middle, in the diameter that puts the most pixels right. "Nothing" is the same brush on an empty
picture.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import SEED, machine
from studio_robot import (
    EIGHT,
    GOAL,
    MOST_CLICKS,
    MOST_STROKES,
    SHARES,
    Studio,
    clicks,
    scribbles,
    share,
    strokes,
    whole,
)

import numpy as np  # isort: skip
from faster_coco_eval.core import mask as mask_api
from PIL import Image
from scipy.ndimage import label as connected

from foveate.datasets.classes import read_classes
from foveate.studio.serve import serve
from foveate.studio.tiles import tiles_to_json

NUCLEUS, LARGE = 100, 0.01  # pixels; share of the picture
LABELLED, VALIDATING = 20, 5
# Found with prototypes of the tools on other draws of such objects, and 1.2 times that is allowed.
EXPECTED_CLICKS, EXPECTED_SCRIBBLES, SLACK = 8.6, dict(zip(SHARES, (11, 21, 31), strict=True)), 1.2
MOST_OF_EMPTY = 0.5

# Objects and scenes


@dataclass(frozen=True)
class Thing:
    """A picture's file, and the pixels of one of its objects, (H, W) bool."""

    path: Path
    mask: np.ndarray


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, evenly spaced."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def nuclei(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Thing]:
    for path in spread(sorted((folder / "val" / "images").iterdir()), count):
        (file,) = (folder / "val" / "masks").glob(f"{path.stem}.*")
        numbers = np.asarray(Image.open(file))
        yield Thing(path, drawn([numbers == n for n in np.unique(numbers) if n], NUCLEUS, rng))


def regions(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Thing]:
    for path in spread(sorted((folder / "val" / "images").iterdir()), count):
        truth, classes = scene(path)
        masks = []
        for value in range(classes):
            parts, number = connected(truth == value, EIGHT)
            masks += [parts == n for n in range(1, number + 1)]
        yield Thing(path, drawn(masks, LARGE * truth.size, rng))


def coco_objects(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Thing]:
    (file,) = folder.glob("instances_*.json")
    listed = json.loads(file.read_text(encoding="utf-8"))
    images = {one["id"]: one for one in listed["images"]}
    outlines: dict[int, list[Any]] = {}
    for one in listed["annotations"]:
        image = images[one["image_id"]]
        if not one["iscrowd"] and one["area"] >= LARGE * image["height"] * image["width"]:
            outlines.setdefault(one["image_id"], []).append(one["segmentation"])
    for key in spread(sorted(outlines, key=lambda key: images[key]["file_name"]), count):
        image = images[key]
        size = image["height"], image["width"]
        masks = [mask_api.decode(mask_api.merge(mask_api.frPyObjects(one, *size))) > 0 for one in outlines[key]]
        yield Thing(folder / "images" / image["file_name"], drawn(masks, 0, rng))


def drawn(masks: Sequence[np.ndarray], least: float, rng: np.random.Generator) -> np.ndarray:
    large = [mask for mask in masks if mask.sum() >= least]
    return large[rng.integers(len(large))]


def scene(path: Path) -> tuple[np.ndarray, int]:
    """The class of each pixel of a CamVid picture, with 255 where none is scored, and the number of classes."""
    listed = read_classes(path.parents[2] / "classes.txt")
    (file,) = (path.parents[1] / "labels").glob(f"{path.stem}.*")
    labels = np.asarray(Image.open(file))
    return np.where(labels < len(listed.names), labels, 255), len(listed.names)


# The three experiments


def with_studio(data: Path, work: Callable[[Studio], Any]) -> Any:
    said: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(data, stop), kwargs={"port": 0, "say": said.append})
    thread.start()
    try:
        while not said and thread.is_alive():
            time.sleep(0.05)
        return work(Studio(said[0].split(": ", 1)[1]))
    finally:
        stop.set()
        thread.join()


def copy(path: Path, to: Path) -> None:
    Image.open(path).convert("RGB").save(to)


def cut_objects(sets: dict[str, list[Thing]], place: Path) -> list[dict[str, Any]]:
    """Box-cut on the objects of each set, and on all."""
    place.mkdir()
    named = {name: [(f"{i}_{k}.png", one) for k, one in enumerate(sets[name])] for i, name in enumerate(sets)}
    for things in named.values():
        for name, one in things:
            copy(one.path, place / name)

    def work(studio: Studio) -> list[dict[str, Any]]:
        found = {}
        for name, things in named.items():
            found[name] = [clicks(studio, file, one.mask) for file, one in things]
            print(f"{name}: {found[name]}", flush=True)
        found["all"] = [one for each in found.values() for one in each]
        return [cut_row(name, each) for name, each in found.items()]

    rows: list[dict[str, Any]] = with_studio(place, work)
    return rows


def cut_row(name: str, found: list[tuple[int, bool]]) -> dict[str, Any]:
    counts = [count for count, _ in found]
    failed = sum(not reached for _, reached in found)
    return {
        "name": name,
        "objects": str(len(found)),
        "clicks, mean": round(float(np.mean(counts)), 2),
        "clicks, median": f"{np.median(counts):g}",
        "failed": str(failed),
    }


def label_scenes(camvid: Path, count: int, epochs: int | None, place: Path) -> tuple[list[dict[str, Any]], int]:
    """Scribble-fill, the brush, and the brush on pre-labels, on the same scenes; and the epochs of the training."""
    chosen = spread(sorted((camvid / "val" / "images").iterdir()), count)
    known = spread(sorted((camvid / "train" / "images").iterdir()), LABELLED + VALIDATING)
    validating = known[:: len(known) // VALIDATING][:VALIDATING]
    place.mkdir()
    for path in [*chosen, *known]:
        copy(path, place / f"{path.stem}.png")
    names = read_classes(camvid / "classes.txt").names
    (place / "classes.txt").write_text("\n".join([*names, "unlabelled: ignore", ""]), encoding="utf-8")
    division = {
        "val": [one.stem for one in validating],
        "train": [one.stem for one in [*chosen, *known] if one not in validating],
    }
    (place / "splits.json").write_text(json.dumps({"seed": SEED, "splits": division}), encoding="utf-8")

    def work(studio: Studio) -> tuple[list[dict[str, Any]], int]:
        truths = {path: scene(path)[0] for path in chosen}
        filled = [scribbles(studio, f"{path.stem}.png", truth) for path, truth in truths.items()]
        print(f"fill: {filled}", flush=True)
        empty = [strokes(np.full(truth.shape, -1), truth) for truth in truths.values()]
        print(f"brush: {empty}", flush=True)
        for path in known:
            put_truth(studio, path, names)
        job = studio.job({"kind": "train", "recipe": "fcn8s", "epochs": epochs})
        studio.job({"kind": "prelabel", "run": job["run"]})
        proposed = {path: proposal(studio, path, names, truth.shape) for path, truth in truths.items()}
        repaired = [strokes(proposed[path], truth) for path, truth in truths.items()]
        shares = [share(proposed[path], truth) for path, truth in truths.items()]
        print(f"pre-labels: {repaired}, shares {shares}", flush=True)
        rows = [
            scene_row("scribble-fill", filled),
            scene_row("brush on nothing", empty),
            scene_row("brush on pre-labels", repaired),
        ]
        rows[2]["right before"] = round(float(np.mean(shares)), 3)
        return rows, len(studio.ask("GET", f"runs/{job['run']}")["history"])

    found: tuple[list[dict[str, Any]], int] = with_studio(place, work)
    return found


def put_truth(studio: Studio, path: Path, names: Sequence[str]) -> None:
    """Label a picture by the truth, and say that it is done."""
    truth, _ = scene(path)
    paint = np.where(truth == 255, 0, truth + 1).astype(np.uint16)
    objects = [{"number": i, "label": name} for i, name in enumerate(names, 1) if (paint == i).any()]
    body = {"objects": objects, "outlines": [], "tiles": tiles_to_json(paint), "state": "done"}
    studio.ask("PUT", f"pictures/{studio.ids[f'{path.stem}.png']}/labels", body, '"none"')


def proposal(studio: Studio, path: Path, names: Sequence[str], shape: tuple[int, int]) -> np.ndarray:
    """The class of each pixel that the run proposes; -1 where it proposes none."""
    found = studio.ask("GET", f"pictures/{studio.ids[f'{path.stem}.png']}/prelabel")
    classes = np.full(1 + max((one["number"] for one in found["objects"]), default=0), -1)
    for one in found["objects"]:
        classes[one["number"]] = list(names).index(one["label"])
    return classes[whole(found["tiles"], shape)]


def scene_row(name: str, found: list[dict[float, int]]) -> dict[str, Any]:
    means = {f"until {goal}": round(float(np.mean([one[goal] for one in found])), 2) for goal in SHARES}
    return {"name": name, "scenes": str(len(found)), "right before": 0.0, **means}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("dsb2018", "camvid", "coco"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--objects", type=int, default=20, help="objects of each set (default 20)")
    parser.add_argument("--scenes", type=int, default=6, help="scenes (default 6)")
    parser.add_argument("--epochs", type=int, help="of the training (default: the recipe's)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sources = {"DSB2018": nuclei, "CamVid": regions, "COCO": coco_objects}
    folders = [one.resolve() for one in (options.dsb2018, options.camvid, options.coco)]
    out = options.json and options.json.resolve()
    rng = np.random.default_rng(SEED)
    sets = {
        name: list(make(folder, options.objects, rng))
        for (name, make), folder in zip(sources.items(), folders, strict=True)
    }
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where runs are
        cuts = cut_objects(sets, Path(folder) / "objects")
        scenes, epochs = label_scenes(folders[1], options.scenes, options.epochs, Path(folder) / "scenes")
        os.chdir("/")
    fill, nothing, proposed = scenes
    targets = [
        target(
            f"clicks of box-cut, at most {EXPECTED_CLICKS} x {SLACK}", cuts[-1]["clicks, mean"], EXPECTED_CLICKS * SLACK
        )
    ]
    for goal, count in EXPECTED_SCRIBBLES.items():
        targets.append(
            target(f"scribbles until {goal}, at most {count} x {SLACK}", fill[f"until {goal}"], count * SLACK)
        )
    for goal in SHARES:
        least = min(fill[f"until {goal}"], nothing[f"until {goal}"])
        text = (
            f"strokes on pre-labels until {goal}, of those from nothing with the better tool, at most {MOST_OF_EMPTY}"
        )
        targets.append(target(text, round(proposed[f"until {goal}"] / least, 3), MOST_OF_EMPTY))
    settings = {"IoU of objects": GOAL, "most clicks": MOST_CLICKS, "most strokes": MOST_STROKES, "epochs": epochs}
    tables = [
        {"title": "Box-cut", "about": f"clicks after the box until IoU {GOAL}", "rows": cuts},
        {"title": "Scenes", "about": "strokes until a share of the pixels is right", "rows": scenes},
    ]
    for one in targets:
        print(f"{'met   ' if one['met'] else 'MISSED'}  {one['text']}: {one['value']:.3g}")
    if out is not None:
        report = {
            "machine": machine(),
            "benchmark": "studio_assist",
            "settings": settings,
            "tables": tables,
            "targets": targets,
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {out.name}")


def target(text: str, value: float, most: float) -> dict[str, Any]:
    return {"text": text, "value": value, "met": value <= most}


if __name__ == "__main__":
    main()
