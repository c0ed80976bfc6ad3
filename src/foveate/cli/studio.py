"""Label, train, review and export in the browser, on this machine."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser
from foveate.errors import ConfigError


def run(argv: list[str]) -> int:
    """`foveate studio [DATA] [--run RUN] [--host HOST] [--port PORT] [--no-open] [--read-only]`."""
    parser = Parser("studio", __doc__ or "")
    parser.add_argument("data", metavar="DATA", nargs="?", default=".", help="the folder of pictures (default: here)")
    parser.add_argument("--run", metavar="RUN", help="a run or model folder whose predictions are offered as labels")
    parser.add_argument("--host", metavar="HOST", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", metavar="PORT", type=int, default=8400, help="the port (default 8400; 0: a free one)")
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name that the page is opened under"
    )
    parser.add_argument("--no-open", action="store_true", help="print the address, and open no browser")
    parser.add_argument("--read-only", action="store_true", help="look only: nothing in DATA is written")
    parser.epilog = (
        "Labels are LabelMe's JSON files beside the pictures, saved after every stroke. Everything stays on this "
        "machine; the printed address holds a key and works once, a new one is printed after it was used."
    )
    args = parser.parse_args(argv)
    _require_extra()

    from foveate.studio.serve import serve

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    given = None if args.run is None else _run_folder(args.run)
    serve(
        args.data, stop, run=given, host=args.host, port=args.port, hosts=frozenset(map(str.lower, args.allow_host)),
        read_only=args.read_only, opened=None if args.no_open else _open,
    )  # fmt: skip
    return 0


def _require_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "psutil")):
        raise ConfigError('the studio needs its extra; install it with: pip install "foveate[studio]"')


def _run_folder(path: str) -> Path:
    from foveate.predictor import peek_family
    from foveate.torchvision_networks import refuse

    refuse(path, "the studio")
    peek_family(Path(path))  # raises for what is no model
    return Path(path)


def _open(address: str) -> Any:
    import webbrowser

    return webbrowser.open(address)
