"""What the recurrent CNN's departures from its paper do to the score, on small trainings with several seeds.

    python benchmarks/recurrent_departures.py [--seeds N] [--threads N] [--json FILE]

Every arm trains the recipe `recurrent_cnn_pasture` on fewer scenes and epochs than the recipe itself has, so the scores
are to be compared with each other alone. The arm in two stages gives each stage half of the epochs. All arms of a seed
see the same scenes, and are scored on the same validation scenes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from common import machine

import numpy as np  # isort: skip
import torch

import foveate
from foveate.engine.evaluate import evaluate_run

TRAIN, VAL, EPOCHS = 200, 100, 4
PLAIN = {"config__normalize": False, "config__second_tanh": False}
# name -> fields of the recipe, and whether it is trained in two stages
ARMS: dict[str, tuple[dict[str, Any], bool]] = {
    "the recipe": ({}, False),
    "image not normalised locally": ({"config__normalize": False}, False),
    "no second tanh": ({"config__second_tanh": False}, False),
    "two stages: 2 instances, then 3": ({}, True),
    "all three, as in the paper": (PLAIN, True),
}


def score(fields: dict[str, Any], staged: bool, seed: int, folder: Path) -> float:
    """Mean IoU in per cent on the validation scenes."""
    init = None
    for stage in (1, 2) if staged else (2,):
        epochs = EPOCHS // 2 if staged else EPOCHS
        init = foveate.train(
            "recurrent_cnn_pasture", out=folder / f"stage{stage}", init=init, seed=seed, epochs=epochs,
            validate_every=epochs, data__train=TRAIN, data__val=VAL, config__iterations=1 + stage, **fields,
        )  # fmt: skip
    assert init is not None
    return 100 * evaluate_run(init, whole=False).scores.mean_iou


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1 (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the training (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    about, scores = machine(), {name: [] for name in ARMS}
    for seed in range(options.seeds):
        for name, (fields, staged) in ARMS.items():
            with tempfile.TemporaryDirectory() as folder:
                scores[name].append(round(score(fields, staged, seed, Path(folder)), 2))
            print(f"seed {seed}: {name:34} {scores[name][-1]:.2f} % mean IoU", flush=True)
    rows = [{"name": name, "mean_iou": round(float(np.mean(own)), 2), "seeds": own} for name, own in scores.items()]
    for row in rows:
        print(f"{row['name']:34} {row['mean_iou']:.2f} % ({min(row['seeds']):.2f} - {max(row['seeds']):.2f})")
    if options.json is not None:
        report = {
            "machine": about, "benchmark": "recurrent_departures",
            "command": f"python benchmarks/recurrent_departures.py --seeds {options.seeds} --threads {options.threads}",
            "settings": {"train": TRAIN, "val": VAL, "epochs": EPOCHS, "seeds": options.seeds}, "rows": rows,
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
