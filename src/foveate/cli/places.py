"""The folder that results go to: one that holds another run's results is left as it is."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.cli.inputs import Job
from foveate.disk import atomic_write, locked_folder, require_writable, write_atomically
from foveate.errors import ConfigError, FoveateError, OutputError, counted
from foveate.remote import RemoteFolder, as_path, is_url
from foveate.tasks.expansion import SUMMARY
from foveate.values import parse_json

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT = "predictions"
PARTS = ".foveate-parts"  # folder, in that of the results, of what an unfinished call has claimed and done
CLAIMS = f"{PARTS}/names.json"  # the run of such a call, and the names that its results have
SHEETS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}  # end of a sheet's name -> its format


class Place:
    """The place of a call's results: a folder, or a URL whose files are made in a temporary folder first.

    given: the folder as it was named, or the temporary one; None where none was named. url: '' for a folder.
    """

    def __init__(self, given: str | None, url: str = "") -> None:
        self.given, self.url = given, url
        if url:
            self.remote = RemoteFolder(url)

    def push(self, out: Path, file: Path) -> None:
        """Move a file of the folder `out` to the URL, leaving an empty one; nothing without a URL."""
        if self.url:
            self.remote.put(file, file.relative_to(out).as_posix())
            file.write_bytes(b"")

    def finish(self, out: Path) -> None:
        """Move all that is left to the URL, the record of all last, and remove what an unfinished call left."""
        if self.url:
            left = [p for p in out.rglob("*") if p.is_file() and p.stat().st_size and PARTS not in p.parts]
            for file in sorted(left, key=lambda p: (p == out / SUMMARY, p)):
                self.push(out, file)
            self.remote.remove(PARTS)
        elif (out / PARTS).is_dir():
            shutil.rmtree(out / PARTS, ignore_errors=True)

    def read(self, out: Path, name: str) -> str | None:
        """The text of a file; None if there is none."""
        content = self.remote.read(name) if self.url else (out / name).read_bytes() if (out / name).is_file() else None
        return None if content is None else content.decode("utf-8", "replace")

    def names(self, out: Path, folder: str) -> list[str]:
        """Names of the files in a folder of the results."""
        if self.url:
            return [f"{folder}/{name}" for name in RemoteFolder(f"{self.url}/{folder}").names()]
        return [f"{folder}/{path.name}" for path in sorted((out / folder).glob("*"))]

    def claim(self, out: Path, run: str, jobs: Sequence[Job]) -> None:
        """Note whose results come into the folder, so that a call that was stopped can be made again."""
        claims = {"run": str(Path(run).absolute()), "names": [job.name.as_posix() for job in jobs]}
        self.write(out, CLAIMS, json.dumps(claims))

    def write(self, out: Path, name: str, content: str) -> None:
        """Write a text file, whole or not at all. Raises OutputError."""
        if self.url:
            self.remote.write(content, name)
        else:
            write_atomically(out / name, content)


@contextlib.contextmanager
def placed(given: str | None) -> Iterator[Place]:
    """The place that --out names. Raises OutputError, ConfigError for a URL that cannot be written."""
    if given is None or not is_url(given):
        yield Place(None if given is None else as_path(given))
        return
    with tempfile.TemporaryDirectory(prefix="foveate-") as folder:
        place = Place(folder, given.rstrip("/"))
        for name in place.remote.names():  # as empty files, so that results are named and guarded as in a folder
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes((place.remote.read(name) or b"") if name in (SUMMARY, CLAIMS) else b"")
        place.remote.write("", f"{PARTS}/probe")  # complains before any work
        place.remote.remove(f"{PARTS}/probe")
        try:
            yield place
        except FoveateError as error:
            raise type(error)(str(error).replace(folder, place.url)) from error


def choose_out(
    given: str | None,
    run: str,
    plan: Callable[[Path], list[Job]],
    locks: contextlib.ExitStack,
    default: str = DEFAULT,
) -> tuple[Path, list[Job]]:
    """The folder of a call's results, and its jobs there: `given`, else `default`, numbered while that is taken.

    A folder may be used again by the same run for the same inputs and more, one call at a time: it is locked until
    `locks` are closed. Raises OutputError for a folder `given` that holds other results or is in use, and what `plan`
    raises.
    """
    out, number = Path(given or default), 1
    while True:
        with contextlib.ExitStack() as lock:
            is_free = lock.enter_context(locked_folder(out))
            jobs = plan(out)
            holder = _held_by(out, run, [_inputs_of(job.record, len(job.record)) for job in jobs])
            if is_free and not holder:
                locks.enter_context(lock.pop_all())
                return out, jobs
        if given is not None and holder:
            raise OutputError(f"{out} holds {holder}, which would be lost; choose another --out, or move them away")
        if given is not None:
            raise OutputError(
                f"another process is writing into {out}, or labels it; wait until that ends, or choose another --out"
            )
        number += 1
        out = Path(f"{default}-{number}")


def _held_by(out: Path, run: str, sources: Collection[tuple[str, ...]]) -> str:
    """The results in a folder that this call would replace and not make again, in words; '' if there are none."""
    if (claims := read_claims(out)) is not None and Path(claims["run"]).resolve() != Path(run).resolve():
        return f"unfinished results of {claims['run']}"
    if not (out / SUMMARY).exists():
        return ""
    summary = read_summary(out)
    if summary is None:
        return f"a {SUMMARY} that cannot be read"
    path = str(summary["model"].get("path", "?"))
    records = _records(summary)
    if Path(path).resolve() != Path(run).resolve():
        return f"{counted(len(records), 'result')} of {path}"
    count = max((len(inputs) for inputs in sources), default=1)
    others = sorted({_inputs_of(record, count) for record in records} - set(sources))
    return (
        f"results of {counted(len(others), 'other input')} ({', '.join(', '.join(one) for one in others[:3])})"
        if others
        else ""
    )


def read_claims(out: Path) -> Mapping[str, Any] | None:
    """The run and the names of an unfinished call in a folder; None if there is none."""
    try:
        claims = parse_json((out / CLAIMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    keys = {"run": str, "names": list}
    return claims if isinstance(claims, dict) and all(isinstance(claims.get(k), t) for k, t in keys.items()) else None


def results_in(out: Path, endings: Sequence[str] = ()) -> set[Path]:
    """The files that an earlier call wrote into a folder, by its predictions.json, or claimed and did not finish.

    endings: of a claimed name's files.
    """
    if claims := read_claims(out):
        return {out / f"{name}{ending}" for name in claims["names"] for ending in endings}
    summary = read_summary(out)
    if summary is None:
        return set()
    named = (value for record in _records(summary) for key, value in record.items() if key != "file")
    return {out / value for value in named if isinstance(value, str) and (out / value).is_file()}


def read_summary(out: Path) -> dict[str, Any] | None:
    """The predictions.json of a folder; None if there is none, or none that `foveate predict` wrote."""
    try:
        summary = parse_json((out / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) and isinstance(summary.get("model"), dict) else None


def _records(summary: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The entries of all inputs, whatever the family calls them; those that failed are none."""
    lists = [value for key, value in summary.items() if isinstance(value, list) and key != "failed"]
    return [record for found in lists for record in found if isinstance(record, dict) and record]


def _inputs_of(record: dict[str, Any], count: int) -> tuple[str, ...]:
    """The inputs of a record, which are its first entries: files' paths, or texts."""
    return tuple(str(value) for value in list(record.values())[:count])


def require_sheet(flag: str, file: str) -> None:
    """Raise ConfigError for a sheet of a format that is not written, and OutputError where it cannot be."""
    require_writable(file)
    if Path(file).suffix.lower() not in SHEETS:
        raise ConfigError(f"{flag} is {file}; a sheet is a picture whose name ends in {', '.join(SHEETS)}")


def save_sheet(sheet: Image, file: str) -> None:
    """Write a sheet in the format that its name ends in."""
    with atomic_write(Path(file)) as temporary:
        sheet.save(temporary, format=SHEETS[Path(file).suffix.lower()], quality=90)
