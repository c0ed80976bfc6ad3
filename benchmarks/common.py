"""What every benchmark here shares: the contract of a timing, and how it is written down.

    python benchmarks/common.py --tables     fill README.md's tables from results/*.json

The contract: contenders take turns (A B C, C A B, ...), so that whatever else the machine does hits all alike; the
first rounds are warm-up and thrown away; a contender's figure is the median over rounds, its spread the quartiles; a ratio
is taken within each round, between neighbours in time, and the median of those is reported.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

# How OpenMP's threads wait is as `foveate` itself has it, which must be set before torch loads.
import foveate.cli  # noqa: F401

HERE = Path(__file__).parent
RESULTS, README = HERE / "results", HERE / "README.md"
STARTED = time.perf_counter()
SEED = 0  # of every benchmark: of weights, images, batches and generated data
PACKAGES = (
    "foveate", "torch", "torchvision", "timm", "lightning", "segmentation_models_pytorch", "kornia", "onnxruntime", "onnx",
    "transformers", "numpy", "pillow",
)  # fmt: skip

# Runs once. Returns its own figure, or None to be timed from outside, in seconds.
Contender = Callable[[], float | None]


@dataclass(frozen=True)
class Row:
    """One contender: median and quartiles of its figure, and of its figure relative to the reference's, by round."""

    name: str
    median: float
    quartiles: tuple[float, float]
    relative: float
    relative_quartiles: tuple[float, float]
    rounds: list[float]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """One comparison. `reference` is the row that the others are divided by; its own relative figure is 1."""

    title: str
    unit: str
    reference: str
    rows: list[Row]
    higher_is_better: bool = False

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def beats_reference(self, row: Row) -> bool:
        return row.relative > 1 if self.higher_is_better else row.relative < 1


@dataclass(frozen=True)
class Target:
    """A promise, what was measured, and whether that keeps it."""

    text: str
    value: float
    met: bool


@dataclass
class Report:
    """All that one benchmark found."""

    benchmark: str
    settings: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def interleave(contenders: Mapping[str, Contender], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Name -> one figure a round, the contenders taking turns; the first `warmup` rounds are not in it.

    Each round has its own order: who always followed a heavy contender would always find the caches as that left them.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    for turn in range(warmup + rounds):
        for name in random.Random(turn).sample(list(contenders), len(contenders)):
            started = time.perf_counter()
            own = contenders[name]()
            seconds = time.perf_counter() - started
            if turn >= warmup:
                figures[name].append(seconds if own is None else own)
    return figures


def compare(
    title: str, unit: str, figures: Mapping[str, Sequence[float]], reference: str, *,
    scale: float = 1.0, notes: Mapping[str, str] | None = None, higher_is_better: bool = False,
) -> Table:  # fmt: skip
    """Interleaved figures, each times `scale`, as a table relative to one of them."""
    base = np.array(figures[reference])
    rows = []
    for name, values in figures.items():
        own = np.array(values)
        median, low, high = _median_and_quartiles(own * scale)
        relative, relative_low, relative_high = _median_and_quartiles(own / base)
        rounds = [round(float(v), 4) for v in own * scale]
        rows.append(
            Row(name, median, (low, high), relative, (relative_low, relative_high), rounds, (notes or {}).get(name, ""))
        )
    return Table(title, unit, reference, rows, higher_is_better)


def _median_and_quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return round(float(median), 5), round(float(low), 5), round(float(high), 5)


def arguments(description: str, rounds: int) -> argparse.ArgumentParser:
    """The flags of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds after the warm-up (default {rounds})")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of every contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    return parser


def publish(report: Report, path: Path | None) -> None:
    """Print a report, losses and missed targets too; write it as JSON if a path is given."""
    about = machine()
    versions = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    print(
        f"\n{about['cpu']}, {about['cores']} cores, {about['threads']} threads, load {about['load_average']}; {versions}"
    )
    for table in report.tables:
        print("\n" + _plain(table))
    for note in report.notes:
        print(f"note: {note}")
    for target in report.targets:
        print(f"{'met   ' if target.met else 'MISSED'}  {target.text}: {target.value:.3g}")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": about} | asdict(report), indent=1) + "\n", encoding="utf-8")
        print(f"written to {path}")


def machine() -> dict[str, Any]:
    """Where, with what, and how it was measured."""
    from foveate.engine.run import environment, peak_memory

    about = environment()
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cpu": about["cpu"], "instructions": about["instructions"], "cores": os.cpu_count(),
        "threads": about["threads"], "load_average": round(os.getloadavg()[0], 2), "system": platform.system(),
        "python": platform.python_version(), "packages": packages,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "commit": about["commit"],
        "clean": about["clean"] and _own_files_are_committed(), "command": _command(), "seed": SEED,
        "minutes": round((time.perf_counter() - STARTED) / 60, 2), "peak_memory_mib": peak_memory(),
    }  # fmt: skip


def _own_files_are_committed() -> bool:
    """False if a benchmark's own file is not that of the commit."""
    try:
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--", "*.py"], cwd=HERE, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return not changes.stdout.strip()


def _command() -> str:
    """The command line, without places of this machine: an argument that is a path is named by its last part."""
    # Also in an argument such as draw_mnist=/data/mnist,fcn8s=/data/photos.
    words = [re.sub(r"(?<![^=,])/[^,]+", lambda path: Path(path[0]).name, word) for word in sys.argv[1:]]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def origin(about: Mapping[str, Any]) -> str:
    """In one sentence, where, with what and how a table was measured; what an older record lacks is said."""
    commit, _, changed = (about["commit"] or "").partition(" ")  # older: "4a13207e9868 with changes"
    unknown = "clean sources" if commit and not changed else "tree state not recorded"  # older, of src alone
    clean = about.get("clean", False if changed else None)
    tree = {True: "clean tree", False: "tree with changes"}.get(clean, unknown)
    command = f"`{about['command']}`" if about.get("command") else "command not recorded"
    took = f"{about['minutes']:.1f} minutes" if "minutes" in about else "minutes not recorded"
    memory = f"{about['peak_memory_mib']:,} MiB" if about.get("peak_memory_mib") else "memory not recorded"
    cpu = ", ".join(filter(None, (about["cpu"], about.get("instructions"))))
    versions = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    return (
        f"{command}, seed {about.get('seed', 'not recorded')}; {cpu}, {about['cores']} cores, {about['threads']} threads, load {about['load_average']} at the "
        f"end; {took}, {memory}; {about['date']}, commit {commit[:12] or 'not recorded'}, {tree}; Python {about['python']}, {versions}."
    )


def _cells(table: Table) -> list[list[str]]:
    """A table's text, header first."""
    cells = [["", f"{table.unit}, median", "quartiles", f"relative to {table.reference}", "quartiles", ""]]
    for row in table.rows:
        wins = "better" if table.beats_reference(row) else ""
        cells.append([
            row.name, _number(row.median), " - ".join(map(_number, row.quartiles)),
            f"{row.relative:.3f}", " - ".join(f"{v:.3f}" for v in row.relative_quartiles),
            "; ".join(filter(None, (wins, row.note))),
        ])  # fmt: skip
    return cells


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _plain(table: Table) -> str:
    cells = _cells(table)
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([table.title, *lines])


def _markdown(data: Mapping[str, Any]) -> str:
    """One results file as Markdown."""
    about = data["machine"]
    parts = [_recall_table(raw) if "median" not in raw["rows"][0] else _timing_table(raw) for raw in data["tables"]]
    parts += [f"{note[0].upper()}{note[1:]}." for note in data.get("notes", ())]
    targets = data.get("targets", ())
    parts.append("\n".join(f"- {t['text']}: {t['value']:.3g}, **{'met' if t['met'] else 'missed'}**" for t in targets))
    settings = ", ".join(
        f"{name} {value}" for name, value in data["settings"].items() if name not in ("seed", "threads")
    )
    about = {key: value for key, value in data["settings"].items() if key == "seed"} | about
    parts.append(f"{settings[0].upper()}{settings[1:]}; {origin(about)}")
    return "\n\n".join(part for part in parts if part)


def _timing_table(raw: Mapping[str, Any]) -> str:
    table = Table(**(dict(raw) | {"rows": [Row(**row) for row in raw["rows"]]}))
    head, *body = _cells(table)
    return _rows(table.title, head, ["---", *["---:"] * 4, "---"], body)


def _recall_table(raw: Mapping[str, Any]) -> str:
    """Shares of objects that proposals find."""
    head = [name for name in raw["rows"][0] if name != "name"]
    body = [
        [row["name"], *(v if isinstance(v := row[name], str) else f"{v:.3f}" for name in head)] for row in raw["rows"]
    ]
    about = raw.get("about") or (
        f"{raw['pictures']} pictures, {raw['objects']} objects, {raw['proposals']:.0f} proposals a picture"
    )
    return _rows(f"{raw['title']}: {about}", ["", *head], ["---", *["---:"] * len(head)], body)


def _rows(title: str, *lines: Any) -> str:
    head, rule, body = lines
    return f"**{title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def fill_tables(text: str, results: Path = RESULTS) -> str:
    """README's text with everything between `<!-- NAME -->` and `<!-- /NAME -->` made from results/NAME.json."""

    def filled(match: re.Match[str]) -> str:
        file = results / f"{match[1]}.json"
        body = _markdown(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else "Not measured yet."
        return f"<!-- {match[1]} -->\n\n{body}\n\n<!-- /{match[1]} -->"

    return re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", filled, text, flags=re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Fill the tables of benchmarks/README.md from benchmarks/results/*.json."
    )
    parser.add_argument("--tables", action="store_true", required=True)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if they are out of date")
    options = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = fill_tables(old)
    if options.check:
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    print(f"wrote the tables of {README.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
