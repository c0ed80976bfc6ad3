"""Record what version 0.1.0 writes to disk, and how it answers, for tests/test_version_0_1_0.py.

    OMP_NUM_THREADS=1 python tests/data/version_0_1_0/record.py

Run once, at commit 1c961dda2128a29648e58040cf496717c26116bb with Python 3.11.7, torch 2.14.1 (on a CPU), lightning
2.6.6, timm 1.0.31, onnx 1.23.2 and onnxruntime 1.32.0. It is kept to say how the files were made: a later version must
read them, not write them again, so the script refuses to run under any other. Nothing is downloaded; every picture is a
drawn scene.

For each family, in a folder of its name:

    run/           the run folder, without TensorBoard's files and the report. What environment.json says of the machine
                   is replaced by generic values. last/ and checkpoints/ are kept of `semantic` alone, which was stopped
                   after the first of two epochs.
    *.onnx         the exported model, of the families that are exported, without the exporter's stack traces: they name
                   source files of the machine
    expected.npz   `image` (H, W, 3) uint8, and the answers to it: `folder.NAME` of the model folder, `onnx.NAME` of the
                   exported file
    expected.json  `scores`: what `foveate evaluate` wrote; `resumed`: of `semantic`, the last row of metrics.csv after
                   the run was resumed
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from foveate.datasets.pasture_classes import PastureClasses
from foveate.export.onnx import export_onnx

import foveate
from foveate.cli import main
from foveate.datasets.pasture import Pasture
from foveate.engine import train_recipe
from foveate.engine.callbacks import EpochEnd
from foveate.recipes import resolve
from foveate.store import load_model

HERE = Path(__file__).resolve().parent
SIZE = "--data.height 48 --data.width 48 --data.test 0"
# Recipe and flags of the families whose recipes bring their data along.
COMMANDS = {
    "semantic": "patch_cnn_pasture --config.widths 8,12 --config.kernels 3,3 --config.fc_kernel 3 --config.hidden 24 "
    "--config.dropout 0.1 --data.height 48 --data.width 48 --data.train 24 --data.val 6 --data.test 2 "
    "--augment.crop 40,40 --augment.color 0.2 --optim.lr 0.02 --batch_size 4 --epochs 2 --ema 0.5 --validate_every 1",
    "captioning": "show_attend_tell_pasture --config.pretrained false --config.backbone test_byobnet "
    f"--config.strides 4 --config.image_size 32,32 --config.embed 12 --config.hidden 20 --config.attend 8 {SIZE} "
    "--config.dropout 0 --data.train 160 --data.val 5 --data.captions 5 --text.least 4 --features false "
    "--optim.lr 0.02 --batch_size 4 --epochs 2 --ema 0",
    "colocalisation": "colocalise_cows --config.encoder random --config.image_size 32,32 --config.widths 8 "
    f"--config.localise_widths 6 {SIZE} --data.train 60 --data.val 12 --batch_size 4 --epochs 2",
}
# `spatial_transformer` is for a user's own pictures; here it is given the data set from Python.
CLASSIFICATION = {
    "config.image_size": "24,24", "config.view": "16,16", "config.widths": "4,8", "config.localise_widths": "4",
    "config.localise_hidden": "8", "config.hidden": "16", "optim.lr": "0.01", "batch_size": "8", "epochs": "2",
    "ema": "0.5",
}  # fmt: skip
CLASSES = PastureClasses("animal", height=48, width=48, train=120, val=24, test=0)
FILES = ("recipe.json", "classes.json", "data.json", "environment.json", "metrics.csv", "model")
RESUMABLE = ("last", "checkpoints")
EXPORTED = {"semantic": "labels.onnx", "classification": "classes.onnx", "captioning": "captions.onnx"}
GENERIC = {"platform": "Linux", "cpu": "unknown", "cpu_count": 1}


def train(family: str) -> Path:
    """A run in the working folder, called after its family."""
    if family == "classification":
        sys.argv = ["foveate", "train", "spatial_transformer", "--out", family]
        recipe = dataclasses.replace(resolve("spatial_transformer", overrides=CLASSIFICATION), data=CLASSES)
        return train_recipe(recipe, out=family)
    words = ["train", *shlex.split(COMMANDS[family]), "--out", family]
    sys.argv = ["foveate", *words]
    if family != "semantic":
        assert main(words) == 0
        return Path(family)
    with mock.patch.object(EpochEnd, "on_train_epoch_start", stop_at_the_second(EpochEnd.on_train_epoch_start)):
        assert main(words) == 130
    return Path(family)


def stop_at_the_second(begin: Any) -> Any:
    """Ctrl-C as the second epoch begins."""

    def started(self: EpochEnd, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt
        begin(self, trainer, module)

    return started


def resumed(run: Path) -> dict[str, float]:
    """The last row of metrics.csv after a copy of the run was finished, without what was measured of the machine."""
    whole = Path(shutil.copytree(run, f"{run}_resumed"))
    assert main(["train", *shlex.split(COMMANDS["semantic"]), "--out", str(whole), "--resume"]) == 0
    with (whole / "metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    return {k: float(v) for k, v in row.items() if k not in ("seconds", "train_seconds", "peak_memory_mib")}


def answers(family: str, predictor: Any, image: np.ndarray) -> dict[str, np.ndarray]:
    """What a predictor says of a picture, plainly and with the family's simplest option."""
    found = predictor.predict(image)
    if family == "semantic":
        return {"mask": found.mask, "mask_flip": predictor.predict(image, flip=True).mask}
    if family == "classification":
        flipped = predictor.predict(image, flip=True).probabilities
        return {"probabilities": found.probabilities, "probabilities_flip": flipped}
    if family == "captioning":
        best = found.sentences[0]
        return {
            "text": np.array(found.text),
            "score": np.array(best.score),
            "probabilities": np.asarray(best.probabilities),
            "attention": np.asarray(best.attention),
            "text_greedy": np.array(predictor.predict(image, beams=1).text),
        }
    return {"boxes": found.boxes}


def require_clear_labels(run: Path, image: np.ndarray) -> None:
    """No pixel of the recorded mask may hang on the last digits of two logits."""
    loaded = load_model(run / "model")
    with torch.inference_mode():
        logits = loaded.model.eval()(loaded.preprocessing(torch.from_numpy(image).permute(2, 0, 1))[None]).logits[0]
    first, second = logits.topk(2, 0).values
    assert logits.argmax(0).unique().numel() > 2, "a mask that tells little"
    assert float((first - second).min()) > 1e-5, "two classes are nearly equal at a pixel: choose another picture"


def picture() -> np.ndarray:
    """(H, W, 3) uint8, of a size and shape that no model was trained on."""
    sample = Pasture(height=44, width=60, train=0, val=0, test=8, seed=7).open("test")[3]
    return np.ascontiguousarray(sample["image"].permute(1, 2, 0).numpy())


def keep(family: str, run: Path) -> None:
    """Copy of a run what is kept, and make its environment.json generic."""
    out = HERE / family / "run"
    for name in FILES + RESUMABLE * (family == "semantic"):
        copy = shutil.copytree if (run / name).is_dir() else shutil.copy
        copy(run / name, out / name)
    file = out / "environment.json"
    environment = json.loads(file.read_text())
    assert GENERIC.keys() <= environment.keys()
    file.write_text(json.dumps(environment | GENERIC, indent=2) + "\n")


def forget_places(file: Path) -> None:
    """Remove from an ONNX file where on this machine its nodes were traced."""
    model = onnx.load(file)
    for node in model.graph.node:
        kept = [(p.key, p.value) for p in node.metadata_props if not p.key.endswith("stack_trace")]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
    onnx.save(model, file)


def record(family: str, image: np.ndarray) -> None:
    """All files of one family."""
    shutil.rmtree(HERE / family, ignore_errors=True)
    (HERE / family / "run").mkdir(parents=True)
    run = train(family)
    keep(family, run)
    expected: dict[str, Any] = {}
    if family == "semantic":
        require_clear_labels(run, image)
        expected["resumed"] = resumed(run)
    assert main(["evaluate", str(run)]) == 0
    expected["scores"] = json.loads((run / "evaluation.json").read_text())
    arrays = {"image": image}
    for name, array in answers(family, foveate.load(run / "model", device="cpu"), image).items():
        arrays[f"folder.{name}"] = array
    if family in EXPORTED:
        file = HERE / family / EXPORTED[family]
        report = export_onnx(run, file)
        for written in (file, *report.beside):
            forget_places(written)
        for name, array in answers(family, foveate.load(file, device="cpu"), image).items():
            arrays[f"onnx.{name}"] = array
    np.savez_compressed(HERE / family / "expected.npz", **arrays)  # type: ignore[arg-type]
    (HERE / family / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    if foveate.__version__ != "0.1.0":
        sys.exit(f"these are files of version 0.1.0; this is {foveate.__version__}, which must read them as they are")
    torch.set_num_threads(1)
    scene = picture()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for each in ("semantic", "classification", "captioning", "colocalisation"):
            record(each, scene)
        os.chdir(HERE)
