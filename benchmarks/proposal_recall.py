"""How many of a picture's objects selective search finds, beside as many boxes of a regular grid.

    python benchmarks/proposal_recall.py [--coco PATH] [--nuclei PATH] [--pictures N] [--json FILE]

--coco: a folder with instances_train2017.json and images/; objects that are not crowds, with the file's own boxes.
--nuclei: a folder with val/images and val/masks, 16-bit PNGs of 0 and objects 1..N; boxes tight around the masks.

An object is found at 0.5 if any of a picture's first n proposals overlaps its box by an IoU of 0.5 or more; recall is
the share of all pictures' objects that are found. The best overlap of an object is the highest IoU of any of the n, and is
averaged over objects ("ABO" without classes); between masks too, where a grid's mask is its filled box. Seconds are those
of the processor, one thread, so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common import machine

import numpy as np  # isort: skip
import torch
from pycocotools import mask as rle
from torchvision.ops import box_iou, masks_to_boxes

from foveate.ops.proposals import Proposals, propose
from foveate.pictures import read_picture

BUDGETS = (100, 500, 1000)
COLUMNS = ("R@0.5", "R@0.7", "ABO boxes", "ABO masks")
SEED = 0


class Scene(NamedTuple):
    """A picture with its G objects: boxes (G, 4) and masks (G, H, W) bool."""

    image: np.ndarray
    boxes: torch.Tensor
    masks: np.ndarray


def drawn(names: list[Any], count: int | None) -> list[Any]:
    """`count` of them, the same ones each time."""
    if count is None or count >= len(names):
        return names
    return [names[i] for i in sorted(np.random.default_rng(SEED).choice(len(names), count, replace=False))]


def coco(root: Path, count: int | None) -> Iterator[Scene]:
    data = json.loads((root / "instances_train2017.json").read_text(encoding="utf-8"))
    objects: dict[int, list[dict[str, Any]]] = {}
    for entry in data["annotations"]:
        if not entry["iscrowd"]:
            objects.setdefault(entry["image_id"], []).append(entry)
    for about in drawn([about for about in data["images"] if about["id"] in objects], count):
        height, width = about["height"], about["width"]
        found = objects[about["id"]]
        boxes = torch.tensor([o["bbox"] for o in found], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        parts = [rle.merge(rle.frPyObjects(o["segmentation"], height, width)) for o in found]
        masks = rle.decode(parts).transpose(2, 0, 1).astype(bool)
        yield Scene(read_picture(root / "images" / about["file_name"], channels=3), boxes, masks)


def nuclei(root: Path, count: int | None) -> Iterator[Scene]:
    for file in drawn(sorted((root / "val" / "masks").iterdir()), count):
        labels = read_picture(file)[:, :, 0]
        masks = labels == np.unique(labels[labels > 0])[:, None, None]
        # masks_to_boxes names the last pixel; ours ends after it.
        boxes = masks_to_boxes(torch.from_numpy(masks)) + torch.tensor([0.0, 0.0, 1.0, 1.0])
        picture = next((root / "val" / "images").glob(f"{file.stem}.*"))
        yield Scene(read_picture(picture, channels=3), boxes, masks)


def grid(height: int, width: int, count: int) -> torch.Tensor:
    """`count` boxes of five scales and three shapes, as many of each, spread evenly; largest first."""
    side = (height * width) ** 0.5
    shapes = [
        (min(height, side * scale * ratio**0.5), min(width, side * scale / ratio**0.5))
        for scale in (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
        for ratio in (1, 1 / 2, 2)
    ]
    boxes = []
    for i, (tall, wide) in enumerate(shapes):
        share = (count * (i + 1)) // len(shapes) - (count * i) // len(shapes)
        rows = max(1, round((share * height / width) ** 0.5))
        y = np.linspace(0, height - tall, rows)
        x = np.linspace(0, width - wide, -(-share // rows))
        corner = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        corner = corner[np.linspace(0, len(corner) - 1, share).round().astype(int)]
        boxes.append(np.hstack([corner, corner + np.array([wide, tall])]))
    return torch.from_numpy(np.concatenate(boxes)).float()


def region_overlaps(found: Proposals, masks: np.ndarray) -> np.ndarray:
    """IoU of each proposal's region with each object's mask, (P, G): counted in the leaves, added up the trees."""
    sizes = masks.sum((1, 2))
    overlaps = np.zeros((len(found), len(masks)))
    for i, tree in enumerate(found.trees):
        ours = found.nodes[:, 0] == i
        shared = np.stack([np.bincount(tree.segments[mask], minlength=tree.leaves) for mask in masks], 1)
        areas = np.bincount(tree.segments.ravel())
        shared, areas = tree.sums(shared)[found.nodes[ours, 1]], tree.sums(areas)[found.nodes[ours, 1]]
        overlaps[ours] = shared / (areas[:, None] + sizes - shared)
    return overlaps


def filled_overlaps(boxes: torch.Tensor, masks: np.ndarray) -> np.ndarray:
    """IoU of each box, filled, with each object's mask, (P, G); from sums over all that is above and to the left."""
    left, top, right, bottom = boxes.round().long().numpy().T
    areas = (right - left) * (bottom - top)
    overlaps = np.empty((len(boxes), len(masks)))
    for i, mask in enumerate(masks):  # one by one: a table of all is gigabytes for a few hundred nuclei
        table = np.pad(mask.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        shared = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
        overlaps[:, i] = shared / (areas + mask.sum() - shared)
    return overlaps


def measure(scenes: Iterator[Scene], title: str) -> dict[str, Any]:
    """One data set's table."""
    best: dict[tuple[str, str], list[np.ndarray]] = {}
    counts, seconds, objects = [], [], 0
    for image, boxes, masks in scenes:
        height, width = image.shape[:2]
        started = time.process_time()
        found = propose(image)
        seconds.append(time.process_time() - started)
        counts.append(len(found))
        objects += len(boxes)
        ours = (box_iou(found.boxes, boxes).numpy(), region_overlaps(found, masks))
        for budget in (*BUDGETS, len(found)):
            count = min(budget, len(found))
            regular = grid(height, width, count)
            theirs = (box_iou(regular, boxes).numpy(), filled_overlaps(regular, masks))
            label = str(budget) if budget in BUDGETS else "all"
            for name, overlaps in (("selective search", ours), ("regular grid", theirs)):
                best.setdefault((name, label), []).append(np.stack([o[:count].max(0) for o in overlaps]))
    rows = []
    for (name, label), parts in best.items():
        box, mask = np.concatenate(parts, 1)
        figures = (float((box >= 0.5).mean()), float((box >= 0.7).mean()), float(box.mean()), float(mask.mean()))
        rows.append(
            {"name": name, "proposals": label, **dict(zip(COLUMNS, (round(f, 4) for f in figures), strict=True))}
        )
    rows.sort(key=lambda row: row["name"], reverse=True)
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75)).round(3).tolist()
    return {
        "title": title, "pictures": len(counts), "objects": objects, "proposals": round(float(np.mean(counts)), 1),
        "seconds": {"median": median, "quartiles": [low, high]}, "rows": rows,
    }  # fmt: skip


def plain(table: dict[str, Any]) -> str:
    seconds, (low, high) = table["seconds"]["median"], table["seconds"]["quartiles"]
    lines = [
        f"{table['title']}: {table['pictures']} pictures, {table['objects']} objects; "
        f"{table['proposals']:.0f} proposals a picture in {seconds:.2f} s ({low:.2f} - {high:.2f})",
        f"{'':18}{'proposals':>10}" + "".join(f"{column:>11}" for column in COLUMNS),
    ]
    for row in table["rows"]:
        lines.append(f"{row['name']:18}{row['proposals']:>10}" + "".join(f"{row[column]:>11.3f}" for column in COLUMNS))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, metavar="PATH")
    parser.add_argument("--nuclei", type=Path, metavar="PATH")
    parser.add_argument("--pictures", type=int, metavar="N", help=f"of each set, drawn with seed {SEED} (default all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    options = parser.parse_args()
    if options.coco is None and options.nuclei is None:
        parser.error("give --coco PATH, --nuclei PATH or both")
    torch.set_num_threads(1)
    tables = []
    for title, root, read in (("COCO", options.coco, coco), ("nuclei (DSB 2018, val)", options.nuclei, nuclei)):
        if root is not None:
            tables.append(measure(read(root, options.pictures), title))
            print("\n" + plain(tables[-1]), flush=True)
    if options.json is not None:
        report = {
            "machine": machine(), "benchmark": "proposal_recall",
            "settings": {"pictures": options.pictures or "all", "seed": SEED, "threads": 1}, "tables": tables,
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
