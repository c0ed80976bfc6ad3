"""`foveate serve` from its flags to its exit: the address first, then the models, and answers until it is stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foveate.errors import ConfigError, counted
from foveate.server import listen
from foveate.server.app import OPEN, Service
from foveate.server.guard import Policy
from foveate.server.metrics import Metrics
from foveate.server.models import Models, Served, load, require_models
from foveate.server.predict import warm_up
from foveate.server.work import AbandonedError, Work
from foveate.tasks.exported import is_exported

DRAIN_SECONDS = 10.0
SPARE_CONNECTIONS = 256  # beyond the queue: for health, metrics, and clients that are being refused
LEAST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Limits:
    """Limits of a server. queue: requests that are read, wait or run. deadline: seconds; 0 is no valid one."""

    queue: int = 64
    max_bytes: int = 20_000_000
    max_pixels: int = 20_000_000
    deadline: float = 30.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not value > 0:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}; give more than 0")


def read_token(path: Path) -> str:
    """The token in the first line of a file. Raises ConfigError for a file that holds none, or a short one."""
    try:
        token = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--token {path} cannot be read ({error}); give a file with a token of ASCII in it"
        ) from error
    if len(token) < LEAST_TOKEN or not token.isprintable() or " " in token:
        raise ConfigError(
            f"--token {path}: its first line has {counted(len(token), 'character')}; give {LEAST_TOKEN} or more "
            "without blanks, as of: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def require_safe(host: str, token: str | None) -> None:
    """Raise ConfigError for an address that other machines reach, without a token."""
    if token is None and not listen.is_loopback(host):
        raise ConfigError(
            f"--host {host} is reached from other machines; give --token FILE as well, or leave it at 127.0.0.1"
        )


def host_names(host: str, allowed: list[str]) -> frozenset[str]:
    """Names under which a server may be asked: those that were allowed, and its own address."""
    own = [] if host in ("0.0.0.0", "::", "") else [f"[{host}]" if ":" in host and host[0] != "[" else host]
    return frozenset(name.lower() for name in [*allowed, *own])


@dataclass(frozen=True)
class Settings:
    """The settings of `foveate serve`.

    hosts: names beside those of loopback. runtime, precision: of exported files (`Predictor.open`).
    """

    paths: Mapping[str, Path]
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    hosts: frozenset[str] = frozenset()
    limits: Limits = Limits()
    device: str = "auto"
    runtime: str | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        chosen = self.runtime is not None or self.precision != "float32"
        if chosen and not any(is_exported(path) for path in self.paths.values()):
            raise ConfigError(
                "--runtime and --precision are for exported files, and none is served; leave them out, or give a file "
                "that foveate export writes"
            )


def serve(settings: Settings) -> int:
    """Serve until a signal comes; the exit code.

    Raises ConfigError for an address that cannot be had, ModelError for a path that is no model.
    """
    require_models(settings.paths.values())
    listening = listen.bind(settings.host, settings.port)
    print(listen.address_of(listening), flush=True)
    limits = settings.limits
    models, metrics = Models(settings.paths), Metrics()
    work = Work(limits.queue, limits.deadline)
    service = Service(models, work, metrics, limits.max_pixels)
    policy = Policy(settings.hosts, settings.token, None, OPEN, limits.max_bytes, observe=service.observe)
    server = listen.Server(service.app(policy), lambda: work.drain(DRAIN_SECONDS), limits.queue + SPARE_CONNECTIONS)
    failure: list[BaseException] = []

    def load_one(name: str, path: Path) -> Served:
        limited = dataclasses.asdict(limits)
        served = load(name, path, settings.device, limited, settings.runtime, settings.precision)
        warm_up(served.predictor, lambda: server.should_exit)
        title = served.predictor.family.title
        print(f"{name}: {served.predictor.name}, {title} ({served.predictor.runtime})", file=sys.stderr, flush=True)
        return served

    def load_all() -> None:
        try:
            models.load_all(load_one)
        except BaseException as error:
            failure.append(error)
            server.should_exit = True

    loader = threading.Thread(target=load_all, name="foveate-load", daemon=True)
    work.start()
    loader.start()
    asyncio.run(server.serve(sockets=[listening]))
    loader.join(1.0)
    if failure and not isinstance(failure[0], AbandonedError):
        raise failure[0]
    if not work.stop() or loader.is_alive():
        _leave(0)
    return 0


def _leave(code: int) -> None:
    """End the process though a thread is still busy in a model, which nothing can interrupt."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
