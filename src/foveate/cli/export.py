"""Write a trained model as ONNX that runs anywhere, checked against PyTorch.

One file; of a captioning model two: FILE encodes an image, and FILE.step.onnx beside it decodes one token. With --int8
one file that computes in 8 bits, checked on validation images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from foveate.cli.flags import Parser
from foveate.errors import ConfigError, duration_text


def run(argv: list[str]) -> int:
    """`foveate export RUN --out FILE [--int8 [--data PATH] [--max-drop N]]`."""
    parser = Parser("export", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder or a model folder")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="the only one so far (default onnx)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the .onnx file to write")
    parser.add_argument(
        "--int8", action="store_true", help="compute in 8 bits, for models of images that answer with classes"
    )
    parser.add_argument("--data", metavar="PATH", help="with --int8: data with labels (default: the run's own)")
    parser.add_argument(
        "--max-drop", type=float, metavar="N",
        help="with --int8: the largest loss of the score, in points of mIoU (default 0.5), or in percent of another "
        "family's score (default 1)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if not args.int8 and (args.data is not None or args.max_drop is not None):
        raise ConfigError("--data and --max-drop are for --int8; add it, or leave them out")

    from foveate.cli.inputs import predict_line
    from foveate.export import export_onnx
    from foveate.predictor import example_options, peek_family

    if args.int8:
        return _int8(args)
    report, run = export_onnx(args.run, args.out), Path(args.run)
    sizes = " and ".join(f"{width}x{height}" for height, width in report.sizes)
    files = " and ".join(str(file) for file in (report.path, *report.beside))
    print(
        f"exported: {files} ({report.bytes / 1e6:.1f} MB, opset {report.opset}, {duration_text(report.seconds)})\n"
        f"checked against PyTorch{f' at {sizes}' if sizes else ''}: largest difference {report.difference:.1e} of the "
        "largest logit\n"
        f"next: {predict_line(report.path, peek_family(run), example_options(run))}"
    )
    return 0


def _int8(args: argparse.Namespace) -> int:
    from foveate.cli.evaluate import data_source
    from foveate.cli.inputs import predict_line
    from foveate.export.int8 import export_int8, require_int8
    from foveate.predictor import peek_family

    family = peek_family(Path(args.run))
    require_int8(family)  # complains before any work
    source = data_source(args.data, args.run, family.name) if args.data else None
    report = export_int8(args.run, args.out, source, args.max_drop, tell=lambda line: print(line, file=sys.stderr))
    count = f"{report.float32_layers} of {report.all_layers} layers" if report.float32_layers else "no layer"
    cost = f"{report.bytes / 1e6:.1f} MB, {duration_text(report.seconds)}"
    print(
        f"exported: {report.path} (INT8, {cost}; {count} in float32)\n"
        f"{report.monitor} on {report.samples} {family.noun(report.samples)} of {report.data}, {report.split}: "
        f"{report.int8:.4f}, in float32 {report.float32:.4f}\n"
        f"next: {predict_line(report.path, family)}"
    )
    return 0
