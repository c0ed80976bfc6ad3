"""The cost of a Ray cluster: images a second for each core, by plain processes and by the processes of a cluster.

    python benchmarks/ray_overhead.py [--rounds N] [--pictures N] [--workers 1,2] [--json FILE]

The same JPEG files of 480x360 are labelled by FCN-8s with one thread a process: by 1 and 2 plain processes
(`foveate predict`, each with its share of the files) and by a cluster of as many (`--ray`), both confined to as many
cores, driver and threads that read and write included. Starting Ray, starting
processes and opening the model are in nobody's time: a plain process is timed from its first file to its last, and a
cluster from the end of its first chunk to the end of its last. They are in a note, since they are paid once a call.
The last note is the number of processes that one driver can feed, by the model of docs/many_machines.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish
from fcn_latency import HEIGHT, WIDTH, Answer, export_shipped, fcn, settle

import torch  # isort: skip
from PIL import Image

from foveate.cli import by_ray
from foveate.cli.inputs import plan
from foveate.cli.places import Place
from foveate.datasets.pasture import Pasture
from foveate.predictor import Predictor
from foveate.tasks import find_task

MOST = 1.10  # of the time of plain processes


def write_scenes(folder: Path, count: int) -> None:
    folder.mkdir()
    scenes = Pasture(height=HEIGHT, width=WIDTH, test=count).open("test")
    for index in range(count):
        picture = Image.fromarray(scenes[index]["image"].permute(1, 2, 0).numpy())
        picture.save(folder / f"scene_{index:04d}.jpg", quality=95)


def plain(model: Path, pictures: Path, out: Path, count: int) -> Contender:
    """`count` processes at once, each with its share of the files; images a second for each process."""
    files = sorted(pictures.iterdir())

    def run() -> float:
        command = [sys.executable, "-m", "foveate", "predict", str(model), "--device", "cpu", "--out"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [*command, str(out / str(i)), *map(str, files[i::count])], env=environment, stdout=subprocess.DEVNULL
            )
            for i in range(count)
        ]
        assert [process.wait() for process in started] == [0] * count
        seconds = [json.loads((out / str(i) / "predictions.json").read_text())["seconds"] for i in range(count)]
        return len(files) / max(seconds) / count

    return run


class OnCluster:
    """A cluster of `count` processes, started for each round. starts: seconds until its first chunk was done, less the
    time of a chunk. busy: seconds of this process for each chunk."""

    def __init__(self, model: Path, pictures: Path, out: Path, count: int) -> None:
        self.model, self.pictures, self.out, self.count = model, pictures, out, count
        self.starts: list[float] = []
        self.busy: list[float] = []

    def __call__(self) -> float:
        import ray

        shutil.rmtree(self.out, ignore_errors=True)
        began, own = time.perf_counter(), time.process_time()
        ray.init(num_cpus=self.count, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        jobs = plan([str(self.pictures)], {}, self.out, find_task("semantic"))
        args = SimpleNamespace(
            run=str(self.model), device="cpu", max_pixels=None, ray="local", runtime=None, precision="float32"
        )
        times: list[float] = []
        predictor = Predictor.open(self.model, "cpu")
        with contextlib.redirect_stderr(io.StringIO()):
            by_ray.predict(
                jobs, predictor, args, {}, Place(str(self.out)), lambda done, name: times.append(time.perf_counter())
            )
        ray.shutdown()
        assert len(times) == len(jobs) and not any(job.error for job in jobs)
        # All inputs of a chunk are reported at once: what was done after the first report is what was timed.
        first = sum(t - times[0] < 1e-2 for t in times)
        rate = (len(times) - first) / (times[-1] - times[0]) / self.count
        self.starts.append(times[0] - began - first / rate)
        self.busy.append((time.process_time() - own) / max(1, len(jobs) // first))
        return rate


def main() -> None:
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--pictures", type=int, default=256, help="files a round (default 256)")
    parser.add_argument("--workers", default="1,2", help="numbers of processes (default 1,2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    counts = sorted(int(word) for word in options.workers.split(","))
    settings = {
        "rounds": options.rounds,
        "pictures": options.pictures,
        "size": f"{WIDTH}x{HEIGHT}",
        "processes": counts,
    }
    report = Report("ray_overhead", settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scenes(folder / "pictures", options.pictures)
        network = Answer(fcn(8), lambda output: output.logits)
        settle(network, (HEIGHT, WIDTH))
        export_shipped(network, folder)  # leaves the model folder beside it
        model, pictures = folder / "model", folder / "pictures"
        clusters = {count: OnCluster(model, pictures, folder / f"ray{count}", count) for count in counts}
        cores = sorted(os.sched_getaffinity(0))
        for count in reversed(counts):  # threads that Ray leaves in this process keep the cores that they began with
            os.sched_setaffinity(0, cores[:count])
            figures = interleave(
                {"plain": plain(model, pictures, folder / f"plain{count}", count), "Ray": clusters[count]},
                options.rounds,
            )
            title = f"{count} process{'es' * (count > 1)}, one thread and one core each"
            table = compare(title, "images/s for each process", figures, "plain", higher_is_better=True)
            report.tables.insert(0, table)
            overhead = 1 / table.row("Ray").relative
            text = f"time for each image on a cluster of {count}, of plain processes (at most {MOST:.2f})"
            report.targets.insert(0, Target(text, overhead, overhead <= MOST))
        rates = [table.row("Ray").median * count for table, count in zip(report.tables, counts, strict=True)]
        if len(counts) > 1:
            report.notes.append(
                f"growth from {counts[0]} to {counts[-1]} processes of a cluster: {rates[-1] / rates[0]:.2f} times the "
                "images a second"
            )
        cluster = clusters[counts[-1]]
        start, busy = sorted(cluster.starts)[len(cluster.starts) // 2], sorted(cluster.busy)[len(cluster.busy) // 2]
        each = counts[-1] / rates[-1]
        report.notes.append(f"starting Ray, its processes and the model takes {start:.1f} s, once a call")
        report.notes.append(
            f"the driver is busy for {1000 * busy:.0f} ms of each chunk, starting included, and an image takes "
            f"{1000 * each:.0f} ms: with chunks of {by_ray.CHUNK} it feeds up to {by_ray.CHUNK * each / busy:.0f} "
            "processes, by the model on paper"
        )
    publish(report, options.json)


if __name__ == "__main__":
    main()
