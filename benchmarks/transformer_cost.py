"""What a spatial transformer costs a classifier: training steps, and pictures through the exported network.

    python benchmarks/transformer_cost.py [--rounds N] [--threads N] [--json FILE]

The networks of the digit recipes, all of about 400 000 parameters, random weights, float32. A training step is forward,
backward and AdamW on a batch of 256, without the making of the digits; the exported network runs in ONNX Runtime, a
picture at a time, on the same threads. A transformer hands on a view of 28x28, so that on a larger canvas the classifier
behind it has less to do than the bare one.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from common import SEED, Contender, Report, arguments, compare, interleave, publish

import torch  # isort: skip
import numpy as np

import foveate
from foveate.export import export_onnx
from foveate.onnx import open_session
from foveate.recipes import resolve
from foveate.records import ClassTable
from foveate.store import save_model

BATCH, SINGLY = 256, 20
NETWORKS = ("cnn", "st_cnn_affine", "st_cnn_projective", "st_cnn_tps")
KINDS = {"r": "28x28", "rts": "42x42", "clutter": "60x60"}
DIGITS = ClassTable(tuple(map(str, range(10))))


def built(name: str) -> torch.nn.Module:
    """A recipe's network, the same weights each time."""
    torch.manual_seed(SEED)
    recipe = resolve(name)
    return foveate.create(recipe.model, **dataclasses.asdict(recipe.config))


def training(network: torch.nn.Module, side: int) -> Contender:
    """One step; it is timed."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    image = torch.rand(BATCH, 1, side, side).contiguous(memory_format=torch.channels_last)
    batch = {"image": image, "label": torch.arange(BATCH) % 10, "names": [""] * BATCH}

    def run() -> None:
        optimizer.zero_grad()
        network.loss(batch)["loss"].backward()  # type: ignore[operator]
        optimizer.step()

    return run


def exported(name: str, side: int, folder: Path) -> Contender:
    """SINGLY pictures, one after the other."""
    save_model(folder / name, built(name).eval(), "spatial_transformer", {"classes": DIGITS}, "classification")
    export_onnx(folder / name, folder / f"{name}.onnx")
    session = open_session(folder / f"{name}.onnx", "cpu")
    feed = {session.get_inputs()[0].name: np.random.default_rng(0).random((1, 1, side, side), np.float32)}

    def run() -> None:
        for _ in range(SINGLY):
            session.run(None, feed)

    return run


def main() -> None:
    options = arguments(__doc__ or "", rounds=25).parse_args()
    torch.set_num_threads(options.threads)
    report = Report("transformer_cost", {"rounds": options.rounds, "batch": BATCH})
    with tempfile.TemporaryDirectory() as temporary:
        for kind, size in KINDS.items():
            side = int(size.partition("x")[0])
            names = {network: f"{network}_mnist_{kind}" for network in NETWORKS}
            steps = {network: training(built(name), side) for network, name in names.items()}
            runs = interleave(steps, options.rounds, 3)
            report.tables.append(compare(f"A training step, {size}", "ms", runs, "cnn", scale=1e3))
            sessions = {n: exported(name, side, Path(temporary)) for n, name in names.items()}
            runs = interleave(sessions, options.rounds, 3)
            report.tables.append(compare(f"Exported, a picture of {size}", "ms", runs, "cnn", scale=1e3 / SINGLY))
    publish(report, options.json)


if __name__ == "__main__":
    main()
