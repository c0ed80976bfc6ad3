"""The labels of a folder: read with their revision, changed only from it, and on the disk before that is acknowledged.

A revision is the digest of the JSON file, so that a change by any other program makes a new one, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foveate import pictures
from foveate.datasets.classes import ClassList
from foveate.datasets.labelme.index_masks import index_labels, write_index_mask
from foveate.datasets.labelme.json_files import read_shapes, require_labelme
from foveate.datasets.text_files import read_json
from foveate.disk import atomic_write, sweep, sync_folder, write_atomically
from foveate.errors import DataError
from foveate.studio import classes
from foveate.studio.document import (
    UNTOUCHED,
    Document,
    RefusedError,
    edit,
    fresh,
    number_or,
    parse,
    sent_labels,
    without_groups,
)
from foveate.studio.folder import Folder, Picture
from foveate.studio.layers import OWN
from foveate.studio.masks import MaskWriter

NO_FILE = "none"  # revision of an image without a labels file
_KEPT_BYTES = 400_000_000  # of label maps and their counts in memory


class StaleError(DataError):
    """A change of labels that are no longer so.

    current: their revision. kept: name of the file that holds the change now. whole: that file holds all labels, not
    only those that were sent.
    """

    def __init__(self, text: str, current: str, kept: str = "", whole: bool = True) -> None:
        super().__init__(text)
        self.current, self.kept, self.whole = current, kept, whole


class BlockedError(DataError):
    """Labels that cannot be read, and that nothing is written over."""


@dataclass(frozen=True)
class Summary:
    """Facts on an image's labels for the gallery. problem: the reason why they cannot be read; '' if they can."""

    state: str = UNTOUCHED
    labels: tuple[str, ...] = ()
    seconds: float = 0.0
    assisted: bool = False
    problem: str = ""


class Store:
    """The labels of a folder. read_only: nothing at all is written."""

    def __init__(self, folder: Folder, read_only: bool = False) -> None:
        self.folder, self.read_only = folder, read_only
        self._locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()
        self._documents: OrderedDict[tuple[str, str], Document] = OrderedDict()
        self._summaries: dict[str, tuple[Any, Summary]] = {}
        self._classes_lock = threading.RLock()
        self.renames = classes.Renames()
        # Image -> revision -> the last one that renamed classes made of it.
        self._renamed: dict[str, dict[str, str]] = {}
        self.masks = MaskWriter(self._derive)
        self._derived_with = classes.revision(folder.root)
        if not read_only:
            for place in {p.labels.parent for p in folder.pictures.values()} | {folder.own}:
                _sweep(place)
            self.masks.start([p.id for p in folder.pictures.values() if p.labels.is_file()])

    def close(self) -> None:
        """Finish the index masks."""
        self.masks.close()

    @contextlib.contextmanager
    def _locked(self, picture: Picture) -> Iterator[None]:
        with self._locks_lock:
            lock = self._locks.setdefault(picture.id, threading.RLock())
        with lock:
            yield

    # Reading

    def read(self, picture: Picture) -> tuple[Document | None, str, tuple[int, int]]:
        """(the document, None without a file; its revision; the image's (height, width)).

        Raises BlockedError for a file that cannot be read.
        """
        content = _content(picture.labels)
        size = pictures.picture_size(picture.path)
        if content is None:
            return None, NO_FILE, size
        revision = hashlib.sha256(content).hexdigest()
        key = picture.id, revision
        with self._locked(picture):
            document = self._documents.get(key)
            if document is None or document.layers.size != size:
                try:
                    document = parse(picture.labels, content, *size)
                except DataError as error:
                    raise BlockedError(str(error)) from error
                self._keep(key, document)
        return document, revision, size

    def _keep(self, key: tuple[str, str], document: Document) -> None:
        with self._locks_lock:
            self._documents[key] = document
            self._documents.move_to_end(key)
            held = sum(one.layers.nbytes for one in self._documents.values())
            while held > _KEPT_BYTES and len(self._documents) > 1:
                held -= self._documents.popitem(last=False)[1].layers.nbytes

    def summary(self, picture: Picture) -> Summary:
        """The gallery's facts; of a file that did not change since, they are known."""
        try:
            if picture.labels.is_symlink():
                return Summary("blocked", problem=_linked(picture.labels))
            found = picture.labels.stat()
        except FileNotFoundError:
            return Summary()
        except OSError as error:
            return Summary("blocked", problem=f"{picture.labels}: cannot be read ({error.strerror})")
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        known = self._summaries.get(picture.id)
        if known is None or known[0] != stamp:
            known = stamp, _summary(picture.labels)
            self._summaries[picture.id] = known
        return known[1]

    def classes(self) -> ClassList:
        """The class list. Raises DataError."""
        found = (label for p in self.folder.pictures.values() for label in self.summary(p).labels)
        return classes.read(self.folder.root, found)

    # Writing

    def save(self, picture: Picture, revision: str, change: Mapping[str, Any]) -> tuple[Document, str]:
        """Make a change to the labels of a revision; it is on the disk on return. -> (the document, new revision).

        Where the change has `over`, it was made from another revision and chosen against this one, whose file is kept
        in `.foveate`. Where it has `classes`, these are the names that its labels were chosen from (`Renames.since`).
        Raises StaleError if the labels have another revision by now, or BlockedError, with the change kept in
        `.foveate`; RefusedError for a change that cannot be made, of which nothing is kept; OutputError if it cannot be
        written: nothing has changed then.
        """
        with self._classes_lock, self._locked(picture):  # no class is renamed meanwhile
            if renamed := self.renames.since(self.folder.root, change.get("classes")):
                change = classes.relabelled(change, renamed)
                revision = self._renamed.get(picture.id, {}).get(revision, revision)
            try:
                document, current, size = self.read(picture)
            except BlockedError as error:
                kept, _ = self._keep_change(picture, None, change)
                raise BlockedError(f"{error} (your version is kept as {self.folder.own.name}/{kept})") from error
            base = document or fresh(picture.stated, *size)
            if revision != current:
                raise self._lost(picture, revision, current, change)
            edited = edit(base, change, self.classes().names)
            text = edited.text().encode("utf-8", "surrogatepass")
            if change.get("over") is True:
                self._keep_theirs(picture, current)
            _write(picture.labels, text, current)
            new = hashlib.sha256(text).hexdigest()
            self._keep((picture.id, new), edited)
        self.masks.ask(picture.id)
        self._follow_classes()
        return edited, new

    def _follow_classes(self) -> None:
        """Derive all index masks again if another program has changed the class list, and with it their numbers."""
        current = classes.revision(self.folder.root)
        if current != self._derived_with:
            self._derived_with = current
            self.masks.start([p.id for p in self.folder.pictures.values() if p.labels.is_file()])

    def _lost(self, picture: Picture, revision: str, current: str, change: Mapping[str, Any]) -> StaleError:
        """The error for a change to an earlier revision, after the change was kept as a file of its own."""
        base = self._fresh(picture) if revision == NO_FILE else self._documents.get((picture.id, revision))
        kept, whole = self._keep_change(picture, base, change)
        return StaleError(
            f"the labels of {picture.path.name} were changed elsewhere since they were read here (another tab, or "
            f"another program); your version is kept as {self.folder.own.name}/{kept}: keep yours or take the other",
            current,
            kept,
            whole,
        )

    def keep(self, picture: Picture, change: Mapping[str, Any]) -> str:
        """Keep labels that were not chosen; the name of their file in `.foveate`. change: with every tile.

        Raises RefusedError for what are no labels.
        """
        kept, _ = self._keep_change(picture, self._fresh(picture), change)
        return kept

    def _fresh(self, picture: Picture) -> Document:
        return fresh(picture.stated, *pictures.picture_size(picture.path))

    def _keep_change(self, picture: Picture, base: Document | None, change: Mapping[str, Any]) -> tuple[str, bool]:
        """Keep a change as a labels file made from `base`, else as it was sent. -> (name in `.foveate`, all labels).

        Its labels may be of classes that are gone. Raises RefusedError for what is no change of labels: nothing of it
        is kept.
        """
        known = {*self.classes().names, *sent_labels(change)}
        if base is not None:
            with contextlib.suppress(RefusedError):
                return self._keep_version(picture, edit(base, change, known).text()), True
        # Groups that are no numbers may stand in the file that it was made from.
        edit(self._fresh(picture), without_groups(change), known)
        return self._keep_version(picture, json.dumps(change, ensure_ascii=False)), False

    def _keep_theirs(self, picture: Picture, current: str) -> None:
        """Keep the labels file of a revision, which another version replaces. Raises StaleError."""
        content = _content(picture.labels)
        found = NO_FILE if content is None else hashlib.sha256(content).hexdigest()
        if found != current:
            raise StaleError(f"{picture.labels.name} was changed by another program at this moment; look again", found)
        if content is not None:
            self._keep_version(picture, content, "theirs")

    def _keep_version(self, picture: Picture, content: str | bytes, whose: str = "mine") -> str:
        """Write a version that found no place in the labels file; its name in `.foveate`."""
        kept = f"{picture.labels.name}.{whose}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        write_atomically(self.folder.own / kept, data)
        sync_folder(self.folder.own)
        return kept

    def save_classes(self, revision: str, given: Mapping[str, Any]) -> ClassList:
        """Write the class list, and rename labels in all files where classes were renamed.

        Raises StaleError, RefusedError (also for a class that is gone while shapes have it), BlockedError, OutputError.
        """
        with self._classes_lock:
            current = classes.revision(self.folder.root)
            if revision != current:
                raise StaleError("the classes were changed elsewhere since they were read here; look again", current)
            before = self.classes()
            after, renamed = classes.from_json(given, before)
            used = self.used()
            gone = [n for n in used if n in before.names and n not in (*after.names, *renamed)]
            if gone:
                raise RefusedError(
                    "class-used",
                    f"class '{gone[0]}' is used in {used[gone[0]]} of the pictures; rename it, or delete its shapes",
                )
            if renamed:  # first with both names, so that a stop in between leaves every label a class
                both = [*after.names, *(old for old in renamed if old not in after.names)]
                colors = classes.complete(both, [*after.colors, *(None for _ in both[len(after.names) :])])
                classes.write(self.folder.root, replace(after, names=tuple(both), colors=colors))
                for picture in self.folder.pictures.values():
                    if set(renamed) & set(self.summary(picture).labels):
                        self._rename(picture, renamed)
            classes.write(self.folder.root, after)
            self.renames.add(before.names, after.names, renamed)
        self._follow_classes()
        return after

    def _rename(self, picture: Picture, renamed: Mapping[str, str]) -> None:
        with self._locked(picture):
            content = _content(picture.labels) or b""
            data = json.loads(content)
            for shape in data["shapes"]:
                shape["label"] = renamed.get(shape["label"], shape["label"])
            text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
            encoded, revision = text.encode("utf-8", "surrogatepass"), hashlib.sha256(content).hexdigest()
            _write(picture.labels, encoded, revision)
            self._lead_to(picture, revision, hashlib.sha256(encoded).hexdigest())

    def _lead_to(self, picture: Picture, old: str, new: str) -> None:
        """Let a revision, and those that led to it, lead to a new one, which may be one of an earlier time."""
        known = self._renamed.setdefault(picture.id, {})
        known |= {one: new for one, later in known.items() if later == old} | {old: new}
        known.pop(new, None)

    def used(self) -> dict[str, int]:
        """Label -> number of images with a shape of it."""
        counts: dict[str, int] = {}
        for picture in self.folder.pictures.values():
            for label in self.summary(picture).labels:
                counts[label] = counts.get(label, 0) + 1
        return counts

    def _derive(self, key: str) -> None:
        """Derive the index mask of an image."""
        picture = self.folder.pictures.get(key)
        if picture is None or picture.mask.is_symlink():
            return
        listed = self.classes()
        if picture.labels.is_symlink() or not picture.labels.is_file() or not listed.names:
            return
        data = read_json(picture.labels)
        require_labelme(picture.labels, data)
        size = pictures.picture_size(picture.path)
        write_index_mask(picture.mask, picture.labels, data["shapes"], size, index_labels(listed))


def _content(file: Path) -> bytes | None:
    """The bytes of a labels file; None if there is none. Raises BlockedError."""
    if file.is_symlink():
        raise BlockedError(_linked(file))
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BlockedError(f"{file}: cannot be read ({error.strerror}); make it readable") from error


def _linked(file: Path) -> str:
    return f"{file}: a link; labels are written to plain files alone: put the file itself there"


def _write(file: Path, content: bytes, current: str) -> None:
    """Replace a file of the revision `current`, and wait until that is on the disk. Raises StaleError, OutputError."""
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)
        there = _content(file)
        found = NO_FILE if there is None else hashlib.sha256(there).hexdigest()
        if found != current:
            raise StaleError(f"{file.name} was changed by another program at this moment; look again", found)
    sync_folder(file.parent)


def _summary(file: Path) -> Summary:
    try:
        data = read_json(file)
        require_labelme(file, data)
        labels = dict.fromkeys(shape.label for shape in read_shapes(file, data["shapes"]))
    except DataError as error:
        return Summary("blocked", problem=str(error))
    own = data.get(OWN)
    own = own if isinstance(own, dict) else {}
    state = own.get("state", "done")
    seconds = float(number_or(own.get("seconds"), 0.0))
    return Summary(state if isinstance(state, str) else "done", tuple(labels), seconds, own.get("origin") is not None)


def _sweep(place: Path) -> None:
    if place.is_dir():
        sweep(place)
