"""Fuzz every reader: python tests/fuzz [--minutes 10] [--only voc,coco] [--out DIR] [--first N] [--case N]

Each reader gets its share of the minutes; cases go on from `--first`. `--case N` reads one case of one reader and shows
its traceback. Faults are printed by kind, with the number of a case that shows each; their files are kept in `--out`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import harness
from formats import READERS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="for all readers together")
    parser.add_argument("--only", default=",".join(READERS), help="names of readers, with commas")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="read this case alone, in this process")
    parser.add_argument("--out", type=Path, help="a folder for the files of faulty cases")
    parser.add_argument("--limit", type=int, default=sys.maxsize, help="most cases of a reader")
    options = parser.parse_args()
    names = options.only.split(",")
    if options.case is not None:
        folder = options.out or Path(tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        print(f"files: {folder}")
        harness.read_case(names[0], options.case, folder)
        return 0
    harness.prepare()
    kinds: dict[str, list[harness.Fault]] = {}
    for name in names:
        began = time.monotonic()
        until = began + 60 * options.minutes / len(names)
        for found in harness.run(name, options.first, options.limit, until, options.out):
            if not isinstance(found, harness.Fault):
                print(f"{name}: {found} cases in {time.monotonic() - began:.0f} s", flush=True)
                continue
            known = kinds.setdefault(found.kind, [])
            known.append(found)
            if len(known) == 1:
                print(f"--- {name}, case {found.case}: {found.kind}\n{found.text}", flush=True)
    for kind, faults in sorted(kinds.items()):
        print(f"{len(faults)} x {kind}: {', '.join(f'{f.reader} {f.case}' for f in faults[:5])}")
    print(f"{len(kinds)} kinds of faults")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
