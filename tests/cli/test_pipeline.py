"""Predicting with several threads: the same bytes as with one, in the same order, with bounded memory."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

import foveate
from foveate.cli import fastest, main
from foveate.cli.inputs import Job
from foveate.cli.pipeline import AHEAD, FEW, MOST, Pipeline, Results, workers_for
from foveate.errors import DataError, OutputError
from foveate.export import export_onnx
from foveate.records import ClassTable
from foveate.remote import RemoteFile
from foveate.store import save_model
from foveate.tasks.inputs import IMAGE


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On another number of threads torch may add in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Numbers:
    """A family whose input is a number, and whose answer is its square; 13 is unreadable, and 100 or more is large."""

    predict_size = 1
    name = nouns = "number"

    def __init__(self, together: int = 1) -> None:
        self.predict_size = together
        self.inputs = [
            SimpleNamespace(name="number", is_small=lambda given: int(given) < 100, close=lambda opened: None)
        ]
        self.batches: list[list[int]] = []
        self.open = self.running = 0
        self.most = self.most_running = 0
        self.running_at_large: list[int] = []
        self.lock = threading.Lock()
        self.before_answer: Callable[[list[int]], None] = lambda numbers: None

    def gallery(self, model: str) -> Any:
        return SimpleNamespace(
            add=lambda name, prediction, sample: self.added.append(prediction), write=lambda out: None
        )

    added: list[int]

    def sample(self, inputs: dict[str, str], title: str, index: int) -> dict[str, Any]:
        given = inputs["number"]
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
        if given == "13":
            with self.lock:
                self.open -= 1
            raise DataError("13: cannot be\nread")
        return {"number": int(given), "name": title}

    def note(self, sample: Any) -> str:
        return ""

    def answer(self, samples: list[Any], options: Any, progress: Any = None) -> list[int]:
        numbers = [s["number"] for s in samples]
        with self.lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.batches.append(numbers)
            if numbers[0] >= 100:
                self.running_at_large.append(self.running)
        self.before_answer(numbers)
        with self.lock:
            self.running -= 1
        if 7 in numbers and options == "no sevens":
            raise DataError("7 has no square")
        return [number**2 for number in numbers]

    def files(self, prediction: int, sample: Any) -> dict[str, Any]:
        return {"text": (".txt", lambda path: path.write_text(str(prediction)))}

    def record(self, prediction: int) -> dict[str, Any]:
        with self.lock:
            self.open -= 1
        return {"square": prediction}


def numbered(numbers: list[int], out: Path) -> list[Job]:
    return [Job({"number": str(n)}, str(n), out, Path(f"{i:03}_{n}")) for i, n in enumerate(numbers)]


def predicted(family: Numbers, jobs: list[Job], workers: int, options: Any = None, annotated: Any = None) -> list[str]:
    """Run a pipeline; returns what it reported, in order."""
    family.added = []
    predictor: Any = SimpleNamespace(
        family=family, name="numbers", device=torch.device("cpu"), sample_of=family.sample, note=family.note,
        answer=family.answer,
    )  # fmt: skip
    told: list[str] = []
    results = Results(predictor, annotated)
    Pipeline(predictor, options, results, lambda done, name: told.append(name), workers).run(jobs)
    return told


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("together", [1, 4])
def test_order_is_kept_whoever_is_first(tmp_path: Path, workers: int, together: int) -> None:
    family = Numbers(together)
    family.before_answer = lambda numbers: time.sleep(0.03 if numbers[0] % 5 == 0 else 0)
    numbers = [5, 1, 13, 7, 10, 2, 3, 15, 4]
    jobs = numbered(numbers, tmp_path)
    told = predicted(family, jobs, workers, "no sevens")
    good = [n for n in numbers if n not in (13, 7)]
    assert family.added == [n**2 for n in good]
    assert [t.strip() for t in told] == [
        {13: "13: cannot be read", 7: "7 has no square"}.get(n, str(n)) for n in numbers
    ]
    assert [(job.title, job.error) for job in jobs if job.error] == [
        ("13", "13: cannot be read"),
        ("7", "7 has no square"),
    ]
    for job in jobs:
        if not job.error:
            assert (tmp_path / job.record["text"]).read_text() == str(job.record["square"]) == str(int(job.title) ** 2)
    assert len(list(tmp_path.iterdir())) == len(good)


def test_labels_that_a_format_cannot_hold_fail_their_input_alone(tmp_path: Path) -> None:
    class Annotated:
        def add(self, job: Job, sample: Any, prediction: int) -> None:
            if prediction == 49:
                raise DataError("7: 255 objects; Pascal VOC's masks number 254 at most")

    family, jobs = Numbers(), numbered([5, 7, 2], tmp_path)
    told = predicted(family, jobs, 2, annotated=Annotated())
    assert [one.strip() for one in told] == ["5", "7: 255 objects; Pascal VOC's masks number 254 at most", "2"]
    assert family.added == [25, 4] and [job.error != "" for job in jobs] == [False, True, False]


def test_threads_do_answer_at_a_time(tmp_path: Path) -> None:
    family, barrier = Numbers(), threading.Barrier(3, timeout=20)
    family.before_answer = lambda numbers: barrier.wait() if numbers[0] < 3 else None  # three must be there
    predicted(family, numbered([0, 1, 2, 3, 4], tmp_path), 3)
    assert family.most_running == 3


def test_a_bounded_number_of_inputs_is_open(tmp_path: Path) -> None:
    family = Numbers()
    family.before_answer = lambda numbers: time.sleep(0.05 if numbers[0] == 0 else 0)  # all others wait for the first
    predicted(family, numbered(list(range(12)) + list(range(14, 40)), tmp_path), 3)
    assert family.most <= 3 + AHEAD


def test_a_large_input_comes_alone_and_in_its_turn(tmp_path: Path) -> None:
    family = Numbers()
    family.before_answer = lambda numbers: time.sleep(0.02 if numbers[0] < 100 else 0)
    numbers = [1, 2, 100, 3, 4, 101, 102, 5]
    told = predicted(family, numbered(numbers, tmp_path), 3)
    assert told == [str(n) for n in numbers]
    assert family.added == [n**2 for n in numbers]
    assert family.running_at_large == [1, 1, 1]


def test_a_large_input_that_fails_is_named(tmp_path: Path) -> None:
    class Unreadable(Numbers):
        def sample(self, inputs: dict[str, str], title: str, index: int) -> dict[str, Any]:
            if title == "100":
                raise DataError("100 is torn")
            return super().sample(inputs, title, index)

    jobs = numbered([1, 100, 2], tmp_path)
    assert predicted(Unreadable(), jobs, 2) == ["1", "\n100 is torn", "2"]
    assert [job.error for job in jobs] == ["", "100 is torn", ""]


@pytest.mark.parametrize("failure", [OutputError("the disk is full"), KeyboardInterrupt()])
def test_any_other_error_stops_all(tmp_path: Path, failure: BaseException) -> None:
    class Failing(Numbers):
        def files(self, prediction: int, sample: Any) -> dict[str, Any]:
            if prediction == 9:
                raise failure
            return super().files(prediction, sample)

    family = Failing()
    with pytest.raises(type(failure)):
        predicted(family, numbered(list(range(12)), tmp_path), 2)
    assert family.added == [0, 1, 4]  # those before it are noted
    assert len(family.batches) <= 3 + 2 + AHEAD  # and few after it were begun
    assert all(path.suffix == ".txt" for path in tmp_path.iterdir())  # no file is half written
    assert torch.get_num_threads() == 1


def test_numbers_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads, expected in ((1, 2), (2, 2), (6, 6), (64, MOST)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert workers_for(FEW + 1, 1) == expected
        assert workers_for(FEW, 1) == workers_for(FEW * 8, 8) == 1


def small_run(folder: Path) -> tuple[Path, Path]:
    """A model folder, and a folder of nine pictures of which one cannot be read."""
    torch.manual_seed(0)
    model = foveate.create("fcn32s", num_classes=3, backbone="test_efficientnet", head_channels=8, head_kernel=1)
    torch.nn.init.normal_(model.score.weight)
    classes = ClassTable(("sky", "grass", "cow"), ((10, 20, 30), (40, 50, 60), (70, 80, 90)))
    save_model(folder / "run" / "model", model, "fcn32s", {"classes": classes}, "semantic")
    (folder / "in").mkdir()
    for seed in range(9):
        pixels = np.random.default_rng(seed).integers(0, 256, (40 + seed, 64 - seed, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "in" / f"{seed}.png")
    (folder / "in" / "4.png").write_bytes(b"no picture")
    return folder / "run", folder / "in"


def test_files_are_those_of_one_thread_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, pictures = small_run(tmp_path)
    found = []
    for workers in (1, 4):
        monkeypatch.setattr("foveate.cli.predict.workers_for", lambda inputs, together, workers=workers: workers)
        out = tmp_path / f"out{workers}"
        assert main(["predict", str(run), str(pictures), "--out", str(out), "--device", "cpu"]) == 1
        summary = json.loads((out / "predictions.json").read_text())
        for record in summary["pictures"]:
            record.pop("seconds")
        files = {p.name: p.read_bytes() for p in out.iterdir() if p.name != "predictions.json"}
        found.append((summary["pictures"], summary["failed"], files))
    assert found[0] == found[1]
    assert len(found[0][2]) == 16  # a mask and an overlay each


def test_the_first_inputs_that_can_be_read_are_compared(tmp_path: Path) -> None:
    """Of files, of URLs, and of addresses with nothing at them."""
    memory = fsspec.filesystem("memory")
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    memory.pipe_file("/compared/good.png", (tmp_path / "good.png").read_bytes())
    given = [tmp_path / "bad.png", RemoteFile("memory://compared/good.png"), tmp_path / "good.png"]
    jobs = [Job({"image": one}, str(one), tmp_path, Path("a")) for one in given]
    jobs.insert(1, Job({"image": "https://a/b.png"}, "https://a/b.png", tmp_path, Path("b"), missing="not found"))
    predictor: Any = SimpleNamespace(
        family=SimpleNamespace(inputs=(IMAGE,)), sample_of=lambda given, title, number: (title, number)
    )
    found = fastest._first_samples(predictor, jobs)
    assert found == [("memory://compared/good.png", 2), (str(tmp_path / "good.png"), 3)]
    memory.rm("/compared", recursive=True)


def test_many_inputs_are_predicted_by_the_exported_file_if_its_results_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    run, pictures = small_run(tmp_path)
    monkeypatch.setattr(fastest, "MANY", 100)
    assert main(["predict", str(run), str(pictures), "--out", str(tmp_path / "torch"), "--device", "cpu"]) == 1
    assert " in ONNX Runtime" not in capsys.readouterr().out
    monkeypatch.setattr(fastest, "MANY", 5)
    times = itertools.cycle([0.0, 2.0, 2.0, 3.0])  # whatever this machine does meanwhile: 2 s in PyTorch, 1 s exported
    monkeypatch.setattr(fastest, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert main(["predict", str(run), str(pictures), "--out", str(tmp_path / "onnx"), "--device", "cpu"]) == 1
    assert " in ONNX Runtime -> " in capsys.readouterr().out
    summary = json.loads((tmp_path / "onnx" / "predictions.json").read_text())
    assert (summary["model"]["runtime"], summary["model"]["path"]) == ("onnxruntime", str(run))
    for path in (tmp_path / "torch").glob("*_overlay.jpg"):
        assert path.read_bytes() == (tmp_path / "onnx" / path.name).read_bytes()

    def other(predictor: Any, path: Path) -> None:
        with torch.no_grad():
            predictor.runner.score.bias[0] += 100
            export_onnx(predictor, path)
            predictor.runner.score.bias[0] -= 100

    monkeypatch.setattr("foveate.export.export_onnx", other)  # whose masks are of one class
    assert main(["predict", str(run), str(pictures), "--out", str(tmp_path / "other"), "--device", "cpu"]) == 1
    assert " in ONNX Runtime" not in capsys.readouterr().out
    for path in (tmp_path / "torch").glob("*_overlay.jpg"):
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
