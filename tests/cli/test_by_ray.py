"""`--ray`: on a local cluster of two nodes, and the parts of it that need no cluster."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate import cluster, pictures
from foveate.cli import by_ray, main
from foveate.cli.inputs import Job
from foveate.cli.places import CLAIMS, PARTS, Place
from foveate.datasets.pasture import CLASSES, Pasture
from foveate.engine import evaluate_run
from foveate.errors import ConfigError, DataError, FoveateError
from foveate.store import save_model

OLD_RUNS = Path(__file__).parents[1] / "data" / "version_0_1_0"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    sizes = {"num_classes": len(CLASSES), "backbone": "test_efficientnet", "head_channels": 8, "head_kernel": 1}
    model = foveate.create("fcn32s", **sizes)
    torch.nn.init.normal_(model.score.weight)
    folder = tmp_path_factory.mktemp("runs") / "first"
    save_model(folder / "model", model, "fcn32s", {"classes": CLASSES}, "semantic")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i:02d}.png")
    (root / "07.png").write_bytes(b"no picture")
    return root


def records(out: Path) -> list[dict[str, Any]]:
    summary = json.loads((out / "predictions.json").read_text())
    found = sorted(summary["pictures"] + summary["failed"], key=lambda record: record["file"])
    return [{key: value for key, value in record.items() if key != "seconds"} for record in found]


# On a cluster


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes with one core each, on this machine."""
    pytest.importorskip("ray.data")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    yield str(nodes.address)
    nodes.shutdown()


def processes() -> list[int]:
    """The processes of Ray's that hold a worker."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"ray::Map"):
                found.append(int(folder.name))
    return found


def parts_in(out: Path) -> list[Path]:
    """Finished parts: neither the list of names nor a file that is being written."""
    return [p for p in (out / PARTS).glob("*.json") if p.name != Path(CLAIMS).name and p.name[0] != "."]


def test_a_cluster_predicts_what_one_process_does_though_a_process_is_killed(
    run: Path, photos: Path, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(run), str(photos), "--out", str(tmp_path / "one"), "--device", "cpu"]) == 1
    capsys.readouterr()
    out, stopped = tmp_path / "out", tmp_path / "stopped"
    killed: list[int] = []

    def kill_one() -> None:
        """Once the first part is written, keep what is there as a stopped call leaves it, and kill a process."""
        while not parts_in(out):
            time.sleep(0.05)
        shutil.copytree(out, stopped, ignore=shutil.ignore_patterns("*.unfinished*"))
        for pid in processes()[:1]:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    assert main(["predict", str(run), str(photos), "--out", str(out), "--ray", address]) == 1
    killer.join(60)
    said = capsys.readouterr()
    assert len(killed) == 1
    assert said.err.count("07.png: not a picture in a known format") == 1
    assert "predicted: 23 of 24 pictures" in said.out
    assert records(out) == records(tmp_path / "one")
    files = {path.relative_to(out): path for path in out.rglob("*") if path.is_file()}
    assert set(files) == {p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file()}
    for name, path in files.items():
        assert name.name == "predictions.json" or path.read_bytes() == (tmp_path / "one" / name).read_bytes(), name

    # What the stopped call had done is kept, and the rest is done.
    parts = [json.loads(p.read_text()) for p in parts_in(stopped)]
    kept = [stopped / f"{one['name']}.png" for part in parts for one in part["done"]]
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert 0 < len(kept) < 23
    assert main(["predict", str(run), str(photos), "--out", str(stopped), "--ray", address]) == 1
    assert f"note: {len(kept)} of 24 were done before, and are kept" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert records(stopped) == records(tmp_path / "one")
    assert not (stopped / PARTS).exists()


def test_scores_of_a_cluster_are_those_of_one_process(run: Path, address: str, tmp_path: Path) -> None:
    scenes = Pasture(height=32, width=40, train=70, val=2).open("train")
    for i in range(len(scenes)):
        folder = tmp_path / "data" / ("val" if i >= 2 else "train")
        for name in ("images", "labels"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes[i]["image"].permute(1, 2, 0).numpy()).save(folder / "images" / f"{i}.png")
        Image.fromarray(scenes[i]["mask"].numpy()).save(folder / "labels" / f"{i}.png")
    names = "\n".join(f"{n} {' '.join(map(str, c))}" for n, c in zip(CLASSES.names, CLASSES.colors, strict=True))
    (tmp_path / "data" / "classes.txt").write_text(names)
    scores = []
    for words in ([], ["--ray", address]):
        file = tmp_path / f"{len(words)}.json"
        line = ["evaluate", str(run / "model"), "--data", str(tmp_path / "data"), "--json", str(file), *words]
        assert main(line) == 0
        scores.append({key: value for key, value in json.loads(file.read_text()).items() if key != "seconds"})
    assert scores[0] == scores[1]


# Without one


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are done in this process, in another order than theirs."""

    def spread(worker: Any, arguments: Sequence[Any], cut: Callable[[int], Any], address: str) -> Iterator[Any]:
        chunks = list(enumerate(cut(3)))
        random.Random(0).shuffle(chunks)
        one = worker(*arguments)
        for number, chunk in chunks:
            yield number, one(chunk)

    monkeypatch.setattr(by_ray, "spread", spread)


@pytest.mark.parametrize("family", ["classification", "captioning", "semantic"])
def test_scores_are_added_as_one_process_adds_them(
    family: str, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foveate.tasks import find_task

    monkeypatch.setattr(find_task(family), "batch_size", 2)
    run = shutil.copytree(OLD_RUNS / family / "run", tmp_path / family)
    one, other = evaluate_run(run), evaluate_run(run, score=by_ray.score(str(run), "nowhere"))
    mine, theirs = ({k: v for k, v in e.to_json().items() if k != "seconds"} for e in (one, other))
    assert json.dumps(mine) == json.dumps(theirs)  # to the last digit
    assert one.samples == other.samples and len(one.samples) > 2
    assert one.rows() == other.rows() and ("predicted" in one.rows()[0]) == (family != "semantic")


def test_processes_that_score_have_the_limit_of_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a cluster that runs already do not have its environment."""
    limits = []

    def spread(worker: Any, arguments: Sequence[Any], cut: Callable[[int], Any], address: str) -> Iterator[Any]:
        monkeypatch.delenv("FOVEATE_MAX_PIXELS")
        one = worker(*arguments)
        limits.append(pictures.get_max_pixels())
        yield from ((number, one(chunk)) for number, chunk in enumerate(cut(1)))

    monkeypatch.setattr(by_ray, "spread", spread)
    monkeypatch.setenv("FOVEATE_MAX_PIXELS", "54321")
    run = shutil.copytree(OLD_RUNS / "classification" / "run", tmp_path / "run")
    evaluate_run(run, score=by_ray.score(str(run), "nowhere"))
    assert limits == [54321]


def test_inputs_that_kill_their_process_are_named_and_the_others_go_on(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def spread(worker: Any, arguments: Sequence[Any], cut: Callable[[int], Any], address: str) -> Iterator[Any]:
        one = worker(*arguments)
        for number, jobs in enumerate(cut(1)):
            tried.append(len(jobs))
            yield number, None if any(job.title.endswith("03.png") for job in jobs) else one(jobs)

    monkeypatch.setattr(by_ray, "spread", spread)
    out = tmp_path / "out"
    assert main(["predict", str(run), str(photos), "--out", str(out), "--ray"]) == 1
    failed = {Path(r["file"]).name: r["error"] for r in records(out) if "error" in r}
    assert set(failed) == {"03.png", "07.png"} and len(records(out)) == 24
    assert failed["03.png"].endswith("03.png: kills the process that predicts it; leave it out")
    assert tried == [6, 6, 6, 6, *[1] * 6]
    assert "22 of 24" in capsys.readouterr().out


def test_parts_count_only_for_the_same_model_options_and_inputs(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"x")
    out = tmp_path / "out"

    def job() -> Job:
        return Job({"image": photo}, str(photo), out, Path("a"), {"file": str(photo)})

    place, done = Place(str(out)), job()
    part = {"inputs": by_ray._key(done), "state": by_ray._state(done), "name": "a", "record": {"mask": "a.png"}}
    place.write(out, f"{PARTS}/1.json", json.dumps({"mark": "m", "done": [part]}))
    place.write(out, f"{PARTS}/2.json", "damaged")
    again = job()
    assert by_ray._left([again], place, out, "m") == [] and again.record == {"mask": "a.png"}
    assert len(by_ray._left([job()], place, out, "another")) == 1
    photo.write_bytes(b"xy")
    assert len(by_ray._left([job()], place, out, "m")) == 1

    args = SimpleNamespace(device="auto", max_pixels=None, runtime=None, precision="float32")
    marks = [by_ray._fingerprint({"a": b"1"}, {}, args), by_ray._fingerprint({"a": b"2"}, {}, args),
             by_ray._fingerprint({"a": b"1"}, {"flip": "true"}, args)]  # fmt: skip
    assert len(set(marks)) == 3


def test_another_runs_unfinished_results_are_left(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Place(None).write(tmp_path / "out", CLAIMS, json.dumps({"run": "/other", "names": ["a"]}))
    assert main(["predict", str(run), str(photos / "00.png"), "--out", str(tmp_path / "out")]) == 1
    assert "out holds unfinished results of /other, which would be lost" in capsys.readouterr().err


def test_memory_is_no_place_for_a_cluster(run: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), str(photos / "00.png"), "--out", "memory://out", "--ray"]) == 1
    assert "memory:// is the memory of one process" in capsys.readouterr().err


def test_errors_of_a_worker_are_raised_and_not_tried_again() -> None:
    class Failing:
        def __init__(self) -> None:
            raise ConfigError("no such device")

    class Refusing:
        def __call__(self, chunk: object) -> object:
            raise DataError(f"{chunk}: damaged")

    for worker, text in ((Failing, "no such device"), (Refusing, "5: damaged")):
        row = cluster._Process(worker, ())({"number": 3, "chunk": cluster._Sealed(5)})
        error = row["result"].content
        assert row["number"] == 3 and isinstance(error, FoveateError) and str(error) == text
    assert torch.get_num_threads() == cluster.THREADS


def test_without_ray_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"--ray needs Ray Data, .*: pip install 'foveate\[cluster\]'"):
        list(cluster.spread(dict, (), lambda processes: [1], "local"))  # type: ignore[arg-type]
