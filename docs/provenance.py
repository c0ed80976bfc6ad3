"""Origin of recorded figures: the table of commands, commits, versions and hardware at the end of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markdown_tables import number, table

Record = Mapping[str, Any]
HEAD = ("Record", "Command", "Seeds", "Commit", "Tree", "Versions", "Threads", "Processor", "Minutes", "Memory, MiB")
MISSING = "not recorded"


def origins(records: Sequence[tuple[str, Record]]) -> str:
    """A line a record, (name, what was recorded with its figures), and the versions that the lines refer to."""
    if not records:
        return ""
    known = list(dict.fromkeys(found for _, record in records if (found := versions(record))))
    letters = {text: _letters(i) for i, text in enumerate(known)}
    lines = [
        (
            f"`{name}`", f"`{record['command']}`" if record.get("command") else MISSING, seeds(record),
            f"{record['commit'][:10]}" if record.get("commit") else MISSING, tree(record),
            letters.get(versions(record), MISSING), str(record.get("threads") or _threads(record) or MISSING),
            processor(record) or MISSING, number(minutes(record), 1), number(record.get("peak_memory_mib"), 0),
        )
        for name, record in records
    ]  # fmt: skip
    notes = "".join(f"\n- {letter}: {text}" for text, letter in letters.items())
    return table(HEAD, lines) + (f"\nVersions:\n{notes}\n" if notes else "")


def tree(record: Record) -> str:
    """The state of the source tree that was measured."""
    return {True: "clean", False: "with changes"}.get(record.get("clean"), "tree state not recorded")  # type: ignore[call-overload]


def versions(record: Record) -> str:
    """Versions of Python and of packages; '' if they were not recorded."""
    if not record.get("packages"):
        return ""
    packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
    return f"Python {record['python']}, {packages}"


def processor(record: Record) -> str:
    """The processor, and the instructions that torch used on it; '' if it was not recorded."""
    hardware = str(record.get("hardware") or "")
    name = record.get("cpu") or hardware.partition(" of ")[2] or hardware  # "2 cores of AMD EPYC", or a GPU
    return ", ".join(filter(None, (name, record.get("instructions"))))


def seeds(record: Record) -> str:
    """The seed, or the seeds."""
    found = record.get("seeds", [record["seed"]] if "seed" in record else [])
    return ", ".join(map(str, found)) or MISSING


def minutes(record: Record) -> float | None:
    """Minutes that it took; None if they were not recorded, or beside other work, which the field `timing` says."""
    if record.get("timing"):
        return None
    return record["seconds"] / 60 if "seconds" in record else record.get("minutes")


def _threads(record: Record) -> str:
    """Threads, in records that name them with the processor: '2 cores of AMD EPYC'."""
    count = str(record.get("hardware", "")).partition(" core")[0]
    return count if count.isdigit() else ""


def _letters(index: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return ("" if index < 26 else _letters(index // 26 - 1)) + chr(ord("A") + index % 26)
