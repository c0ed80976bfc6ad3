"""Serve models over HTTP: predictions as JSON, health, metrics, and a page to try them."""

from __future__ import annotations

from pathlib import Path

from foveate.cli.early import check_run
from foveate.cli.flags import Parser, add_runtime
from foveate.errors import ConfigError

SIZES = {"k": 10**3, "M": 10**6, "G": 10**9}


def run(argv: list[str]) -> int:
    """`foveate serve MODEL... [--host HOST] [--port N] [--token FILE] ...`."""
    parser = Parser("serve", __doc__ or "")
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="a run folder, a model folder, an exported .onnx file, or torchvision/NAME; NAME=MODEL gives another name",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", default="8000", metavar="N", help="port; 0 takes a free one (8000)")
    parser.add_argument("--token", metavar="FILE", help="file whose first line every request must give as its token")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="host name that requests may use; repeatable"
    )
    parser.add_argument("--queue", default="64", metavar="N", help="requests that are taken at a time (64)")
    parser.add_argument("--max-bytes", default="20M", metavar="SIZE", help="largest body, as 500k or 20M (20M)")
    parser.add_argument("--max-pixels", default="20M", metavar="N", help="largest image, as 4M (20M)")
    parser.add_argument("--deadline", default="30", metavar="S", help="seconds to the answer, waiting included (30)")
    parser.add_argument("--threads", metavar="N", help="threads of a model (as many as cores)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add_runtime(parser)
    args = parser.parse_args(argv)
    for word in args.models:
        name, separator, path = word.partition("=")
        check_run(path if separator and name and not Path(word).exists() else word)
    require_extra()

    from foveate.server.models import named
    from foveate.server.serving import Limits, Settings, host_names, read_token, require_safe, serve

    limits = Limits(
        size("--queue", args.queue),
        size("--max-bytes", args.max_bytes),
        size("--max-pixels", args.max_pixels),
        number("--deadline", args.deadline),
    )
    token = read_token(Path(args.token)) if args.token is not None else None
    require_safe(args.host, token)
    if args.threads is not None:
        import torch

        torch.set_num_threads(size("--threads", args.threads))
    hosts = host_names(args.host, args.allow_host)
    port = size("--port", args.port, least=0)
    paths = named(args.models)
    return serve(Settings(paths, args.host, port, token, hosts, limits, args.device, args.runtime, args.precision))


def require_extra() -> None:
    """Raise ConfigError where starlette or uvicorn is not installed."""
    from importlib.util import find_spec

    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise ConfigError(f"this needs {' and '.join(missing)}: pip install 'foveate[studio]'")


def size(flag: str, text: str, least: int = 1) -> int:
    """A whole number, as 64, 500k or 20M. Raises ConfigError for anything else."""
    factor = SIZES.get(text[-1:], 1)
    digits = text[:-1] if text[-1:] in SIZES else text
    if not (digits.isascii() and digits.isdigit()) or int(digits) * factor < least:
        raise ConfigError(f"{flag} is '{text}'; give a whole number from {least} on, such as 64, 500k or 20M")
    return int(digits) * factor


def number(flag: str, text: str) -> float:
    """A number above 0. Raises ConfigError for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{flag} is '{text}'; give seconds above 0")
    return value
