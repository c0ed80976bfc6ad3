"""How long each semantic system takes for one picture of 480x360 on a CPU, as its CamVid recipe builds it.

    python benchmarks/semantic_latency.py [--rounds N] [--threads N] [--json FILE]

Eager PyTorch, 11 classes, random weights, evaluation mode, batch 1, float32, channels_last, the same threads; the systems
take turns. `python docs/draw_trade.py` sets the times beside the recorded mean IoU.
"""

from __future__ import annotations

import dataclasses

from common import SEED, Contender, Report, arguments, compare, interleave, publish

import torch  # isort: skip

import foveate
from foveate.recipes import resolve

CLASSES, HEIGHT, WIDTH = 11, 360, 480
WARMUP = 2
REFERENCE = "fcn8s_camvid"


def recipes() -> list[str]:
    """The recipes that train a semantic system on CamVid."""
    return [name for name in foveate.list_recipes() if name.endswith("_camvid")]


def contender(name: str) -> Contender:
    """A recipe's network looking at one picture."""
    recipe = resolve(name)
    config = dataclasses.asdict(recipe.config) | {"num_classes": CLASSES, "in_channels": 3}
    config |= {"pretrained": False} if "pretrained" in config else {}
    network = foveate.create(recipe.model, **config).to(memory_format=torch.channels_last)
    image = torch.randn(1, 3, HEIGHT, WIDTH).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # statistics of what it saw, so that activations keep their scale
        network.train()(image.expand(2, -1, -1, -1))
    network.eval().requires_grad_(False)

    def run() -> None:
        with torch.inference_mode():
            network(image)

    return run


def main() -> None:
    options = arguments(__doc__ or "", rounds=15).parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    report = Report("semantic_latency", {"size": [HEIGHT, WIDTH], "rounds": options.rounds})
    runs = interleave({name: contender(name) for name in recipes()}, options.rounds, WARMUP)
    report.tables.append(compare("Eager PyTorch, per picture", "ms", runs, REFERENCE, scale=1e3))
    publish(report, options.json)


if __name__ == "__main__":
    main()
