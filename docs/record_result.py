"""Record what a run cost and reached: results/<recipe>.json, or <recipe>_seed<N>.json, from which the pages are made.

python docs/record_result.py RUN [NAME] [--replace] [--disturbed]

NAME is the file's name where the recipe's does not say the data, as in fcn8s_coco. A record of another commit or seed
stays unless --replace is given; under a NAME of its own, both are kept. --disturbed says that other work ran beside
the training, so that its minutes mean nothing. Everything is read from the run folder (after `foveate evaluate RUN`).
Paths of this machine are left out: in the command, `--data` names the data set and `--out` is dropped.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.engine.fields import upgraded
from foveate.engine.run import RunFolder
from foveate.errors import FoveateError, ModelError, OutputError
from foveate.registry import entries
from foveate.store import load_model

ROOT = Path(__file__).resolve().parent.parent
KEPT = (
    "mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou", "boundary_iou", "trimap_iou", "per_class",
    "per_class_boundary_iou", "top1", "top5", "error_percent", "calibration_error", "window_error_px",
    "window_near", "images",
    "corloc", "pointing", "random_corloc", "random_pointing", "centre_corloc", "centre_pointing", "contrast",
    "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d", "attention_hit", "attention_chance",
    "ap", "ap50", "ap75", "box_ap", "ap_r50", "ap_r70", "ap_r_vol", "recall50", "recall50_touching", "tp_ratio50",
    "tp_ratio", "pq", "sq", "rq", "count_bias", "count_mae", "count_mape", "score_threshold", "mask_iou_true_boxes",
    "proposals_recall50", "proposals_recall70", "objects", "touching", "detections_cap",
    "bound", "reconstruction", "kl", "nats", "nats_static", "nats_iw50", "bits_per_dimension", "iw_images",
    "nats_per_point", "nats_per_piece", "sse", "stop_percent", "points", "pieces",
    "accuracy", "question_alone", "attention_mass", "first_attention_mass", "unknown_answers", "per_kind",
    "bleu", "chrf", "ter", "length_ratio", "exact", "sentences", "by_length", "signatures",
    "question_alone_per_kind", "attention_times_chance_per_kind", "questions_per_kind", "questions",
    "wer", "cer", "sentence_errors", "attention_in_span", "monotone", "recordings",
    "event_accuracy", "order_accuracy", "events", "orders", "clips",
)  # fmt: skip
DIGITS = 6


def main(argv: Sequence[str], folder: Path = ROOT / "results") -> int:
    """Write one file into `folder`."""
    names = [word for word in argv if word not in ("--replace", "--disturbed")]
    if not 1 <= len(names) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        result = record(Path(names[0]))
        if "--disturbed" in argv:
            result["timing"] = "minutes measured beside other work"
        seed = f"_seed{result['seed']}" if result["seed"] else ""
        path = folder / f"{names[1] if len(names) == 2 else result['recipe'] + seed}.json"
        if path.is_file() and "--replace" not in argv:
            require_same_run(path, result)
        write_atomically(path, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    except FoveateError as error:
        print(f"record_result: {error}", file=sys.stderr)
        return 1
    print(f"recorded: {path}\nnext: make generated")
    return 0


def require_same_run(path: Path, result: dict[str, Any]) -> None:
    """Raise OutputError where a file holds the record of another run."""
    before = json.loads(path.read_text(encoding="utf-8"))
    for key in ("recipe", "command", "seed", "commit"):
        if before[key] != result[key]:
            raise OutputError(
                f"{path} holds another run ({key} {before[key]!r}, now {result[key]!r}); "
                f"give --replace to overwrite it, or a NAME of its own, as {path.stem}_{str(result['commit'])[:7]}"
            )


def record(path: Path) -> dict[str, Any]:
    """A run folder -> what is kept of it. Raises ModelError where the run is not finished or not evaluated."""
    run = RunFolder.existing(path)
    if not run.evaluation.is_file():
        raise ModelError(f"{path} was not evaluated; run: foveate evaluate {path}")
    recipe, environment, history = run.read_json("recipe.json"), run.read_json("environment.json"), run.history()
    recipe = upgraded(recipe)
    if len(history) < recipe["epochs"] and not recipe["early_stop"]:
        raise ModelError(f"{path} has {len(history)} of {recipe['epochs']} epochs; finish it with --resume")
    evaluation = run.read_json("evaluation.json")
    source = recipe["data"]["dataset"]
    model = load_model(run.best).model
    return {
        "recipe": recipe["name"],
        "command": portable_command(environment["command"], source),
        "data": run.read_json("data.json")["source"],
        "split": evaluation["split"],
        "seed": recipe["seed"],
        **{key: environment.get(key) for key in ("commit", "clean", "python", "packages", "instructions", "threads")},
        "minutes": round(sum(row["seconds"] for row in history) / 60, 2),
        "peak_memory_mib": peak_memory(run, history),
        "hardware": hardware(environment),
        "parameters": sum(p.numel() for p in model.parameters()),
        "scores": {name: rounded(evaluation[name]) for name in KEPT if name in evaluation},
    }


def portable_command(command: str, source: str) -> str:
    """The command that gives the run again anywhere; `--out` and `--resume` go.

    `--data` names the data set as the recipe's own example does, or else the source that has read it.
    """
    kept: list[str] = []
    words = iter(shlex.split(command))
    data = source.upper()
    for word in words:
        if kept[-1:] == ["train"]:
            example = re.search(r"--data (\S+)", entries("recipe")[word].load().__doc__ or "")
            data = example[1] if example and example[1] != "PATH" else data
        name, given, _ = word.partition("=")
        if name in ("--data", "--out", "--init"):
            if not given:
                next(words, None)
            if name != "--out":
                kept += [name, data if name == "--data" else "RUN"]
        elif name not in ("--resume", "--debug"):
            kept.append(word)
    return " ".join(kept)


def peak_memory(run: RunFolder, history: Sequence[dict[str, float]]) -> int | None:
    """The largest memory of the training process in MiB, where the run has it."""
    file = run.path / "training.json"
    found = json.loads(file.read_text(encoding="utf-8")).get("peak_memory_mib") if file.is_file() else None
    found = found or max((row["peak_memory_mib"] for row in history if "peak_memory_mib" in row), default=None)
    return None if found is None else round(found)


def hardware(environment: dict[str, Any]) -> str:
    """'2 cores of AMD EPYC 7B13', or the GPUs. The processor's name is asked here where the run lacks it."""
    devices = [d for d in environment["devices"] if d != "cpu"]
    if devices:
        return ", ".join(devices)
    name = environment.get("cpu")
    if not name and environment["platform"] == platform.platform():
        name = processor()
    threads = environment["threads"]
    return f"{threads} core{'s' * (threads > 1)} of {name or 'an unknown processor'}"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def rounded(value: Any) -> Any:
    """Scores with as many digits as mean anything."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return round(value, DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
