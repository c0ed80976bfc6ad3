"""Measure what a model costs: parameters, multiply-adds, memory, and time in PyTorch, ONNX Runtime and OpenVINO."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.early import check_run
from foveate.cli.evaluate import data_source
from foveate.cli.flags import Parser, add_format, add_runtime
from foveate.errors import ConfigError, FoveateError, counted

if TYPE_CHECKING:
    from foveate.engine.bench import Cost
    from foveate.predictor import Predictor


def run(argv: list[str]) -> int:
    """`foveate bench RUN [--runtime NAME] [--precision NAME] [--device NAME] [--format json]`."""
    parser = Parser("bench", __doc__ or "")
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run folder, whose first validation sample is the input; or a model folder, an exported .onnx file or "
        "torchvision/NAME, for which one is made up",
    )
    parser.add_argument("--data", metavar="PATH", help="data whose first validation sample is the input")
    parser.add_argument("--device", metavar="NAME", default="cpu", help="of PyTorch (default cpu)")
    add_runtime(parser)
    add_format(parser)
    args = parser.parse_args(argv)
    check_run(args.run)

    import torch

    from foveate.engine.bench import REPEATS, measure, sample_of
    from foveate.engine.run import RunFolder
    from foveate.onnx import TITLES, require_runtime
    from foveate.predictor import Predictor
    from foveate.tasks.exported import is_exported

    if args.runtime is not None or args.precision != "float32":
        require_runtime(args.runtime or "openvino", args.precision)
    path = Path(args.run)
    exported = is_exported(path)
    if exported:
        predictor = Predictor.open(path, args.device, args.runtime, args.precision)
    else:
        predictor = Predictor.open(path, args.device)
    task = predictor.family
    data = data_source(args.data, args.run, task.name) if args.data else None
    if data is None and RunFolder(path).recipe_file.is_file():
        data = RunFolder(path).recipe().data
    made_up = data is None
    if made_up:
        sample, shape = _made_up(predictor, args.run)
    else:
        sample = sample_of(data, task, predictor.name)
        shape = "x".join(str(side) for side in sample["image"].shape) if "image" in sample else ""
    cost = measure(task, predictor.runner, sample)
    found: dict[str, Cost | str] = {} if exported else _exported(path, sample, args.runtime, args.precision)
    if args.format == "json":
        times = ("milliseconds", "fastest", "slowest")
        first = predictor.runtime if exported else "pytorch"
        report: dict[str, Any] = {first: dataclasses.asdict(cost), "input": shape, "threads": torch.get_num_threads()}
        report["made_up"] = made_up
        for name, one in found.items():
            report[name] = None if isinstance(one, str) else {key: getattr(one, key) for key in times}
        print(json.dumps(report | {"precision": args.precision}, indent=2))
        return 0
    memory = "not known" if cost.memory_mib is None else f"{cost.memory_mib} MiB, of the whole process"
    given = f"one {'made-up ' * made_up}{task.noun()}{f' of {shape}' * bool(shape)}"
    print(f"{predictor.name} on {given}, {predictor.device}, {counted(torch.get_num_threads(), 'thread')}")
    if not exported:
        print(
            f"  parameters     {cost.parameters:,}\n"
            f"  multiply-adds  {cost.multiply_adds:,} (as torch counts them: convolutions and matrix products)"
        )
    print(f"  {predictor.computed_in:<15}{_times(cost)} (median, fastest and slowest of {REPEATS})")
    for name, one in found.items():
        title = f"{TITLES[name]}{'' if args.precision == 'float32' else f' ({args.precision})'}"
        print(f"  {title:<15}{one if isinstance(one, str) else _times(one)}")
    print(f"  memory         {memory}")
    if made_up:
        print(f"note: {args.run} does not record its data; --data PATH measures a {task.noun()} of your own")
    return 0


def _made_up(predictor: Predictor, run: str) -> tuple[Any, str]:
    """A sample of a usual size, of noise, and its size. Raises ConfigError for a family that takes no such input."""
    inputs = predictor.family.inputs
    given = {one.name: one.typical(predictor.preprocessing) for one in inputs}
    if not given or any(value is None for value in given.values()):
        raise ConfigError(
            f"{run} does not record its data, and models for {predictor.family.title} answer no made-up input; give "
            "some with --data PATH"
        )
    sizes = []
    for name, value in given.items():
        if isinstance(value, str):
            sizes.append(counted(len(value.split()), "word"))
        else:
            shape = (value.shape[-1], *value.shape[:-1]) if name == "image" else value.shape
            sizes.append("x".join(map(str, shape)) + " values" * (len(shape) == 1))
    return predictor.sample_of(given, "made up", 0), " and ".join(sizes)


def _exported(run: Path, sample: Any, runtime: str | None, precision: str) -> dict[str, Cost | str]:
    """The cost of the exported model in each runtime, or the reason why there is none.

    runtime: None for ONNX Runtime, and OpenVINO where it is installed; in bf16 OpenVINO alone.
    """
    from foveate.engine.bench import measure
    from foveate.export import export_onnx
    from foveate.predictor import Predictor

    runtimes = [runtime] if runtime else ["openvino"] if precision != "float32" else ["onnxruntime"]
    if not runtime and precision == "float32" and importlib.util.find_spec("openvino"):
        runtimes.append("openvino")
    found: dict[str, Cost | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        try:
            export_onnx(run, file)
        except FoveateError as error:
            return dict.fromkeys(runtimes, f"none: {error}")
        for name in runtimes:
            try:
                exported = Predictor.open(file, "cpu", name, precision)
            except FoveateError as error:
                found[name] = f"none: {str(error).removeprefix(f'{file}: ')}"
            else:
                found[name] = measure(exported.family, exported.runner, sample)
    return found


def _times(cost: Cost) -> str:
    return f"{cost.milliseconds:.1f} ms ({cost.fastest:.1f} to {cost.slowest:.1f})"
