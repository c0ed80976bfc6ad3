"""Trains, scores and records the runs of a plan, one after the other, and goes on where it was stopped.

    python benchmarks/record_runs.py PLAN --data FOLDER [--runs DIR] [--results DIR] [--until HH:MM] [--list]

PLAN is one of:

    distorted_mnist     the readings p and rts of every network; FOLDER holds MNIST's IDX files
    omniglot            the slim Inception networks; FOLDER is what omniglot_folders.py wrote
    pasture             the same on the Pasture data set, which needs no folder

Of each run the script calls `foveate train RECIPE --seed SEED`, with `--resume` where a run folder is there already,
`foveate evaluate RUN --split test`, and docs/record_result.py. What is recorded in the folder of results is skipped, so
the same command finishes a plan in several sittings. `--list` prints what is not yet recorded; `--until` starts no run
after that time of day.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# What decides between the paper's networks first, with three seeds each, then every other cell once.
FIRST = ("st_cnn_affine", "cnn", "st_cnn_tps")
OTHERS = ("st_cnn_projective", "mlp", "st_mlp_affine", "st_mlp_projective", "st_mlp_tps")
PLANS: dict[str, list[tuple[str, int]]] = {
    "distorted_mnist": [
        *((f"{network}_mnist_{kind}", seed) for network in FIRST for seed in range(3) for kind in ("rts", "p")),
        *((f"{network}_mnist_{kind}", 0) for network in OTHERS for kind in ("rts", "p")),
    ],
    "omniglot": [("inception_v4_omniglot", 0), ("inception_resnet_v2_omniglot", 0)],
    "pasture": [("inception_v4_pasture", 0), ("inception_resnet_v2_pasture", 0)],
}


def main(argv: Sequence[str]) -> int:
    """Go through a plan; 0 if all of it is recorded or listed, 1 after a failed step."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--until", default="")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args(argv)
    for recipe, seed in missing(PLANS[args.plan], args.results):
        name = record_name(recipe, seed)
        if args.list:
            print(name)
            continue
        if args.until and f"{datetime.now():%H:%M}" >= args.until:
            print(f"stopped at {args.until}; not yet recorded: {name} and what follows it (--list)")
            break
        if not run(recipe, seed, args.data, args.runs / name) or record(args.runs / name, name, args.results):
            return 1
    return 0


def record_name(recipe: str, seed: int) -> str:
    """The name of a run's folder and of its file in results/."""
    return f"{recipe}_seed{seed}" if seed else recipe


def missing(plan: Sequence[tuple[str, int]], results: Path) -> list[tuple[str, int]]:
    """The runs of a plan that have no file in `results`."""
    return [(recipe, seed) for recipe, seed in plan if not (results / f"{record_name(recipe, seed)}.json").is_file()]


def commands(recipe: str, seed: int, data: Path | None, out: Path) -> list[list[str]]:
    """The training, resumed where `out` holds a checkpoint, and the scoring."""
    train = ["train", recipe, "--out", str(out)]
    train += ["--data", str(data)] if data else []
    train += ["--seed", str(seed)] if seed else []
    train += ["--resume"] if (out / "checkpoints" / "last.ckpt").is_file() else []
    return [train, ["evaluate", str(out), "--split", "test"]]


def run(recipe: str, seed: int, data: Path | None, out: Path) -> bool:
    """Train and score; False after a failed step, which has said why."""
    for command in commands(recipe, seed, data, out):
        print("foveate", *command, flush=True)
        if subprocess.run([sys.executable, "-m", "foveate", *command], check=False).returncode:
            return False
    return True


def record(path: Path, name: str, results: Path) -> int:
    """docs/record_result.py's answer for a run folder."""
    spec = importlib.util.spec_from_file_location("record_result", ROOT / "docs" / "record_result.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return int(module.main([str(path), name], results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
