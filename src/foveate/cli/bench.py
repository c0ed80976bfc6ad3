"""Measure what a model costs: parameters, multiply-adds, time in PyTorch and ONNX Runtime, memory."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.early import check_run
from foveate.cli.flags import Parser, add_format
from foveate.errors import FoveateError

if TYPE_CHECKING:
    from foveate.engine.bench import Cost


def run(argv: list[str]) -> int:
    """`foveate bench RUN [--device NAME] [--format json]`."""
    parser = Parser("bench", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder; its first validation sample is the input")
    parser.add_argument("--device", metavar="NAME", default="cpu", help="of PyTorch (default cpu)")
    add_format(parser)
    args = parser.parse_args(argv)
    check_run(args.run)

    import torch

    from foveate.engine.bench import REPEATS, measure, sample_of
    from foveate.engine.run import RunFolder
    from foveate.predictor import Predictor

    folder = RunFolder.existing(args.run)
    predictor = Predictor.open(folder.path, args.device)
    sample = sample_of(folder, predictor.family, predictor.name)
    cost = measure(predictor.family, predictor.runner, sample)
    exported, reason = _exported(folder.path, sample)
    shape = "x".join(str(side) for side in sample["image"].shape) if "image" in sample else ""
    if args.format == "json":
        found: dict[str, Any] = {
            "pytorch": dataclasses.asdict(cost),
            "input": shape,
            "threads": torch.get_num_threads(),
        }
        times = ("milliseconds", "fastest", "slowest")
        found["onnxruntime"] = None if exported is None else {name: getattr(exported, name) for name in times}
        print(json.dumps(found, indent=2))
        return 0
    memory = "not known" if cost.memory_mib is None else f"{cost.memory_mib} MiB, of the whole process"
    print(
        f"{predictor.name} on one {predictor.family.noun()}{f' of {shape}' if shape else ''}, {predictor.device}, "
        f"{torch.get_num_threads()} threads\n"
        f"  parameters     {cost.parameters:,}\n"
        f"  multiply-adds  {cost.multiply_adds:,} (as torch counts them: convolutions and matrix products)\n"
        f"  PyTorch        {_times(cost)} (median, fastest and slowest of {REPEATS})\n"
        f"  ONNX Runtime   {_times(exported) if exported is not None else reason}\n"
        f"  memory         {memory}"
    )
    return 0


def _exported(run: Path, sample: Any) -> tuple[Cost | None, str]:
    """The cost of the exported model, or the reason why there is none."""
    from foveate.engine.bench import measure
    from foveate.export import export_onnx
    from foveate.predictor import Predictor

    with tempfile.TemporaryDirectory() as folder:
        try:
            export_onnx(run, Path(folder) / "model.onnx")
        except FoveateError as error:
            return None, f"none: {error}"
        exported = Predictor.open(Path(folder) / "model.onnx")
        return measure(exported.family, exported.runner, sample), ""


def _times(cost: Cost) -> str:
    return f"{cost.milliseconds:.1f} ms ({cost.fastest:.1f} to {cost.slowest:.1f})"
