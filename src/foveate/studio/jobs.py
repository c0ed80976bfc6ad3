"""Trainings, exports and pre-labelling beside the page: child processes that outlive it.

Each job has files in `.foveate/jobs`: ID.json (what was started, with the number and the start of its process), ID.log
(what it printed), ID.progress.json, and at its end ID.end.json. A studio that is started later finds a job by these;
one whose process is gone without an end is lost, and a lost training can be resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.errors import ConfigError, DataError, OutputError, unknown
from foveate.studio.lock import is_running, process_start

KINDS = ("train", "export", "prelabel")
NICE = 10
STOP_ASKED = "stop_asked"  # key of ID.json: when a job was asked to stop
_LOG_TAIL = 4000  # bytes


class Jobs:
    """The jobs of a folder. place: of their files."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.RLock()

    def start(self, kind: str, run: str, words: Sequence[str], shown: str, argument: Mapping[str, Any]) -> str:
        """Start a child process; its id. words: of `foveate.studio.child`. shown: a command that can be typed.

        argument: kept with the job. Raises ConfigError while another job of the kind runs, OutputError where the system
        starts no process; nothing is left of the job then.
        """
        with self._lock:
            if busy := self.running(kind):
                raise ConfigError(f"{kind} {busy} is running; stop it, or wait for its end")
            key = f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
            self.place.mkdir(parents=True, exist_ok=True)
            record = {"id": key, "kind": kind, "run": run, "command": shown, "started": time.time(), **argument}
            write_atomically(self.place / f"{key}.json", json.dumps(record))
            threads = str(max(1, (os.cpu_count() or 2) - 1))
            environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **os.environ}
            command = [sys.executable, "-m", "foveate.studio.child", str(self.place / key), *words]
            try:
                with (self.place / f"{key}.log").open("wb") as log:
                    child = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
                        start_new_session=True,
                    )  # fmt: skip
            except OSError as error:
                for ending in (".json", ".log"):  # it would be listed as a job whose process was killed
                    (self.place / f"{key}{ending}").unlink(missing_ok=True)
                raise OutputError(
                    f"cannot start the job: {error.strerror or error}; free some memory or space, and start it again"
                ) from error
            self._children[key] = child
            process = {"pid": child.pid, "process_started": process_start(child.pid)}
            write_atomically(self.place / f"{key}.json", json.dumps({**record, **process}))
        return key

    def ids(self) -> list[str]:
        """Ids of all jobs, the newest first."""
        found = [p.name.removesuffix(".json") for p in self.place.glob("*.json") if p.name.count(".") == 1]
        return sorted(found, key=lambda key: key.split("-", 1)[-1], reverse=True)

    def running(self, kind: str = "") -> str:
        """The id of a job that runs, of a kind or of any; '' if none does."""
        found = (key for key in self.ids() if not kind or key.startswith(f"{kind}-"))
        return next((key for key in found if self.get(key)["state"] == "running"), "")

    def get(self, key: str) -> dict[str, Any]:
        """A job, as the page gets it. Raises DataError for an unknown one."""
        if key not in self.ids():
            raise DataError(unknown("job", key, self.ids()))
        with self._lock:  # a job that is being started has no process yet
            record = self._read(key, ".json")
            alive = self._is_alive(key, record)
        end = self._read(key, ".end.json")  # after that, as its process may just have ended
        # A process that is asked to stop while Python starts writes no end.
        gone = "stopped" if STOP_ASKED in record else "lost"
        state = end.get("state") or ("running" if alive else gone)
        message = end.get("message") or (None if state in ("running", "done") else self._last_line(key))
        if state == "lost":
            message = "its process was killed, or the machine was stopped; a training can be resumed"
        progress = self._progress(record)
        return {
            "id": key,
            "kind": record.get("kind", key.split("-")[0]),
            "state": state,
            "run": record.get("run"),
            "command": record.get("command"),
            "started": record.get("started"),
            "ended": end.get("ended"),
            "message": message,
            "progress": progress,
            "result": end.get("result"),
        }

    def stop(self, key: str) -> dict[str, Any]:
        """Ask a job to stop, as Ctrl-C does. Raises DataError for one that does not run."""
        job = self.get(key)
        if job["state"] != "running":
            raise ConfigError(f"{key} is {job['state']}; there is nothing to stop")
        with self._lock:
            record = self._read(key, ".json")
            write_atomically(self.place / f"{key}.json", json.dumps({**record, STOP_ASKED: time.time()}))
        with contextlib.suppress(ProcessLookupError):
            os.kill(record["pid"], signal.SIGINT)
        return self.get(key)

    def _is_alive(self, key: str, record: Mapping[str, Any]) -> bool:
        child = self._children.get(key)
        if child is not None:
            return child.poll() is None
        return is_running(record.get("pid"), record.get("process_started"))

    def _read(self, key: str, ending: str) -> dict[str, Any]:
        return read_object(self.place / f"{key}{ending}")

    def _progress(self, record: Mapping[str, Any]) -> dict[str, Any]:
        if record.get("kind") == "train":
            return training_progress(Path(record["folder"]))
        found = self._read(record["id"], ".progress.json")
        done, total = found.get("done"), found.get("total")
        text = f"{done} of {total} pictures" if total else "starting"
        if record.get("kind") == "export":
            text = "writes the file and checks it against PyTorch"
        return {"share": done / total if total and done is not None else None, "text": text, "seconds_left": None}

    def _last_line(self, key: str) -> str | None:
        try:
            with (self.place / f"{key}.log").open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - _LOG_TAIL))
                lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines()]
        except OSError:
            return None
        return next((line.removeprefix("foveate: ") for line in reversed(lines) if line), None)


def training_progress(folder: Path) -> dict[str, Any]:
    """The progress of a training, from the file that it renews each second."""
    found = read_object(folder / "progress.json")
    if not found:
        return {"share": None, "text": "starting", "seconds_left": None}
    steps = found.get("steps")
    return {
        "share": found.get("step", 0) / steps if steps else None,
        "text": f"epoch {found.get('epoch')} of {found.get('epochs')}",
        **{k: found.get(k) for k in ("seconds_left", "epoch", "epochs", "loss", "best")},
    }


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object in a file; {} where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def typed(words: Sequence[str]) -> str:
    """A command as it can be typed."""
    return shlex.join(["foveate", *words])
