"""Write a trained model as ONNX that runs anywhere, checked against PyTorch.

One file; of a captioning model two: FILE encodes an image, and FILE.step.onnx beside it decodes one token.
"""

from __future__ import annotations

from pathlib import Path

from foveate.cli.flags import Parser


def run(argv: list[str]) -> int:
    """`foveate export RUN --format onnx --out FILE`."""
    parser = Parser("export", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder or a model folder")
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="the only one so far (default onnx)")
    parser.add_argument("--out", metavar="FILE", required=True, help="the .onnx file to write")
    args = parser.parse_args(argv)

    from foveate.cli.inputs import predict_line
    from foveate.export import export_onnx
    from foveate.predictor import peek_family

    report = export_onnx(args.run, args.out)
    sizes = " and ".join(f"{width}x{height}" for height, width in report.sizes)
    files = " and ".join(str(file) for file in (report.path, *report.beside))
    print(
        f"exported: {files} ({report.bytes / 1e6:.1f} MB, opset {report.opset}, {report.seconds:.0f} s)\n"
        f"checked against PyTorch{f' at {sizes}' if sizes else ''}: largest difference {report.difference:.1e} of the "
        "largest logit\n"
        f"next: {predict_line(report.path, peek_family(Path(args.run)))}"
    )
    return 0
