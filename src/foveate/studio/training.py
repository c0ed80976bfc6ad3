"""Routes of trainings, exports and pre-labelling, and of the runs that these leave behind."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foveate.engine.recipe import enough_epochs
from foveate.errors import ConfigError, counted, unknown
from foveate.studio.app import REPORT_POLICY, Answer, Ask, Handler, refused
from foveate.studio.folder import Folder
from foveate.studio.jobs import Jobs, typed
from foveate.studio.runs import FAMILIES, RECOMMENDED, Runs, trainable
from foveate.studio.store import Store
from foveate.studio.texts import Texts

# Flags that are no fields.
OWN = ("data", "out", "config", "init", "resume", "model", "time", "seeds", "folds", "preview", "help")
FEWEST = 4  # pictures that are done before a training makes sense


class Training:
    """Runs and jobs of a folder. data: the folder as it was given. run: one whose pre-labels are shown first."""

    def __init__(self, data: str, store: Store, texts: Texts, run: Path | None, place: Path) -> None:
        self.data, self.store, self.texts = data, store, texts
        self.folder: Folder = store.folder
        self.jobs = Jobs(self.folder.own / "jobs")
        self.runs = Runs(self.folder, place, self.jobs, run)
        self._chosen = run.name if run is not None else ""
        self._starting = threading.Lock()

    def routes(self) -> dict[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/recipes"): self.recipes,
            ("POST", "/jobs"): self.start,
            ("GET", "/jobs"): lambda ask: Answer({"jobs": [self.jobs.get(key) for key in self.jobs.ids()]}),
            ("GET", "/jobs/{id}"): lambda ask: Answer(self.jobs.get(self._job(ask))),
            ("POST", "/jobs/{id}/stop"): self.stop,
            ("GET", "/runs"): lambda ask: Answer({"runs": [self.runs.facts(name) for name in self.runs.paths()]}),
            ("GET", "/runs/{name}"): lambda ask: Answer(self.runs.details(self._run(ask))),
        }

    def _run(self, ask: Ask) -> str:
        name = ask.path["name"]
        if name not in self.runs.paths():
            raise refused("not-found", "run", unknown("run", name[:100], self.runs.paths()))
        return name

    def _job(self, ask: Ask) -> str:
        key = ask.path["id"]
        if key not in self.jobs.ids():
            raise refused("not-found", "job", f"there is no job '{key[:100]}'")
        return key

    def current_run(self) -> str | None:
        """The run whose pre-labels are shown: the chosen one, else the newest that has a model."""
        paths = self.runs.paths()
        if self._chosen in paths:
            return self._chosen
        return next((n for n, path in paths.items() if (path / "model" / "config.json").is_file()), None)

    def readiness(self, done: int) -> dict[str, Any]:
        """Facts on the training that can be started, for the number of images that are done."""
        recipe = self._recommended(trainable())
        words = ["train", recipe, "--data", self.data, "--out", str(self.runs.place / self.runs.new_name())]
        return {"ready": done >= FEWEST, "needs": FEWEST, "recipe": recipe, "command": typed(words)}

    def _recommended(self, known: Mapping[str, Any]) -> str:
        return next((name for name in RECOMMENDED if name in known), next(iter(known), ""))

    def recipes(self, ask: Ask) -> Answer:
        """Recipes for what can be labelled here."""
        known = trainable()
        captions, questions = self.texts.counts_or_none()
        useful = {"captioning": bool(captions), "questions": bool(questions)}
        shown = [facts for facts in known.values() if useful.get(facts["task"], True)]
        shown.sort(key=lambda facts: (FAMILIES.index(facts["task"]), facts["name"]))
        advised = [facts | {"advised_epochs": self._epochs(facts)} for facts in shown]
        return Answer({"recipes": advised, "recommended": self._recommended(known)})

    def _epochs(self, facts: Mapping[str, Any]) -> int:
        """Epochs of a recipe on the images that are done: its own, or, of few images, as make enough steps.

        20 road scenes make 60 steps by a segmentation recipe's own epochs, and are far from learned then.
        """
        if facts["task"] != "semantic":
            return int(facts["epochs"])
        blind = self.folder.validation()
        count = sum(self.store.summary(p).state == "done" for p in self.folder.pictures.values() if p.id not in blind)
        return enough_epochs(int(facts["epochs"]), count, facts["batch_size"])

    def start(self, ask: Ask) -> Answer:
        """Start a job."""
        given = ask.object()
        kinds = {"train": self._train, "export": self._export, "prelabel": self._prelabel}
        kind = _name_in(given, "kind", "query", "kind of job", "train, export or prelabel")
        if kind not in kinds:
            raise refused("option", "query", unknown("kind of job", kind[:40], kinds))
        with self._starting:
            if busy := self.jobs.running(kind):
                raise refused("conflict", "job-running", f"{busy} is running; stop it, or wait for its end")
            return Answer(self.jobs.get(kinds[kind](given)), status=202)

    def _train(self, given: Mapping[str, Any]) -> str:
        if (resumed := given.get("resume")) is not None:
            path = self._known_run(resumed)
            words = ["train", "--resume", "--out", str(path)]
            return self.jobs.start("train", path.name, ["cli", *words], typed(words), {"folder": str(path)})
        others = f"{self._recommended(trainable())} or another of /recipes"
        recipe, fields = _name_in(given, "recipe", "recipe", "recipe", others), given.get("fields") or {}
        if recipe not in trainable():
            raise refused("option", "recipe", unknown("recipe", recipe[:60], trainable()))
        if trainable()[recipe]["task"] in ("semantic", "instances"):
            self._require_labels()
        words = ["train", recipe, "--data", self.data, "--out", str(self.runs.place / self.runs.new_name())]
        facts, epochs = trainable()[recipe], given.get("epochs")
        if epochs is None and (advised := self._epochs(facts)) != facts["epochs"]:
            epochs = advised
        words += _field_words(epochs, fields)
        if given.get("init") is not None:
            words += ["--init", str(self._known_run(given["init"]))]
        out = Path(words[5])
        return self.jobs.start("train", out.name, ["cli", *words], typed(words), {"folder": str(out)})

    def _require_labels(self) -> None:
        """Raise Problem where too few images are done, or none to validate on."""
        done = {p.id for p in self.folder.pictures.values() if self.store.summary(p).state == "done"}
        if len(done) < FEWEST:
            raise refused(
                "option",
                "too-few",
                f"{counted(len(done), 'picture')} done; a training needs {FEWEST}: finish some more",
            )
        blind = self.folder.validation()
        if self.folder.is_divided and not done & blind:
            names = sorted(self.folder[key].path.name for key in blind)
            raise refused(
                "option",
                "too-few",
                f"no picture of the validation fifth is done, so nothing would measure the model: finish one of "
                f"{', '.join(names[:5])}",
            )

    def _known_run(self, name: Any) -> Path:
        paths, name = self.runs.paths(), _name_in({"run": name}, "run", "run", "run", "the name of one")
        if name not in paths:
            raise refused("not-found", "run", unknown("run", name[:100], paths))
        return paths[name]

    def _export(self, given: Mapping[str, Any]) -> str:
        path = self._known_run(given.get("run"))
        file = str(path / "model.onnx")
        shown = typed(["export", str(path), "--out", file])
        return self.jobs.start("export", path.name, ["export", str(path), file], shown, {})

    def _prelabel(self, given: Mapping[str, Any]) -> str:
        name = given.get("run") or self.current_run()
        if name is None:
            raise refused("not-found", "run", "there is no run yet; train one first")
        path = self._known_run(name)
        self.folder.settle()
        words = ["prelabel", self.data, str(path), path.name]
        return self.jobs.start("prelabel", path.name, words, f"pre-labels by {path}", {})

    def stop(self, ask: Ask) -> Answer:
        """Stop a job."""
        try:
            return Answer(self.jobs.stop(self._job(ask)))
        except ConfigError as error:
            raise refused("conflict", "not-running", str(error)) from error

    def choose_run(self, ask: Ask) -> None:
        """Choose the run whose pre-labels are shown."""
        self._chosen = self._known_run(ask.object().get("run")).name

    def report(self, ask: Ask) -> Answer:
        """The report of a run, under its own policy."""
        file = self.runs.path(self._run(ask)) / "report.html"
        if not file.is_file():
            raise refused("not-found", "page", "the run has no report yet; it is written at the end of its training")
        headers = {"content-security-policy": REPORT_POLICY}
        return Answer(content=file.read_bytes(), media_type="text/html", headers=headers)


def _name_in(given: Mapping[str, Any], key: str, reason: str, what: str, expected: str) -> str:
    """The name under a key of a request. what: it in words. Raises Problem where there is none, or no text."""
    name = given.get(key)
    if not isinstance(name, str):
        came = f"no {what} came" if name is None else f"{key} is {name!r:.40}"
        raise refused("option", reason, f"{came}; give {expected}")
    return name


def _field_words(epochs: Any, fields: Any) -> list[str]:
    """Fields of a recipe as words of a command. Raises Problem."""
    if epochs is not None and (type(epochs) is not int or not 0 < epochs <= 100_000):
        raise refused("option", "field", f"epochs is {epochs!r:.40}; expected a whole number of 1 or more")
    words = [] if epochs is None else ["--epochs", str(epochs)]
    if not isinstance(fields, dict):
        raise refused("option", "field", f"fields is {fields!r:.40}; expected names with values")
    for name, value in fields.items():
        fits = all(part.isidentifier() for part in name.split(".")) and isinstance(value, (str, int, float))
        if not fits or name in OWN or name.startswith("data."):
            raise refused("option", "field", f"'{name[:60]}' is no field that can be set here")
        words.append(f"--{name}={value}")
    return words
