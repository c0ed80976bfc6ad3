"""Plain networks beside the recipes: torch.nn alone, under the same data, schedule, search and scores.

    python benchmarks/plain_networks.py RECIPE --data FOLDER [--run RUN] [--epochs N] [--out DIR] [--json FILE]

RECIPE is one of

    rnnsearch_multi30k            GRUs of torch, a score of three linear layers, a linear output
    listen_attend_spell_digits    LSTMs of torch, dot products of two linear layers
    handwriting_words             LSTMs of torch without peepholes

The network is what one would write first, about as wide as the recipe's and without its particular parts. It is trained
as `foveate train RECIPE --seed 0` trains the recipe's own, with the recipe's batches, schedule and augmentation of data,
and scored on the same validation set. --run scores the recipe's own network beside it, from its run folder.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

from common import SEED, machine

import torch  # isort: skip

import foveate
from foveate.engine.evaluate import evaluate_run
from foveate.registry import Entry, entries

NETWORKS = {  # of each recipe: the module and class of its network in `plain`, and the scores that are compared
    "rnnsearch_multi30k": ("translation", "PlainTranslation", ("bleu", "chrf", "ter")),
    "listen_attend_spell_digits": ("speech", "PlainSpeech", ("wer", "cer", "attention_in_span")),
    "handwriting_words": ("handwriting", "PlainHandwriting", ("nats_per_point", "sse")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=NETWORKS)
    parser.add_argument("--data", required=True, help="as for `foveate train RECIPE --data`")
    parser.add_argument("--run", type=Path, help="the run folder of the recipe's own network")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--out", help="run folder of the plain network (default: runs/Plain...)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    module, name, columns = NETWORKS[options.recipe]
    fields = {"epochs": options.epochs} if options.epochs else {}
    entries("model")[name] = Entry(name, f"plain.{module}", name)  # as another package's entry point would
    out = options.out or f"runs/{name}"
    runs = {"plain": foveate.train(options.recipe, options.data, out, model=name, seed=SEED, report=False, **fields)}
    if options.run:
        runs[options.recipe] = options.run
    rows = [{"name": label, **scores_of(Path(run), columns)} for label, run in runs.items()]
    for row in rows:
        print(*(f"{column} {value}" for column, value in row.items()))
    if options.json is not None:
        report = {
            "machine": machine(), "benchmark": "plain_networks",
            "settings": {"recipe": options.recipe, "epochs": options.epochs or "of the recipe", "seed": SEED},
            "tables": [{"title": options.recipe, "about": "validation set", "rows": rows}],
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.json}")


def scores_of(run: Path, columns: Sequence[str]) -> dict[str, str]:
    """Scores on the run's validation set, its parameters and the minutes of its training."""
    found = evaluate_run(run)
    values = found.task.scores_to_json(found.scores)
    count = sum(p.numel() for p in found.loaded.model.parameters())
    seconds = sum(float(row["seconds"]) for row in csv.DictReader((run / "metrics.csv").open(encoding="utf-8")))
    scores = {column: f"{values[column]:.4g}" for column in columns}
    return {**scores, "parameters": f"{count:,}", "minutes": f"{seconds / 60:.1f}"}


if __name__ == "__main__":
    main()
