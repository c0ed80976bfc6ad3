"""Pictures a second from a folder of files to masks and overlays on disk: `foveate predict` beside a plain loop.

    python benchmarks/predict_throughput.py [--rounds N] [--threads N] [--json FILE]

JPEG files of 480x360 are decoded, labelled, and written as index PNG masks and JPEG overlays. `foveate predict` runs from the
run folder, and from the exported file in ONNX Runtime and in OpenVINO. The peer is the loop one would write: PIL, an eager
network, PIL. It runs segmentation_models' Unet on FCN's backbone, and FCN-8s too, which tells
what the loop around the network is worth. Opening the model is in nobody's time. Networks have random weights, of which a
Unet makes noise that PNG is slow to write: the plain loop therefore writes the scene's true labels instead.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish
from fcn_latency import CLASSES, ENCODER, HEIGHT, PADDED_HEIGHT, WIDTH, Answer, export_shipped, fcn, settle

import numpy as np  # isort: skip
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.cli import predict
from foveate.datasets.pasture import Pasture
from foveate.records import ClassTable, Preprocessing

PICTURES = 24
REFERENCE = "foveate predict, FCN-8s"
EXPORTED = "foveate predict, FCN-8s exported to ONNX"
OPENVINO, OPENVINO_BF16 = "... in OpenVINO", "... in OpenVINO, bf16"
LOOP = "plain loop, FCN-8s"
UNET = "plain loop, smp Unet"


def write_scenes(folder: Path) -> list[np.ndarray]:
    """The pictures, as files, and their true labels."""
    folder.mkdir()
    scenes = Pasture(height=HEIGHT, width=WIDTH, test=PICTURES).open("test")
    labels = []
    for index in range(PICTURES):
        sample = scenes[index]
        picture = Image.fromarray(sample["image"].permute(1, 2, 0).numpy())
        picture.save(folder / f"scene_{index:03d}.jpg", quality=95)
        labels.append(sample["mask"].numpy())
    return labels


def ours(model: Path, pictures: Path, out: Path, *flags: str) -> Contender:
    """`foveate predict`, by its own clock: from the first file to the last."""

    def run() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            code = predict.run([str(model), str(pictures), "--out", str(out), "--device", "cpu", *flags])
        assert code == 0
        seconds: float = json.loads((out / "predictions.json").read_text(encoding="utf-8"))["seconds"]
        return PICTURES / seconds

    return run


def plain(network: nn.Module, height: int, pictures: Path, out: Path, labels: list[np.ndarray]) -> Contender:
    """What one writes without a toolkit; `height` is what the network's multiples of 32 ask for."""
    network = network.eval().to(memory_format=torch.channels_last)
    normalize = Preprocessing((127 / 255,) * 3, (128 / 255,) * 3)
    classes = ClassTable(tuple(f"class {i}" for i in range(CLASSES)))
    palette = [value for color in classes.colors for value in color]
    out.mkdir()

    def label(picture: np.ndarray) -> np.ndarray:
        image: Tensor = normalize(torch.from_numpy(picture).permute(2, 0, 1))[None]
        image = F.pad(image, (0, 0, 0, height - HEIGHT)).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return network(image)[0, :, :HEIGHT].argmax(0).byte().numpy()

    def run() -> float:
        started = time.perf_counter()
        for file, truth in zip(sorted(pictures.iterdir()), labels, strict=True):
            picture = np.array(Image.open(file).convert("RGB"))
            answer = label(picture)
            assert answer.shape == truth.shape
            mask = Image.fromarray(truth)
            mask.putpalette(palette)
            mask.save(out / f"{file.stem}.png")
            Image.blend(Image.fromarray(picture), mask.convert("RGB"), 0.5).save(out / f"{file.stem}.jpg", quality=90)
        return PICTURES / (time.perf_counter() - started)

    return run


def contenders(folder: Path) -> dict[str, Contender]:
    import segmentation_models_pytorch as smp

    pictures = folder / "pictures"
    labels = write_scenes(pictures)
    small = Answer(fcn(8), _logits)
    unet = smp.Unet(ENCODER, encoder_weights=None, classes=CLASSES)
    settle(small, (HEIGHT, WIDTH))
    settle(unet, (PADDED_HEIGHT, WIDTH))
    exported = export_shipped(small, folder)  # leaves the model folder beside it
    found = {
        REFERENCE: ours(folder / "model", pictures, folder / "torch"),
        EXPORTED: ours(exported, pictures, folder / "onnx"),
    }
    if importlib.util.find_spec("openvino"):
        found[OPENVINO] = ours(exported, pictures, folder / "openvino", "--runtime", "openvino")
        if "BF16" in openvino_precisions():
            flags = ("--runtime", "openvino", "--precision", "bf16")
            found[OPENVINO_BF16] = ours(exported, pictures, folder / "openvino_bf16", *flags)
    return found | {
        LOOP: plain(small, HEIGHT, pictures, folder / "plain_fcn", labels),
        UNET: plain(unet, PADDED_HEIGHT, pictures, folder / "plain_unet", labels),
    }


def openvino_precisions() -> list[str]:
    """What this CPU computes in, as OpenVINO has it."""
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


_logits: Callable[..., Tensor] = lambda output: output.logits  # noqa: E731


def main() -> None:
    options = arguments(__doc__ or "", rounds=8).parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    report = Report("predict_throughput", {"rounds": options.rounds, "pictures": PICTURES, "size": f"{WIDTH}x{HEIGHT}"})
    with tempfile.TemporaryDirectory() as folder:
        figures = interleave(contenders(Path(folder)), options.rounds)
    table = compare("From files to masks and overlays", "pictures/s", figures, REFERENCE, higher_is_better=True)
    report.tables.append(table)
    for name, least in ((REFERENCE, 1.0), (EXPORTED, 1.5)):
        ratio = table.row(name).relative / table.row(LOOP).relative
        report.targets.append(
            Target(f"{name} reaches {least:g} times the plain loop with FCN-8s", ratio, ratio >= least)
        )
    ratio = table.row(UNET).relative
    report.targets.append(Target("the plain loop with Unet reaches no more than foveate predict", ratio, ratio <= 1))
    publish(report, options.json)


if __name__ == "__main__":
    main()
