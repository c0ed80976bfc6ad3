"""Screens changes of a CamVid recipe on drives that it has not seen, leaving one drive out at a time.

    python benchmarks/unseen_drives.py --data CAMVID [--variants A,B] [--drives D,E] [--seeds N] [--epochs N]
                                       [--work DIR] [--records DIR] [--until HH:MM] [--list]

CamVid's frames are cut from drives, and their names begin with the drive: 0001TP was driven at dusk, the others by day. A
frame has near copies in its own drive, so a score on frames of drives that are in the training set, as the usual val split
gives it, says little about other streets. Here every drive of the given train and val frames is left out in turn: all
frames of the others train, those of the drive score. No frame of CamVid's test split is needed, and none should be given.

Each variant is the recipe fcn8s_camvid with some fields changed. Of each (variant, drive, seed) one JSON file is kept, with the plain
score and, beside it, that of averaging over scales and mirrored images. What has its file is skipped and a training that
was stopped goes on, so the same command finishes a plan in several sittings. `--list` prints what is missing; `--until`
starts no training after that time of day. At the end variants are compared with `plain`, fold by fold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
RECIPE, PLAIN = "fcn8s_camvid", "plain"
AVERAGED = {"scales": (0.75, 1.0, 1.25), "flip": True}
# Name -> fields of the recipe that differ. One change each, so that it can be told what helped.
VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "color": {"augment.color": 0.6},
    "gamma": {"augment.gamma": 0.6},
    "brightness": {"augment.brightness": 0.4},
    "light": {"augment.color": 0.5, "augment.gamma": 0.6, "augment.brightness": 0.2},
    "blur": {"augment.blur": 1.5},
    "scale": {"augment.scale": (0.5, 2.0)},
    "rare": {"augment.rare": 0.5},
    "weights": {"class_weights": "log"},
    "lovasz": {"config.lovasz": 1.0},
    "average": {"ema": 0.998},
    "skips": {"config.skip_channels": 192},
    "stride4": {"config.stride": 4},
    "dropout": {"config.dropout": 0.3},
    "unfrozen": {"freeze": ()},
    "small_crops": {"augment.crop": (224, 288), "batch_size": 12},
    "lite2": {"config.backbone": "tf_efficientnet_lite2"},
    "light_rare": {"augment.color": 0.5, "augment.gamma": 0.6, "augment.rare": 0.25},
}


class Fold(NamedTuple):
    """One training: a variant, the drive that is left out, and a seed."""

    variant: str
    drive: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}_{self.drive}_seed{self.seed}"


def frames(data: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Drive -> its frames as (image, label), from the folders `train` and `val`."""
    found: dict[str, list[tuple[Path, Path]]] = {}
    for split in ("train", "val"):
        for image in sorted((data / split / "images").glob("*.*")):
            label = data / split / "labels" / f"{image.stem}.png"
            if not label.is_file():
                raise SystemExit(f"{image} has no label at {label}; give the folder of CamVid's train and val frames")
            found.setdefault(drive_of(image), []).append((image, label))
    if len(found) < 2:
        raise SystemExit(f"{data} has frames of {len(found)} drives; leaving one out needs two or more")
    return found


def drive_of(image: Path) -> str:
    """0001TP for 0001TP_006690.png. CamVid's day drives are also called Seq05VD and the like."""
    return image.stem.partition("_")[0]


def leave_out(data: Path, drive: str, folder: Path) -> Path:
    """A folder whose val split is the drive and whose train split is all others, by links."""
    for one, pairs in frames(data).items():
        split = folder / ("val" if one == drive else "train")
        for kind in ("images", "labels"):
            (split / kind).mkdir(parents=True, exist_ok=True)
        for image, label in pairs:
            for file, kind in ((image, "images"), (label, "labels")):
                link = split / kind / file.name
                if not link.is_symlink():
                    link.symlink_to(file.resolve())
    if not (folder / "classes.txt").exists():
        (folder / "classes.txt").write_text((data / "classes.txt").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def train_and_score(fold: Fold, data: Path, work: Path, epochs: int) -> dict[str, Any]:
    """Train one fold, or go on with it, and score its last epoch on the drive that was left out."""
    import foveate
    from foveate.engine import evaluate_run
    from foveate.engine.run import RunFolder, environment

    folder, run = leave_out(data, fold.drive, work / "data" / fold.drive), work / "runs" / f"{fold.name}_epochs{epochs}"
    # Only the last epoch is validated: an epoch that was chosen on the drive would have seen it.
    fields = {"epochs": epochs, "validate_every": epochs, "seed": fold.seed, **VARIANTS[fold.variant]}
    started = time.perf_counter()
    foveate.train(
        RECIPE, data=folder, out=run, resume=(run / "checkpoints").exists(), report=False,
        **{name.replace(".", "__"): value for name, value in fields.items()},
    )  # fmt: skip
    minutes = (time.perf_counter() - started) / 60
    scores = {}
    for name, options in (("plain", {}), ("averaged", AVERAGED)):
        found = evaluate_run(run, options=options, whole=False).to_json()
        scores[name] = {key: found[key] for key in ("mean_iou", "pixel_accuracy", "per_class", "samples")}
    about = environment()
    return {
        "variant": fold.variant, "drive": fold.drive, "seed": fold.seed, "epochs": epochs, "recipe": RECIPE,
        "changes": VARIANTS[fold.variant], "scores": scores, "averaging": AVERAGED, "minutes": round(minutes, 2),
        "train_seconds": round(sum(row["train_seconds"] for row in RunFolder(run).history()), 1),
        "command": f"python benchmarks/{Path(__file__).name} --data CAMVID --variants {fold.variant} --drives {fold.drive}"
        f" --seeds {fold.seed + 1} --epochs {epochs}",
        "load_average": round(os.getloadavg()[0], 2),
        **{key: about[key] for key in ("cpu", "instructions", "threads", "commit", "clean", "packages")},
    }  # fmt: skip


def plan(variants: Sequence[str], drives: Sequence[str], seeds: int) -> Iterator[Fold]:
    """All folds, `plain` first: one seed of everything before the next seed."""
    ordered = sorted(variants, key=lambda name: name != PLAIN)
    yield from (Fold(variant, drive, seed) for seed in range(seeds) for variant in ordered for drive in drives)


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """Mean IoU by variant and drive, means over seeds, and the mean gain over `plain` of the folds that both have."""
    drives = sorted({one["drive"] for one in records})
    lines = [["variant", *drives, "mean", "gain", "averaged", "folds"]]

    def cell(values: Sequence[float], sign: str = "") -> str:
        return f"{sum(values) / len(values):{sign}.4f}" if values else "-"

    plain = {
        (one["drive"], one["seed"]): one["scores"]["plain"]["mean_iou"] for one in records if one["variant"] == PLAIN
    }
    for variant in dict.fromkeys(one["variant"] for one in records):
        own = [one for one in records if one["variant"] == variant]
        score = {(one["drive"], one["seed"]): one["scores"]["plain"]["mean_iou"] for one in own}
        means = [[value for (drive, _), value in score.items() if drive == name] for name in drives]
        gains = [value - plain[key] for key, value in score.items() if key in plain]
        averaged = [one["scores"]["averaged"]["mean_iou"] for one in own]
        by_drive = [sum(values) / len(values) for values in means if values]
        whole = by_drive if len(by_drive) == len(drives) else []  # a mean over other drives would mislead
        lines.append([
            variant, *map(cell, means), cell(whole), "-" if variant == PLAIN else cell(gains, "+"), cell(averaged),
            str(len(own)),
        ])  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def read_records(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """The records of a folder that were trained for this many epochs, `plain` first."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    return sorted((one for one in found if one["epochs"] == epochs), key=lambda one: one["variant"] != PLAIN)


def main(argv: Sequence[str]) -> int:
    """Go through the plan; 0 if all of it is recorded, or listed."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--drives", default="")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--work", type=Path, default=Path("runs/unseen_drives"))
    parser.add_argument("--records", type=Path, default=HERE / "results" / "unseen_drives")
    parser.add_argument("--until", default="")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args(argv)
    variants = args.variants.split(",")
    for name in variants:
        if name not in VARIANTS:
            raise SystemExit(f"unknown variant '{name}'; known: {', '.join(VARIANTS)}")
    known = sorted(frames(args.data))
    drives = args.drives.split(",") if args.drives else known
    for name in drives:
        if name not in known:
            raise SystemExit(f"unknown drive '{name}'; {args.data} has {', '.join(known)}")
    for fold in plan(variants, drives, args.seeds):
        file = args.records / f"{fold.name}_epochs{args.epochs}.json"
        if file.is_file():
            continue
        if args.list:
            print(fold.name)
            continue
        if args.until and f"{datetime.now():%H:%M}" >= args.until:
            print(f"stopped at {args.until}; {fold.name} and what follows it is missing (--list)")
            break
        print(f"{fold.name}: {args.epochs} epochs", flush=True)
        record = train_and_score(fold, args.data, args.work, args.epochs)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".part").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        file.with_suffix(".part").replace(file)
        print(f"{fold.name}: {record['scores']['plain']['mean_iou']:.4f} in {record['minutes']:.1f} min", flush=True)
    records = read_records(args.records, args.epochs) if args.records.is_dir() else []
    if records and not args.list:
        print(table(records))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
