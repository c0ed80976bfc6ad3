"""Time and memory against size: what should grow in proportion, or stay flat, does.

    python benchmarks/growth.py [--kinds A,B] [--doublings N] [--repeats N] [--threads N] [--json FILE] [--charts DIR]

Each kind doubles one size, from a small first one:

    images    images in one evaluation of a segmentation model
    side      side of an image that is predicted; its area grows fourfold, and above 1.5 megapixels it is tiled
    words     words of a sentence that is translated
    objects   objects in an image whose instances are scored
    files     images in one call of `foveate predict`, from files to masks and overlays

Every size is measured in a process of its own, so that its peak of memory is its own. Time is the median of the repeats.
The exponent of growth is the slope of log time over log size, by least squares, between the three largest sizes: 1 is
in proportion. Networks are small and have random weights: what grows is the code around them.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import SEED, Report, Target, arguments, publish

import numpy as np  # isort: skip
import torch

FIRST = {"images": 25, "side": 256, "words": 8, "objects": 25, "files": 10}
# The largest exponent of time: 1 is in proportion; time goes with the square of a side, an image's area.
EXPONENT = {"images": 1.15, "side": 2.3, "words": 1.3, "objects": 1.3, "files": 1.15}
FLAT = {"images": 60.0, "files": 60.0}  # MiB that memory may grow from the smallest to the largest size
Work = Callable[[], object]


def segmenter() -> Any:
    """A small FCN behind a Predictor."""
    import foveate
    from foveate.predictor import Predictor
    from foveate.records import ClassTable
    from foveate.tasks import create_task

    torch.manual_seed(SEED)
    model = foveate.create("fcn32s", num_classes=8, backbone="test_efficientnet", head_channels=8, head_kernel=1).eval()
    classes = ClassTable(tuple("abcdefgh"))
    task = create_task("semantic", {"classes": classes}, model.preprocessing)
    return Predictor(task, model, "fcn32s", Path(), torch.device("cpu"), "torch")


class Scenes:
    """Images of noise with labels, made when they are asked for."""

    def __init__(self, count: int, side: int = 96) -> None:
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = np.random.default_rng(index)
        image = torch.from_numpy(generator.integers(0, 256, (3, self.side, self.side), dtype=np.uint8))
        mask = torch.from_numpy(generator.integers(0, 8, (self.side, self.side), dtype=np.uint8))
        return {"image": image, "mask": mask, "name": str(index)}


def images(size: int, folder: Path) -> Work:
    predictor, scenes = segmenter(), Scenes(size)

    def work() -> object:
        metrics = predictor.family.metrics(scenes)
        with torch.inference_mode():
            for _ in predictor.family.score(predictor.runner, scenes, range(size), metrics):
                pass
        return metrics.compute()

    return work


def side(size: int, folder: Path) -> Work:
    predictor = segmenter()
    image = np.random.default_rng(SEED).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return lambda: predictor.predict(image)


def words(size: int, folder: Path) -> Work:
    import foveate
    from foveate.predictor import Predictor
    from foveate.tasks import create_task
    from foveate.text import SPECIALS, Vocabulary

    torch.manual_seed(SEED)
    table = Vocabulary((*SPECIALS, *(f"w{i}" for i in range(50))))
    model = foveate.create(
        "rnnsearch", source_vocabulary=len(table), target_vocabulary=len(table), embed=32, hidden=64, maxout=32
    )
    task = create_task("translation", {"source": table, "target": table}, None)
    predictor = Predictor(task, model.eval(), "rnnsearch", Path(), torch.device("cpu"), "torch")
    text = " ".join(f"w{i % 50}" for i in range(size))
    return lambda: predictor.predict(text)


def objects(size: int, folder: Path) -> Work:
    """Discs in an image of 640x640; half of those found lie a little beside the true ones."""
    from faster_coco_eval.core import mask as mask_api

    from foveate.metrics.instances import InstanceMetrics
    from foveate.records.instances import Instances

    generator = np.random.default_rng(SEED)
    centres = generator.uniform(16, 624, (size, 2))
    rows, columns = np.mgrid[:640, :640]

    def scene(moved: np.ndarray, scores: np.ndarray) -> Instances:
        masks, boxes = [], []
        for y, x in moved:
            disc = (rows - y) ** 2 + (columns - x) ** 2 < 12**2
            masks.append(mask_api.encode(np.asfortranarray(disc.astype(np.uint8))))
            boxes.append((x - 12, y - 12, x + 12, y + 12))
        labels = np.arange(size) % 3
        return Instances(
            (640, 640), np.array(boxes, np.float32), tuple(masks), labels, scores, np.zeros(size, dtype=bool)
        )

    truth = scene(centres, np.ones(size, np.float32))
    beside = centres + 8 * (np.arange(size) % 2)[:, None]
    found = scene(beside, generator.uniform(0.1, 1, size).astype(np.float32))

    def work() -> object:
        metrics = InstanceMetrics(3)
        metrics.update(truth, found)
        return metrics.compute()

    return work


def files(size: int, folder: Path) -> Work:
    from PIL import Image

    from foveate.cli import predict
    from foveate.store import save_model

    predictor = segmenter()
    save_model(folder / "run" / "model", predictor.runner, "fcn32s", predictor.family.tables, "semantic")
    (folder / "in").mkdir()
    for index in range(size):
        image = Scenes(size, 160)[index]["image"].permute(1, 2, 0).numpy()
        Image.fromarray(image).save(folder / "in" / f"{index:05d}.png")

    def work() -> object:
        with tempfile.TemporaryDirectory() as out:
            words = [str(folder / "run"), str(folder / "in"), "--out", out, "--device", "cpu"]
            with contextlib.redirect_stdout(io.StringIO()):
                code = predict.run(words)
            if code:
                raise SystemExit("predict failed")
        return None

    return work


KINDS: dict[str, Callable[[int, Path], Work]] = {
    "images": images, "side": side, "words": words, "objects": objects, "files": files,
}  # fmt: skip


def measure(kind: str, size: int, repeats: int) -> dict[str, float]:
    """One size, in this process: seconds (median, after one call that is not timed), and the peak of memory in MiB."""
    from foveate.engine.run import peak_memory

    with tempfile.TemporaryDirectory() as folder:
        work = KINDS[kind](size, Path(folder))
        work()
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return {"size": size, "seconds": statistics.median(times), "memory": peak_memory() or 0}


def in_a_process(kind: str, size: int, repeats: int, threads: int) -> dict[str, float]:
    """The same in a process of its own."""
    words = [sys.executable, __file__, "--one", f"{kind}:{size}", "--repeats", str(repeats), "--threads", str(threads)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{kind} of {size}: {done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def exponent(sizes: list[float], values: list[float]) -> float:
    """The slope of log value over log size, by least squares."""
    return float(np.polyfit([math.log(x) for x in sizes], [math.log(y) for y in values], 1)[0])


def draw(rows: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """A chart of each kind: time and memory over size, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for kind, measured in rows.items():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained")
        sizes = [one["size"] for one in measured]
        for axes, key, unit in ((left, "seconds", "s"), (right, "memory", "MiB")):
            axes.plot(sizes, [one[key] for one in measured], marker="o", color="#1c6fb3")
            axes.set(xlabel=kind, ylabel=f"{key}, {unit}", xscale="log", yscale="log", xticks=sizes)
            axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
            axes.minorticks_off()
        figure.savefig(folder / f"growth_{kind}.svg", metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    parser = arguments(__doc__ or "", rounds=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--doublings", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--charts", type=Path)
    parser.add_argument("--one", help="KIND:SIZE, to measure in this process and print")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        kind, _, size = options.one.partition(":")
        print(json.dumps(measure(kind, int(size), options.repeats)))
        return
    report = Report("growth", {"doublings": options.doublings, "repeats": options.repeats})
    rows: dict[str, list[dict[str, float]]] = {}
    for kind in options.kinds.split(","):
        if kind not in KINDS:
            raise SystemExit(f"unknown kind '{kind}'; known: {', '.join(KINDS)}")
        sizes = [FIRST[kind] * 2**step for step in range(options.doublings + 1)]
        rows[kind] = measured = [in_a_process(kind, size, options.repeats, options.threads) for size in sizes]
        last = measured[-3:]
        slope = exponent([one["size"] for one in last], [one["seconds"] for one in last])
        times = ", ".join(f"{one['size']:g}: {one['seconds']:.3g} s, {one['memory']:g} MiB" for one in measured)
        report.notes.append(f"{kind}: {times}; time grows with the power {slope:.2f} of the size")
        limit = EXPONENT[kind]
        report.targets.append(Target(f"{kind}: the exponent of time is at most {limit}", slope, slope <= limit))
        if kind in FLAT:
            more = measured[-1]["memory"] - measured[0]["memory"]
            report.targets.append(
                Target(f"{kind}: memory grows by at most {FLAT[kind]:g} MiB", more, more <= FLAT[kind])
            )
    if options.charts:
        draw(rows, options.charts)
    publish(report, options.json)


if __name__ == "__main__":
    main()
