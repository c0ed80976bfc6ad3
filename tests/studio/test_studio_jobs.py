"""Child processes of the labelling page: how they end, how they are stopped, and how they are found again."""

import errno
import json
import os
import signal
import stat
import sys
import threading
import time

import numpy as np
import pytest
from labelling import Page, write_pictures

from foveate.errors import ConfigError, DataError, ModelError, OutputError
from foveate.studio import child, jobs
from foveate.studio.jobs import Jobs
from foveate.studio.lock import process_start
from foveate.studio.tiles import tiles_to_json

# A process that stands for a job: it does what its words say.
STAND_IN = """#!{python}
import json, signal, sys, time
job, what = sys.argv[3], sys.argv[4]
def end(state):
    open(job + ".end.json", "w").write(json.dumps({{"state": state, "ended": 1.0, "result": {{"n": 3}}}}))
    sys.exit()
signal.signal(signal.SIGINT, lambda *_: end("stopped"))
print("began", what, flush=True)
if what == "finish":
    end("done")
if what == "break":
    sys.exit("foveate: no such thing")
open(job + ".progress.json", "w").write('{{"done": 1, "total": 4}}')
time.sleep(60)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    file = tmp_path / "python"
    file.write_text(STAND_IN.format(python=sys.executable))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(jobs.sys, "executable", str(file))
    return Jobs(tmp_path / "jobs")


def wait_for(condition, seconds=120.0, pause=0.02):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(pause)


def started(found, what, kind="prelabel"):
    return found.start(kind, "photos-1", [what], f"foveate {what}", {})


def test_a_job_that_ends(stand_in):
    key = started(stand_in, "finish")
    wait_for(lambda: stand_in.get(key)["state"] != "running")
    job = stand_in.get(key)
    assert (job["state"], job["result"], job["command"], job["run"]) == ("done", {"n": 3}, "foveate finish", "photos-1")
    assert stand_in.ids() == [key] and not stand_in.running()


def test_a_job_that_breaks_says_its_last_line(stand_in):
    key = started(stand_in, "break")
    wait_for(lambda: stand_in.get(key)["state"] != "running")
    assert stand_in.get(key)["state"] == "lost"  # it wrote no end, as child.py does
    with pytest.raises(DataError, match="unknown job 'nothing'"):
        stand_in.get("nothing")


def test_a_running_job_is_found_again_and_stopped(stand_in):
    key = started(stand_in, "wait")
    wait_for(lambda: stand_in.get(key)["progress"]["text"] == "1 of 4 pictures")
    with pytest.raises(ConfigError, match=f"prelabel {key} is running; stop it, or wait for its end"):
        started(stand_in, "wait")
    later = Jobs(stand_in.place)  # a studio that was started after the first one was killed
    assert later.running("prelabel") == key and not later.running("train")
    assert later.get(key)["progress"]["share"] == 0.25
    later.stop(key)
    wait_for(lambda: stand_in.get(key)["state"] != "running")
    assert later.get(key)["state"] == "stopped"
    with pytest.raises(ConfigError, match="is stopped; there is nothing to stop"):
        later.stop(key)


def test_a_job_that_is_stopped_while_it_starts_is_stopped(tmp_path):
    """Python itself ends it then, and no end is written."""
    found = Jobs(tmp_path / "jobs")
    key = found.start("export", "photos-1", ["export", "none", "none"], "foveate export", {})
    found.stop(key)
    wait_for(lambda: found.get(key)["state"] != "running")
    assert found.get(key)["state"] == Jobs(found.place).get(key)["state"] == "stopped"


def test_a_job_that_the_system_does_not_start_leaves_nothing(stand_in, monkeypatch):
    def no_memory(*given, **named):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(jobs.subprocess, "Popen", no_memory)
    with pytest.raises(OutputError, match="cannot start the job: Cannot allocate memory; free some memory or space"):
        started(stand_in, "wait")
    assert stand_in.ids() == [] and list(stand_in.place.iterdir()) == []


def test_a_job_that_is_being_started_is_not_lost(stand_in, monkeypatch):
    """Another request may ask for it at any moment."""
    seen = []

    def start_of(pid):
        asking = threading.Thread(target=lambda: seen.append(stand_in.get(stand_in.ids()[0])["state"]))
        asking.start()
        asking.join(0.2)
        askers.append(asking)
        return process_start(pid)

    askers = []
    monkeypatch.setattr(jobs, "process_start", start_of)
    stand_in.stop(started(stand_in, "wait"))
    askers[0].join()
    assert seen in (["running"], ["stopped"])


def test_a_killed_job_is_lost(stand_in):
    key = started(stand_in, "wait")
    wait_for(lambda: stand_in.get(key)["progress"]["share"])
    os.kill(json.loads((stand_in.place / f"{key}.json").read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: stand_in.get(key)["state"] != "running")
    job = stand_in.get(key)
    assert job["state"] == "lost" and job["message"].startswith("its process was killed")


def test_a_job_has_a_session_of_its_own(stand_in):
    key = started(stand_in, "wait")
    pid = json.loads((stand_in.place / f"{key}.json").read_text())["pid"]
    assert os.getsid(pid) == pid != os.getsid(0), "Ctrl-C in the studio's terminal does not reach it"
    stand_in.stop(key)
    wait_for(lambda: stand_in.get(key)["state"] != "running")


# The process itself


@pytest.mark.parametrize(
    ("ending", "state", "message"),
    [
        (KeyboardInterrupt(), "stopped", None),
        (SystemExit(130), "stopped", None),
        (SystemExit(1), "failed", None),
        (SystemExit(0), "done", None),
        (DataError("a.json: malformed;\n repair it"), "failed", "a.json: malformed; repair it"),
        (ValueError("what"), "failed", "unexpected ValueError: what"),
    ],
)
def test_the_end_of_a_process_is_written(tmp_path, monkeypatch, ending, state, message):
    def run(kind, words, job):
        raise ending

    monkeypatch.setattr(child, "_run", run)
    monkeypatch.setattr(child.os, "nice", lambda step: 0)
    handler = signal.getsignal(signal.SIGINT)
    try:
        child.main([str(tmp_path / "train-1"), "cli", "train"])
    finally:
        signal.signal(signal.SIGINT, handler)
    end = json.loads((tmp_path / "train-1.end.json").read_text())
    assert (end["state"], end.get("message")) == (state, message) and end["ended"] > 1.7e9


def test_ctrl_c_reaches_a_process_that_was_started_without_a_terminal(tmp_path, monkeypatch):
    """A shell starts its background processes with SIGINT ignored, and their children inherit that."""

    def run(*words):
        (tmp_path / "began").touch()
        time.sleep(60)

    monkeypatch.setattr(child, "_run", run)
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            child.main([str(tmp_path / "job"), "cli"])
        finally:
            os._exit(0)
    wait_for((tmp_path / "began").exists)
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    assert json.loads((tmp_path / "job.end.json").read_text())["state"] == "stopped"


@pytest.mark.parametrize(
    ("done", "advised"),
    [
        (6, 200),  # five or six to train on: one step an epoch
        (25, 100),  # twenty: two steps
        (90, 30),  # the recipe's own 30 epochs make more
    ],
)
def test_few_pictures_are_trained_on_for_more_epochs(tmp_path, monkeypatch, done, advised):
    page = Page(write_pictures(tmp_path / "photos", done, (8, 12))).with_classes()
    body = {"objects": [{"number": 1, "label": "sky"}], "tiles": tiles_to_json(np.ones((8, 12), np.uint16)),
            "outlines": [], "state": "done"}  # fmt: skip
    for key in page.studio.folder.pictures:
        assert page.put(f"/pictures/{key}/labels", body, '"none"').status_code == 200
    recipes = {one["name"]: one for one in page.get("/recipes").json()["recipes"]}
    assert (recipes["fcn8s"]["epochs"], recipes["fcn8s"]["advised_epochs"]) == (30, advised)
    assert recipes["mnc"]["advised_epochs"] == recipes["mnc"]["epochs"]
    started = []
    jobs = page.studio.training.jobs
    monkeypatch.setattr(jobs, "start", lambda *words: started.append(words[2][1:]) or "1")
    monkeypatch.setattr(jobs, "get", lambda key: {})
    for epochs in (None, 4):
        assert page.post("/jobs", {"kind": "train", "recipe": "fcn8s", "epochs": epochs}).status_code == 202
    own, given = started
    assert own[6:] == ([] if advised == 30 else ["--epochs", str(advised)]) and given[6:] == ["--epochs", "4"]


# A whole training


def test_a_partly_labelled_folder_trains_from_the_page(tmp_path):
    """Five of nine images are done; one epoch of a small model, then its pre-labels, in this process."""
    page = Page(write_pictures(tmp_path / "photos", 9, (64, 96))).with_classes()
    paint = np.repeat([1, 2], 32)[:, None] * np.ones(96, int)
    objects = [{"number": 1, "label": "sky"}, {"number": 2, "label": "road"}]
    body = {"objects": objects, "tiles": tiles_to_json(paint.astype(np.uint16)), "outlines": [], "state": "done"}
    names = sorted(page.studio.folder.pictures.values(), key=lambda p: p.name)
    for picture in names[:5]:
        assert page.put(f"/pictures/{picture.id}/labels", body, '"none"').status_code == 200
    page.put(f"/pictures/{names[5].id}/labels", body | {"state": "draft"}, '"none"')
    fields = {"config.pretrained": "false", "batch_size": 2, "augment.crop": "32,32", "config.head_channels": 8}
    given = {"kind": "train", "recipe": "fcn32s", "epochs": 1, "fields": fields}
    answer = page.post("/jobs", given)
    assert answer.status_code == 202, answer.text
    key = answer.json()["id"]
    again = page.post("/jobs", given)
    assert again.status_code == 409 and again.json()["reason"] == "job-running"
    wait_for(lambda: page.get(f"/jobs/{key}").json()["state"] != "running", 900, 0.5)
    job = page.get(f"/jobs/{key}").json()
    assert job["state"] == "done", (page.studio.folder.own / "jobs" / f"{key}.log").read_text()
    assert job["progress"]["epoch"] == 1 and job["run"] == "photos-1"
    details = page.get("/runs/photos-1").json()
    assert len(details["history"]) == 1 and details["monitor"] == "mean_iou" and details["ready"]
    assert details["worst"][0]["id"] in page.studio.folder.validation(), "a link back to the picture"
    report = page.client.get("/runs/photos-1/report")
    assert report.status_code == 200 and "sandbox" in report.headers["content-security-policy"]

    from foveate.predictor import Predictor
    from foveate.studio.prelabels import _classes_left_out, make_all

    place = page.studio.training.runs.path("photos-1")
    found = make_all(str(page.studio.folder.root), str(place), "photos-1", tmp_path / "progress.json")
    blind = page.studio.folder.validation()
    open_ = [p.id for p in names[5:] if p.id not in blind]
    assert found == {"pictures": len(open_), "failed": 0, "left_out": []}
    listed = page.get("/pictures", params={"order": "doubt"}).json()["pictures"]
    doubts = [one["doubt"] for one in listed if one["doubt"] is not None]
    assert doubts == sorted(doubts, reverse=True) and {p["id"] for p in listed if p["prelabelled"]} == set(open_)
    prelabel = page.get(f"/pictures/{open_[0]}/prelabel").json()
    assert prelabel["run"] == "photos-1" and prelabel["doubt"] == pytest.approx(1 - prelabel["confidence"], abs=1e-3)
    assert {one["label"] for one in prelabel["objects"]} <= {"sky", "road", "car"} and prelabel["tiles"]
    with pytest.raises(ModelError, match=r"the model's classes .sky, road, car. are none of the folder's .tree."):
        _classes_left_out(Predictor.open(place, device="cpu"), ["tree"])
    kept = {"run": "photos-1", "model_sha256": prelabel["model_sha256"], "kept": 0.9}
    took = body | {"objects": prelabel["objects"], "tiles": prelabel["tiles"], "origin": kept, "seconds": 4}
    etag = page.get(f"/pictures/{open_[0]}/labels").headers["etag"]
    assert page.put(f"/pictures/{open_[0]}/labels", took, etag).status_code == 200
    assert page.get("/project").json()["seconds"]["assisted"] == {"pictures": 1, "median": 4.0}
    page.studio.close()
