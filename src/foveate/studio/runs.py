"""Training runs of a folder: those in `runs/` whose data is the folder, and one that was named at the start."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from foveate.engine.run import RunFolder
from foveate.errors import DataError, ModelError, unknown
from foveate.registry import create_recipe, entries
from foveate.studio.folder import Folder
from foveate.studio.jobs import Jobs, read_object, training_progress, typed
from foveate.tasks import find_task

FAMILIES = ("semantic", "instances", "captioning", "questions")
RECOMMENDED = ("fcn8s", "mnc", "show_attend_tell")
WORST = 24


@dataclass(frozen=True)
class Runs:
    """The runs of a folder. place: where runs lie. given: one that was named at the start, or None."""

    folder: Folder
    place: Path
    jobs: Jobs
    given: Path | None = None

    def paths(self) -> dict[str, Path]:
        """Name -> folder, the newest first."""
        found = [file.parent for file in self.place.glob("*/recipe.json") if self._is_ours(file)]
        found.sort(key=lambda path: _began(path) or 0.0, reverse=True)
        if self.given is not None:
            found = [self.given, *(path for path in found if path.resolve() != self.given.resolve())]
        return {path.name: path for path in reversed(found)} | {path.name: path for path in found}

    def _is_ours(self, file: Path) -> bool:
        data = read_object(file).get("data")
        path = data.get("path") if isinstance(data, dict) else None
        return isinstance(path, str) and Path(path).resolve() == self.folder.root.resolve()

    def path(self, name: str) -> Path:
        """The folder of a run. Raises DataError for an unknown one."""
        paths = self.paths()
        if name not in paths:
            raise DataError(unknown("run", name, paths))
        return paths[name]

    def new_name(self) -> str:
        """A name that no run has: that of the data, with a number."""
        stem = re.sub(r"[^\w.-]+", "-", self.folder.root.resolve().name).strip("-.") or "run"
        taken = {p.name for p in self.place.iterdir()} if self.place.is_dir() else set()
        return next(f"{stem}-{n}" for n in range(1, len(taken) + 2) if f"{stem}-{n}" not in taken)

    def facts(self, name: str) -> dict[str, Any]:
        """A run in a line of the list."""
        path = self.path(name)
        recipe, progress = read_object(path / "recipe.json"), read_object(path / "progress.json")
        job = next((j for key in self.jobs.ids() if (j := self._job(key, "train", name))), None)
        history = _history(path)
        monitor, greater = _monitor(str(recipe.get("task", "")))
        values = [row[monitor] for row in history if monitor in row and math.isfinite(row[monitor])]
        state = job["state"] if job else {"training": "lost"}.get(str(progress.get("state")), progress.get("state"))
        return {
            "name": name,
            "recipe": recipe.get("name"),
            "model": recipe.get("model"),
            "task": recipe.get("task"),
            "state": state or "done",
            "epoch": len(history),
            "epochs": recipe.get("epochs"),
            "score": {"name": monitor, "value": (max if greater else min)(values)} if values else None,
            "started": _began(path),
            "report": (path / "report.html").is_file(),
            "exported": sorted(file.name for file in path.glob("*.onnx")),
            "ready": (path / "model" / "config.json").is_file(),
            "job": job["id"] if job and job["state"] == "running" else None,
        }

    def _job(self, key: str, kind: str, run: str) -> dict[str, Any] | None:
        job = self.jobs.get(key) if key.startswith(f"{kind}-") else None
        return job if job and job["run"] == run else None

    def details(self, name: str) -> dict[str, Any]:
        """A run with its curve, its worst images, and the commands that go on from it."""
        path, facts = self.path(name), self.facts(name)
        monitor, greater = _monitor(str(facts["task"]))
        exports = (j for key in self.jobs.ids() if (j := self._job(key, "export", name)) and j["result"])
        shown = str(path)
        return facts | {
            "history": [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in _history(path)],
            "monitor": monitor,
            "greater_is_better": greater,
            "progress": training_progress(path) if (path / "progress.json").is_file() else None,
            "worst": self._worst(path, greater),
            "commands": {
                "evaluate": typed(["evaluate", shown]),
                "predict": typed(["predict", shown, "PICTURE", "--out", "predictions"]),
                "export": typed(["export", shown, "--out", str(path / "model.onnx")]),
                "serve": typed(["serve", shown]),
            },
            "export": next((job["result"] for job in exports), None),
        }

    def _worst(self, path: Path, greater: bool) -> list[dict[str, Any]]:
        try:
            rows = RunFolder(path).read_json("samples.json")
            # a sample's own score stands second, and may be another one than the monitor
            own = [(str(row["name"]), list(row.values())[1]) for row in rows]
            scored = [(name, float(score)) for name, score in own if score is not None]
        except (ModelError, LookupError, TypeError, ValueError, AttributeError):
            return []
        scored.sort(key=lambda one: one[1], reverse=not greater)
        ids = {p.path.name: p.id for p in self.folder.pictures.values()}
        return [{"id": ids.get(n.rpartition("/")[2]), "name": n, "score": s} for n, s in scored[:WORST]]


def _began(path: Path) -> float | None:
    """The time of a run's recipe.json; None for a run that is removed, or started again, at this moment."""
    try:
        return (path / "recipe.json").stat().st_mtime
    except OSError:
        return None


def _history(path: Path) -> list[Mapping[str, float]]:
    try:
        return list(RunFolder(path).history())
    except (OSError, ValueError):
        return []


def _monitor(task: str) -> tuple[str, bool]:
    try:
        family = find_task(task)
    except Exception:  # a run of a family that is not installed here
        return "val_loss", False
    return family.monitor, family.greater_is_better


@lru_cache(maxsize=1)
def trainable() -> dict[str, dict[str, Any]]:
    """Recipe -> its facts, of those that train on one's own data and whose labels can be made here."""
    found = {}
    for name, entry in entries("recipe").items():
        recipe = create_recipe(name)
        if recipe.data is None and recipe.task in FAMILIES and "your own" in entry.summary:
            facts = {
                "name": name, "task": recipe.task, "summary": entry.summary, "epochs": recipe.epochs,
                "batch_size": recipe.batch_size,
            }  # fmt: skip
            found[name] = facts
    return found
