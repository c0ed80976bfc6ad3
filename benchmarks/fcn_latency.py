"""How long a network takes for one picture of 480x360 on a CPU: FCN beside its peers, eager and in ONNX Runtime.

    python benchmarks/fcn_latency.py [--rounds N] [--threads N] [--json FILE] [--only eager|onnx]

All have 11 classes, random weights, evaluation mode, batch 1, float32 and the same threads. FCN and segmentation_models'
Unet, FPN and Linknet stand on the same backbone; those three accept only multiples of 32 and get 480x384, which is
what their user has to pad to. Eager against eager, exported against exported, never across. In eager mode each contender
runs in the memory format (contiguous or channels_last) that is the faster one for it.
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import SEED, Contender, Report, Table, Target, arguments, compare, interleave, publish

import numpy as np  # isort: skip
import torch
from torch import Tensor, nn

import foveate
from foveate.recipes import resolve
from foveate.records import ClassTable

CLASSES = 11
HEIGHT, WIDTH = 360, 480
PADDED_HEIGHT = 384
ENCODER = "timm-tf_efficientnet_lite0"  # what Foveate's recipes stand on, as segmentation_models names it
WARMUP = 3
TRIALS = 4  # rounds that choose the memory format
REFERENCE = "FCN-8s"


class Answer(nn.Module):
    """Any contender as a map from a picture to logits, which is what is exported."""

    def __init__(self, network: nn.Module, read: Callable[[Any], Tensor] = lambda output: output) -> None:
        super().__init__()
        self.network, self.read = network, read

    def forward(self, image: Tensor) -> Tensor:
        return self.read(self.network(image))


def fcn(stride: int) -> nn.Module:
    """The FCN that the CamVid recipe trains, without its pretrained weights."""
    config = dataclasses.asdict(resolve(f"fcn{stride}s_camvid").config)
    network: nn.Module = foveate.create(f"fcn{stride}s", **config | {"num_classes": CLASSES, "pretrained": False})
    return network


def contenders() -> dict[str, tuple[nn.Module, tuple[int, int]]]:
    """Name -> network and the (height, width) it is given."""
    import segmentation_models_pytorch as smp
    from torchvision.models import segmentation

    found: dict[str, tuple[nn.Module, tuple[int, int]]] = {}
    for stride in (8, 16, 32):
        found[f"FCN-{stride}s"] = Answer(fcn(stride), lambda output: output.logits), (HEIGHT, WIDTH)
    for peer in (smp.Unet, smp.FPN, smp.Linknet):
        network = peer(ENCODER, encoder_weights=None, classes=CLASSES)
        found[f"smp {peer.__name__}"] = Answer(network), (PADDED_HEIGHT, WIDTH)
    for build in (segmentation.lraspp_mobilenet_v3_large, segmentation.fcn_resnet50):
        network = build(weights=None, weights_backbone=None, num_classes=CLASSES)
        found[f"torchvision {build.__name__}"] = Answer(network, lambda output: output["out"]), (HEIGHT, WIDTH)
    for network, size in found.values():
        settle(network, size)
    return found


def settle(network: nn.Module, size: tuple[int, int]) -> None:
    """Give random weights the scale of trained ones, so that no contender meets infinities, denormals or nothing but zeros."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1 and not parameter.any():
                nn.init.normal_(parameter, std=0.01)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # statistics of the pictures it saw, not a running mean from 0 and 1
        network.train()(torch.randn(2, 3, *size))
    network.eval().requires_grad_(False)


def eager_table(networks: dict[str, tuple[nn.Module, tuple[int, int]]], rounds: int) -> Table:
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    chosen: dict[str, str] = {}
    for name in networks:
        trial = interleave({f: _eager(*networks[name], formats[f]) for f in formats}, TRIALS, warmup=1)
        chosen[name] = min(trial, key=lambda f: min(trial[f]))
    runs = {name: _eager(network, size, formats[chosen[name]]) for name, (network, size) in networks.items()}
    notes = {name: _note(networks[name][1], chosen[name]) for name in networks}
    return compare(
        "Eager PyTorch, per picture", "ms", interleave(runs, rounds, WARMUP), REFERENCE, scale=1e3, notes=notes
    )


def _eager(network: nn.Module, size: tuple[int, int], memory_format: Any) -> Contender:
    image = torch.randn(1, 3, *size).contiguous(memory_format=memory_format)

    def run() -> None:
        network.to(memory_format=memory_format)  # nothing to do but in the trial of formats
        with torch.inference_mode():
            network(image)

    return run


def onnx_table(
    networks: dict[str, tuple[nn.Module, tuple[int, int]]], rounds: int, threads: int, folder: Path
) -> Table:
    """Every contender exported by the same call at its one size, and the FCN-8s that `foveate export` ships beside them."""
    runs: dict[str, Contender] = {}
    notes: dict[str, str] = {}
    for name, (network, size) in networks.items():
        file = folder / f"{name.replace(' ', '_')}.onnx"
        export_static(network, size, file)
        runs[name], notes[name] = _session(file, size, threads), _note(size, "")
    shipped = export_shipped(networks[REFERENCE][0], folder)
    name = f"{REFERENCE} as foveate exports it"
    runs[name], notes[name] = _session(shipped, (HEIGHT, WIDTH), threads), "any height and width"
    return compare(
        "ONNX Runtime, per picture", "ms", interleave(runs, rounds, WARMUP), REFERENCE, scale=1e3, notes=notes
    )


def export_static(network: nn.Module, size: tuple[int, int], file: Path) -> None:
    """One ONNX file for pictures of one size, as torch's exporter writes it."""
    network.to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(1, 3, *size),), str(file), dynamo=True, external_data=False, verbose=False,
            input_names=["image"], output_names=["logits"],
        )  # fmt: skip


def export_shipped(network: nn.Module, folder: Path) -> Path:
    """The file that `foveate export` writes, with free height and width."""
    from foveate.export import export_onnx
    from foveate.store import save_model

    assert isinstance(network, Answer)
    classes = ClassTable(tuple(f"class {i}" for i in range(CLASSES)))
    save_model(folder / "model", network.network, REFERENCE.lower().replace("-", ""), {"classes": classes}, "semantic")
    return export_onnx(folder / "model", folder / "shipped.onnx").path


def _session(file: Path, size: tuple[int, int], threads: int) -> Contender:
    session = open_session(file, threads)
    image = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)

    def run() -> None:
        session.run(None, {"image": image})

    return run


def open_session(file: Path, threads: int, profile: Path | None = None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Every session has threads of its own; were they to spin on, they would take the cores from the next contender.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _note(size: tuple[int, int], memory_format: str) -> str:
    padded = "" if size == (HEIGHT, WIDTH) else f"padded to {size[1]}x{size[0]}"
    return ", ".join(filter(None, (padded, memory_format)))


def main() -> None:
    parser = arguments(__doc__ or "", rounds=20)
    parser.add_argument("--only", choices=("eager", "onnx"), help="one of the two tables alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    report = Report("fcn_latency", {"rounds": options.rounds, "picture": f"{WIDTH}x{HEIGHT}", "classes": CLASSES})
    networks = contenders()
    if options.only != "onnx":
        report.tables.append(eager_table(networks, options.rounds))
    if options.only != "eager":
        with tempfile.TemporaryDirectory() as folder:
            report.tables.append(onnx_table(networks, options.rounds, options.threads, Path(folder)))
    for table in report.tables:
        ratio = table.row("smp Unet").relative
        report.targets.append(Target(f"{table.title}: Unet takes at least twice FCN-8s's time", ratio, ratio >= 2))
        faster = [f"{row.name} ({row.relative:.2f})" for row in table.rows if table.beats_reference(row)]
        report.notes.append(f"{table.title}: faster than {REFERENCE}: {', '.join(faster) or 'none'}")
    publish(report, options.json)


if __name__ == "__main__":
    main()
