"""Run the whole path on the synthetic Pasture data set: train, evaluate, predict, export, report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser, split_fields

RECIPE = "fcn8s_pasture"
NUM_SCENES = 12  # test scenes that are predicted


def run(argv: list[str]) -> int:
    """`foveate demo [--out RUN] [--FIELD VALUE ...]`."""
    parser = Parser("demo", __doc__ or "")
    parser.add_argument(
        "--out", metavar="RUN", default="runs/demo", help="the run folder; that of an earlier demo is renewed"
    )
    words, fields = split_fields(argv, {"--out", "--help"})
    out = Path(parser.parse_args(words).out)
    started = time.perf_counter()

    import shutil

    from foveate.cli import export, predict
    from foveate.engine import evaluate_run, train_recipe
    from foveate.engine.report import report_run
    from foveate.engine.run import RunFolder
    from foveate.errors import ConfigError
    from foveate.recipes import resolve

    recipe = resolve(RECIPE, overrides=fields)
    if out.exists():
        run = RunFolder(out)
        if not run.recipe_file.is_file():
            raise ConfigError(f"{out} exists and is not a run; choose another folder with --out")
        if run.recipe().name != RECIPE:
            raise ConfigError(f"{out} is a run of {run.recipe().name}, which would be lost; choose another --out")
        shutil.rmtree(out)
    _say(f"1/5 train {RECIPE} on {recipe.data.describe(recipe.task)}")
    train_recipe(recipe, out=out)
    _say("2/5 evaluate on test scenes that nothing was chosen by")
    scores = evaluate_run(out, split="test")
    _say("3/5 predict")
    scenes = _write_scenes(recipe.data.open("test", recipe.task), out / "scenes")
    predict.run([str(out), str(scenes), "--out", str(out / "predictions")])
    _say("4/5 export")
    export.run([str(out), "--format", "onnx", "--out", str(out / "model.onnx")])
    _say("5/5 report")
    report_run(out, scores)
    print(
        f"\n{scores.scores.mean_iou:.3f} mIoU on {scores.scores.images} held-out scenes, "
        f"{(time.perf_counter() - started) / 60:.1f} minutes in all. Look at\n"
        f"  {out / 'report.html'}        how it learned, where it is right and wrong\n"
        f"  {out / 'predictions'}        labels and overlays of {NUM_SCENES} scenes\n"
        f"  {out / 'model.onnx'}         the model to ship: foveate predict {out / 'model.onnx'} PICTURE --out DIR\n"
        f"Your own pictures next: foveate train fcn8s --data PATH"
    )
    return 0


def _say(line: str) -> None:
    print(f"\n{line}", flush=True)


def _write_scenes(scenes: Any, folder: Path) -> Path:
    """Write a few scenes as image files, since prediction starts from files."""
    from torchvision.io import write_png

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(min(NUM_SCENES, len(scenes))):
        write_png(scenes[index]["image"], str(folder / f"scene_{index:02d}.png"))
    return folder
