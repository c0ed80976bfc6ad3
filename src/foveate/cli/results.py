"""The folder that results go to: one that holds another run's results is left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from foveate.cli.inputs import SUMMARY, Job
from foveate.errors import OutputError, counted

DEFAULT = "predictions"


def choose_out(
    given: str | None, run: str, plan: Callable[[Path], list[Job]], default: str = DEFAULT
) -> tuple[Path, list[Job]]:
    """The folder of a call's results, and its jobs there: `given`, else `default`, numbered while that is taken.

    A folder may be used again by the same run for the same inputs and more. Raises OutputError for a folder `given`
    that holds other results, and what `plan` raises.
    """
    out, number = Path(given or default), 1
    while True:
        jobs = plan(out)
        holder = _held_by(out, run, [_inputs_of(job.record, len(job.record)) for job in jobs])
        if not holder:
            return out, jobs
        if given is not None:
            raise OutputError(f"{out} holds {holder}, which would be lost; choose another --out, or move them away")
        number += 1
        out = Path(f"{default}-{number}")


def _held_by(out: Path, run: str, sources: Collection[tuple[str, ...]]) -> str:
    """The results in a folder that this call would replace and not make again, in words; '' if there are none."""
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


def results_in(out: Path) -> set[Path]:
    """The files that an earlier call wrote into a folder, by its predictions.json."""
    summary = read_summary(out)
    if summary is None:
        return set()
    named = (value for record in _records(summary) for key, value in record.items() if key != "file")
    return {out / value for value in named if isinstance(value, str) and (out / value).is_file()}


def read_summary(out: Path) -> dict[str, Any] | None:
    """The predictions.json of a folder; None if there is none, or none that `foveate predict` wrote."""
    try:
        summary = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
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
