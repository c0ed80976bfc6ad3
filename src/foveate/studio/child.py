"""A job's process: `python -m foveate.studio.child JOB KIND WORDS...`.

cli WORDS... runs `foveate WORDS...`; export RUN FILE and prelabel DATA RUN NAME are the studio's own.

It runs niced, takes SIGINT as Ctrl-C also where it was started without a terminal, and writes JOB.end.json.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

from foveate.disk import write_atomically
from foveate.errors import FoveateError

STOPPED = 130  # exit code of Ctrl-C


def main(words: list[str]) -> int:
    """Run a job, and write how it ended."""
    job, kind, *rest = words
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from foveate.studio.jobs import NICE, STOP_ASKED, read_object

    if hasattr(os, "nice"):
        os.nice(max(0, NICE - os.nice(0)))
    end: dict[str, Any] = {"state": "done"}
    try:
        if STOP_ASKED in read_object(Path(f"{job}.json")):  # the signal came while Python started, and was ignored
            raise KeyboardInterrupt
        end["result"] = _run(kind, rest, Path(job))
    except KeyboardInterrupt:
        end["state"] = "stopped"
    except FoveateError as error:
        end |= {"state": "failed", "message": " ".join(str(error).split())}
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        end["state"] = "stopped" if code == STOPPED else "failed" if code else "done"
    except Exception as error:
        end |= {"state": "failed", "message": f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not stop the end from being written
    write_atomically(f"{job}.end.json", json.dumps({**end, "ended": time.time()}))
    return 0 if end["state"] == "done" else 1


def _run(kind: str, words: list[str], job: Path) -> dict[str, Any] | None:
    if kind == "export":
        run, file = words
        return export(run, file)
    if kind == "prelabel":
        from foveate.studio.prelabels import make_all

        data, run, name = words
        return make_all(data, run, name, Path(f"{job}.progress.json"))
    sys.argv = ["foveate", *words]
    runpy.run_module("foveate", run_name="__main__", alter_sys=True)
    return None


def export(run: str, file: str) -> dict[str, Any]:
    """Export a run, and say how well the file agrees with PyTorch."""
    import hashlib

    from foveate.export import export_onnx

    report = export_onnx(run, file)
    sizes = " and ".join(f"{width}x{height}" for height, width in report.sizes)
    files = []
    for path in (report.path, *report.beside):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"name": path.name, "bytes": path.stat().st_size, "sha256": digest})
    return {
        "files": files,
        "parity": f"checked against PyTorch{f' at {sizes}' if sizes else ''}: largest difference "
        f"{report.difference:.1e} of the largest logit",
        "serve": f"foveate serve {report.path}",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
