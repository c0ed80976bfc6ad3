"""Measure claims and record what was found: results/claims/<claim>.json, source of the page of claims.

python docs/record_claims.py [NAME ...]          measure these; without names, all that are due
python docs/record_claims.py --list              only name those that are due, and why
python docs/record_claims.py --from FILE ...     record what `foveate claims --json FILE` wrote

--threads 2 measures with two threads only; the default is 1,2, once each.

A claim is due that has no record for its seeds, from this kind of processor and a tree without changes, with each of
THREADS. Claims that share trainings are measured in one process. Those whose verdict depends on wall times come first,
and only on a machine that does nothing else: a load above IDLE is an error, and --but-timed leaves them out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foveate.claims import Claim, choose, processor
from foveate.disk import write_atomically
from foveate.engine.run import environment
from foveate.errors import ConfigError, FoveateError
from foveate.registry import find

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "results" / "claims"
THREADS = (1, 2)
IDLE = 0.5
# What is kept of `engine.run.environment`, in this order.
KEPT = ("commit", "clean", "python", "packages", "cpu", "instructions", "threads", "peak_memory_mib")


def main(argv: Sequence[str], folder: Path = FOLDER) -> int:
    """Record claims in `folder`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--from", dest="files", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--but-timed", action="store_true")
    parser.add_argument("--threads", default=",".join(map(str, THREADS)), metavar="N,...")
    options = parser.parse_args(argv)
    try:
        for file in options.files:
            merge(json.loads(Path(file).read_text(encoding="utf-8")), folder)
        if not options.files:
            claims = choose(options.names, long=True)
            reasons = {name: due(claim, read(folder, name)) for name, claim in claims.items()}
            chosen = {name: claims[name] for name in claims if options.names or reasons[name]}
            for name in chosen:
                print(f"{name}: {reasons[name] or 'asked for'}")
            if not options.list:
                measure(chosen, options.but_timed, folder, options.threads)
    except FoveateError as error:
        print(f"record_claims: {error}", file=sys.stderr)
        return 1
    return 0


def read(folder: Path, name: str) -> dict[str, Any]:
    """The record of a claim; empty if there is none."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return {"name": name, "runs": []}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def due(claim: Claim, record: Mapping[str, Any]) -> str:
    """The reason why a claim has to be measured here; '' if there is none."""
    runs = [run for run in record["runs"] if run["seeds"] == list(claim.seeds)]
    if not runs:
        return "not measured with these seeds"
    here = processor(environment())
    runs = [run for run in runs if processor(run) == here]
    if not runs:
        return f"not measured on {here}"
    missing = set(THREADS) - {run["threads"] for run in runs if run["clean"]}
    return f"not measured with {' and '.join(map(str, sorted(missing)))} threads and a clean tree" if missing else ""


def measure(claims: Mapping[str, Claim], but_timed: bool, folder: Path, threads: str = "1,2") -> None:
    """Measure claims, a process for each group that shares trainings, recording what each found even where it fails.

    Raises ConfigError if wall times would be measured beside other work, or a measurement fails.
    """
    timed = [name for name, claim in claims.items() if claim.timed and not but_timed]
    load = os.getloadavg()[0]
    if timed and load > IDLE:
        raise ConfigError(
            f"{' and '.join(timed)}: the verdict depends on wall times, and the machine's load is {load:.2f}; wait "
            f"until it is below {IDLE}, or leave these out with --but-timed"
        )
    groups: dict[str, list[str]] = {name: [name] for name in timed}
    for name, claim in claims.items():
        if not claim.timed:
            groups.setdefault(find("claim", name).module, []).append(name)
    for names in groups.values():
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "found.json"
            command = ["claims", *names, "--long", "--threads", threads, "--json", str(file)]
            done = subprocess.run([sys.executable, "-m", "foveate", *command])
            if file.exists():
                merge(json.loads(file.read_text(encoding="utf-8")), folder)
            if done.returncode:
                raise ConfigError(f"foveate {' '.join(command)} failed; its message is above")


def merge(findings: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Put the runs of `foveate claims --json` into the records, in the place of runs of the same setting.

    Runs with other seeds, or without figures, belong to an earlier form of the claim and are dropped; what the page
    still has to tell of them is written into the record's "earlier" by hand.
    """
    for finding in findings:
        name, seeds = finding["name"], finding["seeds"]
        record = read(folder, name)
        runs = {setting(run): run for run in record["runs"] if run["seeds"] == seeds and "figures" in run}
        long = " --long" if find("claim", name).load()().long else ""
        for run in finding["runs"]:
            command = f"foveate claims {name}{long} --threads {run['threads']}"
            kept = {key: run[key] for key in ("figures", "seconds")} | {"command": command, "seeds": seeds}
            runs[setting(run)] = kept | {key: run.get(key) for key in KEPT}
        record["runs"] = [runs[key] for key in sorted(runs)]
        write_atomically(folder / f"{name}.json", dumps(record))
        print(f"recorded: {folder / f'{name}.json'}")


def setting(run: Mapping[str, Any]) -> tuple[str, int]:
    """The processor and the number of threads of a run."""
    return processor(run), run["threads"]


def dumps(record: Mapping[str, Any]) -> str:
    """JSON with a line a row of figures."""
    rows = {f"@{i}.{j}@": row for i, run in enumerate(record["runs"]) for j, row in enumerate(run.get("figures", ()))}
    marks = iter(rows)
    runs = [
        run | {"figures": [next(marks) for _ in run["figures"]]} if "figures" in run else run for run in record["runs"]
    ]
    text = json.dumps({**record, "runs": runs}, indent=1, ensure_ascii=False)
    for mark, row in rows.items():
        text = text.replace(f'"{mark}"', json.dumps(row))
    return text + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
