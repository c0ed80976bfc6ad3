"""Nuclei as objects: a perfect foreground taken apart, torchvision's Mask R-CNN, and trained runs, all scored alike.

    python benchmarks/nuclei_objects.py PATH [--split val] [--pictures N] [--mask-rcnn] [--run RUN ...] [--json FILE]

PATH: a folder with train/ and val/, each with images/ and masks/ of object numbers, such as the nuclei of the 2018 Data
Science Bowl.

The foreground is that of the true masks: what a semantic network without a single mistake would give. Its objects are the
connected parts (8 neighbours), or these split by distance and watershed as `foveate predict --objects` does it; they have
no scores, so that their AP says nothing and is left out.

--mask-rcnn trains torchvision's Mask R-CNN with an FPN of 64 channels on the same ImageNet-trained EfficientNet-Lite0 as
the recipe mnc_nuclei, with that recipe's augmentation, batches and optimiser, for --minutes (default: 45) or --steps.
--run RUN scores a run folder, a model folder or an exported file, for example runs/mnc_nuclei. All have 400 detections a
picture; the threshold of TP / (TP + FP + FN), recall of found objects and counts is the best on --chosen (default: 60
pictures of train) for Mask R-CNN, and a run's own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import SEED, machine

import numpy as np  # isort: skip
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork

from foveate.backbones.timm import TimmPyramid
from foveate.datasets import recognise
from foveate.engine.loading import SeededTransform
from foveate.metrics.instances import CAP, InstanceMetrics
from foveate.ops.boxes import tight_boxes
from foveate.ops.mask_layers import areas, unpack
from foveate.predictor import Predictor
from foveate.recipes import resolve
from foveate.records import Instances, SemanticPrediction
from foveate.records.base import ClassTable
from foveate.records.instances import encode_mask, instances_of
from foveate.tasks.instances.detect import truth_of
from foveate.tasks.semantic.objects import objects_in

COLUMNS = ("AP", "AP50", "AP75", "recall50", "touching", "TP ratio", "PQ", "count error")
KEYS = ("ap", "ap50", "ap75", "recall50", "recall50_touching", "tp_ratio50", "pq", "count_mape")
WIDTH = 64  # channels of the pyramid, as in mnc_nuclei
LEAST_PIXELS = 4  # of an object in training
FOREGROUND = ClassTable(("background", "nucleus"))

Finder = Callable[[Any], Instances]


def parts(sample: Any) -> Instances:
    """The connected parts of the true foreground."""
    return objects_in(label_map(sample), divide=False).objects


def split_parts(sample: Any) -> Instances:
    """The same, split as `--objects` does it."""
    return objects_in(label_map(sample)).objects


def label_map(sample: Any) -> SemanticPrediction:
    """The true foreground."""
    return SemanticPrediction((sample["layers"].as_subclass(Tensor) > 0).any(0).numpy().astype(np.uint8), FOREGROUND)


class Pyramid(nn.Module):
    """Feature maps of the backbone, each with WIDTH channels."""

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        self.body = TimmPyramid(name, pretrained=pretrained)
        self.join = FeaturePyramidNetwork(list(self.body.channels), WIDTH)
        self.out_channels = WIDTH

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        maps: OrderedDict[str, Tensor] = self.join(OrderedDict((str(k), m) for k, m in enumerate(self.body(image))))
        return maps


def mask_rcnn(backbone: str, pretrained: bool) -> MaskRCNN:
    """Mask R-CNN for one class of small objects; pictures keep their size."""
    pyramid = Pyramid(backbone, pretrained)
    levels = ["0", "1", "2", "3"]
    preprocessing = pyramid.body.preprocessing
    net = MaskRCNN(
        pyramid, rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,)), ((0.67, 1.0, 1.5),) * 4),
        box_roi_pool=MultiScaleRoIAlign(levels, 7, 2), mask_roi_pool=MultiScaleRoIAlign(levels, 14, 2),
        box_head=TwoMLPHead(WIDTH * 49, 256), box_predictor=FastRCNNPredictor(256, 2),
        mask_head=MaskRCNNHeads(WIDTH, (WIDTH, WIDTH), 1), mask_predictor=MaskRCNNPredictor(WIDTH, WIDTH, 2),
        num_classes=None, image_mean=list(preprocessing.mean), image_std=list(preprocessing.std),
        rpn_pre_nms_top_n_train=1000, rpn_post_nms_top_n_train=500,
        rpn_post_nms_top_n_test=1000, box_batch_size_per_image=128, box_detections_per_img=CAP,
    )  # fmt: skip
    net.transform.resize = lambda image, target=None: (image, target)  # pictures keep their size
    # torchvision scales this layer by 1 / classes, which with two classes starts at a mask loss near 40.
    nn.init.normal_(net.roi_heads.mask_predictor.mask_fcn_logits.weight, 0, 1e-3)
    return net


def example(sample: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """A sample as Mask R-CNN takes it."""
    layers = sample["layers"].as_subclass(Tensor)
    count = len(sample["labels"])
    keep = (areas(layers, count) >= LEAST_PIXELS) & ~sample["crowd"]
    masks = unpack(layers, count)[keep]
    labels = torch.ones(len(masks), dtype=torch.int64)
    return unit(sample), {"boxes": tight_boxes(masks), "labels": labels, "masks": masks.to(torch.uint8)}


def unit(sample: Any) -> Tensor:
    image = sample["image"].as_subclass(Tensor)
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def train(net: MaskRCNN, samples: Any, recipe: Any, minutes: float, steps: int) -> int:
    """Train for some minutes, or steps if above 0, at a rate that falls from two fifths on. Returns the steps."""
    made = SeededTransform(samples, recipe.augment.build({}, None), SEED)
    optimiser = torch.optim.AdamW(net.parameters(), recipe.optim.lr, weight_decay=recipe.optim.weight_decay)
    random, started, step = np.random.default_rng(SEED), time.perf_counter(), 0
    net.train()
    while True:
        done = step / steps if steps else (time.perf_counter() - started) / 60 / minutes
        if done >= 1:
            return step
        rate = recipe.optim.lr * min(1.0, (step + 1) / 50) * max(0.02, 1 - max(0.0, done - 0.4) / 0.6)
        for group in optimiser.param_groups:
            group["lr"] = rate
        chosen = random.integers(len(samples), size=recipe.batch_size)
        images, targets = zip(*(example(made[step, int(k)]) for k in chosen), strict=True)
        loss = sum(net(list(images), list(targets)).values())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), recipe.optim.clip)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step}, loss {float(loss):.3f}", flush=True)


def found_by(net: MaskRCNN) -> Finder:
    """What a trained network finds in a sample."""
    net.eval()

    @torch.inference_mode()
    def find(sample: Any) -> Instances:
        (out,) = net([unit(sample)])
        masks = (out["masks"][:, 0] > 0.5).numpy()
        encoded = [encode_mask(mask, mask.shape) for mask in masks]
        return instances_of(masks.shape[1:], encoded, [0] * len(masks), out["scores"].numpy())

    return find


def score(samples: Any, indices: Iterator[int] | range, find: Finder, threshold: float | None) -> Any:
    metrics = InstanceMetrics(1, threshold)
    for index in indices:
        metrics.update(truth_of(samples[index]), find(samples[index]))
    return metrics.compute()


def row(name: str, scores: Any, ranked: bool, seconds: float) -> dict[str, Any]:
    values = [getattr(scores, key) for key in KEYS]
    cells = ["-" if not ranked and column.startswith("AP") else v for column, v in zip(COLUMNS, values, strict=True)]
    print(name, *(f"{c} {v if isinstance(v, str) else f'{v:.3f}'}" for c, v in zip(COLUMNS, cells, strict=True)))
    cells = [v if isinstance(v, str) else round(v, 4) for v in cells]
    return {"name": name, **dict(zip(COLUMNS, cells, strict=True)), "minutes": f"{seconds / 60:.1f}" if ranked else "-"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--pictures", type=int, help="the first N of the split (default: all)")
    parser.add_argument("--mask-rcnn", action="store_true", help="train torchvision's Mask R-CNN, too")
    parser.add_argument("--minutes", type=float, default=45.0, help="of its training")
    parser.add_argument("--steps", type=int, default=0, help="of its training, instead of minutes")
    parser.add_argument("--chosen", type=int, default=60, help="training pictures that choose its threshold")
    parser.add_argument("--backbone", default="", help="another backbone than the recipe's, without ImageNet weights")
    parser.add_argument("--run", action="append", default=[], help="a trained run, a model folder or an exported file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    source = recognise(options.path, "instances")
    samples = source.open(options.split, "instances")
    indices = range(min(len(samples), options.pictures or len(samples)))
    rows = []

    def add(name: str, find: Finder, threshold: float | None, ranked: bool = True, before: float = 0.0) -> Any:
        started = time.perf_counter()
        scores = score(samples, indices, find, threshold)
        rows.append(row(name, scores, ranked, before + time.perf_counter() - started))
        return scores

    scores = add("perfect foreground, connected parts", parts, 0.5, ranked=False)
    add("perfect foreground, split by watershed", split_parts, 0.5, ranked=False)
    if options.mask_rcnn:
        recipe = resolve("mnc_nuclei")
        net = mask_rcnn(options.backbone or recipe.config.backbone, not options.backbone)
        training = source.open("train", "instances")
        started = time.perf_counter()
        steps = train(net, training, recipe, options.minutes, options.steps)
        chosen = range(0, len(training), max(1, len(training) // options.chosen))
        threshold = score(training, chosen, found_by(net), None).score_threshold
        add(f"torchvision {torchvision.__version__}'s Mask R-CNN, {steps} steps", found_by(net), threshold,
            before=time.perf_counter() - started)  # fmt: skip
    for path in options.run:
        predictor = Predictor.open(path, device="cpu")
        chosen_options = predictor.family.make_options(None)
        threshold = float(predictor.runner.score_threshold)  # type: ignore[arg-type]

        def find(sample: Any, predictor: Predictor = predictor, chosen_options: Any = chosen_options) -> Instances:
            (prediction,) = predictor.answer([sample], chosen_options)
            found: Instances = prediction.objects
            return found

        add(Path(path).name, find, threshold)
    if options.json is not None:
        about = f"{len(indices)} pictures, {scores.objects} objects, {scores.touching} of them touch another"
        title = f"Nuclei ({options.split})"
        report = {
            "machine": machine(), "benchmark": "nuclei_objects",
            "settings": {"detections": CAP, "seed": SEED, "threads": options.threads},
            "tables": [{"title": title, "about": about, "rows": rows}],
        }  # fmt: skip
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
