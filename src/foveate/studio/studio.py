"""The routes of the labelling page: each takes a request and gives what the page needs, in plain values."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from foveate import pictures
from foveate.errors import DataError, unknown
from foveate.studio import classes, prelabels
from foveate.studio.app import Answer, Ask, Handler, refused
from foveate.studio.assist import cut_answer, fill_answer, flatten_answer
from foveate.studio.document import STATES, UNTOUCHED, RefusedError, fresh
from foveate.studio.folder import Folder, Picture
from foveate.studio.pyramid import Pyramid, levels
from foveate.studio.store import Store, Summary
from foveate.studio.texts import Texts
from foveate.studio.tiles import TILE
from foveate.studio.training import Training
from foveate.version import __version__

DAY = 86_400  # seconds
GALLERY_STATES = (UNTOUCHED, *STATES, "blocked")


class Studio:
    """A folder that is labelled, with its runs and jobs.

    data: the folder. run: a run whose pre-labels are used first. runs: where runs lie. read_only: nothing is written.
    begin: called before each request that may write.
    """

    def __init__(
        self,
        data: str | Path,
        run: Path | None = None,
        runs: str | Path = "runs",
        read_only: bool = False,
        begin: Callable[[], None] | None = None,
    ) -> None:
        self.read_only = read_only
        self.begin = begin or (lambda: None)
        self.folder = Folder(data)
        self.store = Store(self.folder, read_only)
        self.texts, self.pyramid = Texts(self.folder.root), Pyramid()
        self.training = Training(str(data), self.store, self.texts, run, Path(runs))
        self.report = self.training.report

    def close(self) -> None:
        """Finish what is being written."""
        self.store.close()

    def routes(self) -> dict[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        one = "/pictures/{id}"
        return {
            ("GET", "/project"): self.project,
            ("GET", "/classes"): self.classes,
            ("PUT", "/classes"): self.put_classes,
            ("POST", "/classes/renamed"): self.renamed,
            ("GET", "/pictures"): self.gallery,
            ("GET", one): self.picture,
            ("GET", f"{one}/tile/{{level}}/{{x}}/{{y}}"): self.tile,
            ("GET", f"{one}/pixels"): self.pixels,
            ("GET", f"{one}/labels"): self.labels,
            ("PUT", f"{one}/labels"): self.put_labels,
            ("POST", f"{one}/versions"): self.keep_version,
            ("POST", f"{one}/flatten"): lambda ask: flatten_answer(ask, self.size(ask)),
            ("POST", f"{one}/cut"): lambda ask: cut_answer(ask, self.pyramid.pixels(self.named(ask))),
            ("POST", f"{one}/fill"): lambda ask: fill_answer(ask, self.pyramid.pixels(self.named(ask))),
            ("GET", f"{one}/prelabel"): self.prelabel,
            ("GET", f"{one}/texts"): self.read_texts,
            ("PUT", f"{one}/texts"): self.put_texts,
            **self.training.routes(),
            ("PUT", "/runs/current"): self.choose_run,
        }

    # What a request names

    def named(self, ask: Ask) -> Picture:
        """The image of a request. Raises Problem."""
        key = ask.path["id"]
        if key not in self.folder.pictures:
            with contextlib.suppress(DataError):
                self.folder.refresh()
        if key not in self.folder.pictures:
            raise refused("not-found", "picture", f"there is no picture '{key[:40]}'; reload the gallery")
        return self.folder.pictures[key]

    def size(self, ask: Ask) -> tuple[int, int]:
        """(height, width) of the image of a request."""
        return pictures.picture_size(self.named(ask).path)

    # The project

    def project(self, ask: Ask) -> Answer:
        """The folder as a whole."""
        self.folder.refresh()
        summaries = {p.id: self.store.summary(p) for p in self.folder.pictures.values()}
        counts = dict.fromkeys(GALLERY_STATES, 0)
        for summary in summaries.values():
            counts[_state(summary)] += 1
        listed = self.store.classes()
        done = [s for s in summaries.values() if s.state == "done" and s.seconds > 0]
        return Answer({
            "name": self.folder.root.resolve().name,
            "folder": str(self.folder.root.resolve()),
            "read_only": self.read_only,
            "version": __version__,
            "classes": classes.to_json(listed),
            "unlabelled": listed.unlabelled,
            "classes_etag": f'"{classes.revision(self.folder.root)}"',
            "counts": {"pictures": len(summaries), **counts},
            "validation": len(self.folder.validation()),
            "seconds": {
                "plain": _median([s.seconds for s in done if not s.assisted]),
                "assisted": _median([s.seconds for s in done if s.assisted]),
            },
            "runs": list(self.training.runs.paths()),
            "run": self.training.current_run(),
            "train": self.training.readiness(counts["done"]),
            "jobs": [key for key in self.training.jobs.ids() if self.training.jobs.get(key)["state"] == "running"],
            "notes": self._notes(summaries),
        })  # fmt: skip

    def _notes(self, summaries: Mapping[str, Summary]) -> list[str]:
        blocked = [(self.folder[key].path.name, s.problem) for key, s in summaries.items() if s.problem]
        notes = list(self.folder.problems)
        notes += [f"{name} is blocked: {problem}" for name, problem in blocked[:5]]
        notes += [f"no index mask: {reason}" for reason in list(self.store.masks.problems.values())[:3]]
        return notes

    def choose_run(self, ask: Ask) -> Answer:
        """Choose the run whose pre-labels are shown."""
        self.training.choose_run(ask)
        return self.project(ask)

    def classes(self, ask: Ask) -> Answer:
        """The class list."""
        listed = self.store.classes()
        data = {"classes": classes.to_json(listed), "unlabelled": listed.unlabelled, "used": self.store.used()}
        return Answer(data, etag=classes.revision(self.folder.root))

    def put_classes(self, ask: Ask) -> Answer:
        """Write the class list."""
        self.store.save_classes(ask.required(), ask.object())
        return self.classes(ask)

    def renamed(self, ask: Ask) -> Answer:
        """New names of classes, for labels that were chosen from an earlier list."""
        return Answer({"renamed": self.store.renames.since(self.folder.root, ask.object().get("classes"))})

    # Images

    def gallery(self, ask: Ask) -> Answer:
        """Images of some states, in the order of names or of doubt."""
        self.folder.refresh()
        order = self._order(ask)
        offset, limit = ask.number("offset", 0, 0, 10**8), ask.number("limit", 200, 1, 1000)
        blind, doubts = self.folder.validation(), prelabels.doubts(self.folder, self.training.current_run())
        captions, questions = self.texts.counts_or_none()
        shown = []
        for picture in order[offset : offset + limit]:
            summary = self.store.summary(picture)
            shown.append({
                "id": picture.id,
                "name": picture.path.name,
                "state": _state(summary),
                "problem": summary.problem or None,
                "validation": picture.id in blind,
                "doubt": None if picture.id in blind else doubts.get(picture.id),
                "prelabelled": picture.id in doubts and picture.id not in blind,
                "classes": list(summary.labels),
                "seconds": summary.seconds,
                "captions": captions.get(picture.path.name, 0),
                "questions": questions.get(picture.path.name, 0),
            })  # fmt: skip
        kind = ask.query.get("order", "name")
        return Answer({"total": len(order), "offset": offset, "order": kind, "pictures": shown})

    def _order(self, ask: Ask) -> list[Picture]:
        """The images that the query asks for, in its order. Raises Problem."""
        kind, text = ask.query.get("order", "name"), ask.query.get("text", "").lower()
        states = [s for s in ask.query.get("state", "").split(",") if s]
        if kind not in ("name", "doubt"):
            raise refused("option", "query", f"order is '{kind[:40]}'; expected name or doubt")
        for state in states:
            if state not in GALLERY_STATES:
                raise refused("option", "query", unknown("state", state[:40], GALLERY_STATES))
        found = list(self.folder.pictures.values())
        if states:
            found = [p for p in found if _state(self.store.summary(p)) in states]
        if label := ask.query.get("class", ""):
            found = [p for p in found if label in self.store.summary(p).labels]
        found = [p for p in found if text in p.path.name.lower()]
        if kind == "doubt":
            doubts, blind = prelabels.doubts(self.folder, self.training.current_run()), self.folder.validation()
            known = {p.id: -doubts[p.id] for p in found if p.id in doubts and p.id not in blind}
            found.sort(key=lambda p: (known.get(p.id, 1.0), p.path.name))
        return found

    def picture(self, ask: Ask) -> Answer:
        """One image: its size, its levels, its neighbours."""
        picture = self.named(ask)
        height, width = pictures.picture_size(picture.path)
        summary, blind = self.store.summary(picture), picture.id in self.folder.validation()
        doubts = prelabels.doubts(self.folder, self.training.current_run())
        order = [p.id for p in self._order(ask)]
        if picture.id not in order:  # its state is another by now
            order = [p.id for p in self.folder.pictures.values() if p.id in order or p.id == picture.id]
        place = order.index(picture.id)
        return Answer({
            "id": picture.id,
            "name": picture.path.name,
            "state": _state(summary),
            "problem": summary.problem or None,
            "validation": blind,
            "doubt": None if blind else doubts.get(picture.id),
            "prelabelled": picture.id in doubts and not blind,
            "height": height,
            "width": width,
            "tile": TILE,
            "levels": [level.to_json() for level in levels(height, width)],
            "previous": order[place - 1] if place else None,
            "next": order[place + 1] if place + 1 < len(order) else None,
            "version": picture.version(),
        })  # fmt: skip

    def tile(self, ask: Ask) -> Answer:
        """A tile of an image."""
        picture = self.named(ask)
        names = [ask.path[name] for name in ("level", "x", "y")]
        if not all(n.isascii() and n.isdecimal() and len(n) < 7 for n in names):
            raise refused("not-found", "tile", f"there is no tile {'/'.join(names)[:60]}")
        level, x, y = map(int, names)
        version = picture.version()
        try:
            if level >= len(levels(*pictures.picture_size(picture.path))):
                raise IndexError
            content, media_type = self.pyramid.tile(picture, level, x, y)
        except IndexError:
            raise refused("not-found", "tile", f"there is no tile {level}/{x}/{y} of {picture.path.name}") from None
        cached = DAY if ask.query.get("v") == version else 1
        return Answer(content=content, media_type=media_type, etag=f"{version}-{level}-{x}-{y}", cached=cached)

    def pixels(self, ask: Ask) -> Answer:
        """A small version of an image."""
        picture, size = self.named(ask), ask.number("size", 320, 16, 2048)
        content = self.pyramid.preview(picture, size)
        return Answer(content=content, media_type="image/jpeg", etag=f"{picture.version()}-{size}", cached=1)

    # Labels

    def labels(self, ask: Ask) -> Answer:
        """The labels of an image."""
        picture = self.named(ask)
        document, revision, size = self.store.read(picture)
        if document is None:
            return Answer(fresh(picture.stated, *size).to_json() | {"state": UNTOUCHED}, etag=revision)
        return Answer(document.to_json(), etag=revision)

    def put_labels(self, ask: Ask) -> Answer:
        """Save the labels of an image."""
        picture, change, revision = self.named(ask), ask.object(), ask.required()
        if change.get("origin") is not None and picture.id in self.folder.validation():
            raise RefusedError(
                "blind", f"{picture.path.name} is of the validation fifth, which is labelled without pre-labels"
            )
        document, new = self.store.save(picture, revision, change)
        layers = document.layers
        saved = {"saved": time.strftime("%H:%M:%S"), "objects": len(layers.objects), "outlines": len(layers.outlines)}
        return Answer(saved, etag=new)

    def keep_version(self, ask: Ask) -> Answer:
        """Keep labels in `.foveate` that lost to another version."""
        return Answer({"kept": self.store.keep(self.named(ask), ask.object())})

    def prelabel(self, ask: Ask) -> Answer:
        """A run's proposal for an image."""
        picture = self.named(ask)
        if picture.id in self.folder.validation():
            raise RefusedError(
                "blind", f"{picture.path.name} is of the validation fifth, which is labelled without pre-labels"
            )
        run = ask.query.get("run") or self.training.current_run()
        if run is not None and run not in self.training.runs.paths():
            raise refused("not-found", "run", unknown("run", run[:100], self.training.runs.paths()))
        found = prelabels.read(self.folder, run, picture) if run else None
        if found is None:
            which = f"by {run} " if run else ""
            raise refused(
                "not-found", "no-prelabel", f"{picture.path.name} has no pre-label {which}yet; start a prelabel job"
            )
        return Answer(found)

    def read_texts(self, ask: Ask) -> Answer:
        """Captions of an image and questions about it."""
        found, revision = self.texts.read(self.named(ask))
        return Answer(found, etag=revision)

    def put_texts(self, ask: Ask) -> Answer:
        """Write captions and questions."""
        found, revision = self.texts.save(self.named(ask), ask.required(), ask.object())
        return Answer(found, etag=revision)


def _state(summary: Summary) -> str:
    """The state that the gallery shows; one that another program wrote counts as a draft."""
    return summary.state if summary.state in GALLERY_STATES else "draft"


def _median(seconds: list[float]) -> dict[str, Any]:
    return {"pictures": len(seconds), "median": round(statistics.median(seconds), 1) if seconds else None}
