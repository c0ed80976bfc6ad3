"""Work spread over the processes of a Ray cluster by Ray Data, in chunks that are done again where a process dies.

    for number, result in spread(Worker, (settings,), cut, address="auto"):
        ...

Each process makes one `Worker(*arguments)`, for example with a model, and calls it with one chunk after another. What
it computes must be a function of the chunk, and what it writes be written whole, since a chunk of a process that was
killed is done again on another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from foveate.errors import ConfigError, FoveateError

LOCAL = "local"
RETRIES = 3  # of a chunk whose process died, before the chunk itself is taken for the cause
THREADS = 1  # of each process; Ray gives it one core


def spread(
    worker: Callable[..., Callable[[Any], Any]],
    arguments: Sequence[Any],
    cut: Callable[[int], Sequence[Any]],
    address: str,
) -> Iterator[tuple[int, Any]]:
    """Yield (number of a chunk, its result) as they are done, in any order; None for one that kills each process.

    worker: a class at the top of a module, made once in each process with the arguments. cut: number of processes ->
    the chunks. address: of a running cluster ("auto" or host:port), or LOCAL, which starts one on the cores of this
    machine. Raises ConfigError where Ray is not installed, or no cluster is at the address, and any FoveateError of a
    worker.
    """
    with _connected(address) as ray:
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = -1  # a chunk that kills its process is left out, and the others go on
        cores = int(ray.cluster_resources().get("CPU", 0))
        if not cores:
            raise ConfigError(f"the cluster at {address} has no free core; add a machine, or give another address")
        rows = [{"number": number, "chunk": _Sealed(chunk)} for number, chunk in enumerate(cut(cores))]
        if not rows:
            return
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Process,
            fn_constructor_args=(worker, tuple(arguments)),
            concurrency=min(cores, len(rows)),
            num_cpus=THREADS,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        seen = set()
        try:
            for row in done.iter_rows():
                result = row["result"].content
                if isinstance(result, FoveateError):
                    raise result
                seen.add(row["number"])
                yield row["number"], result
        except ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[-300:]
            raise FoveateError(f"the cluster at {address} gave up: {reason}") from error
        for number in sorted(set(range(len(rows))) - seen):
            yield number, None


@dataclass(frozen=True)
class _Sealed:
    """A value that Ray Data passes on as it is, and does not take apart into columns."""

    content: Any


class _Process:
    """One process of the cluster, with its worker. An error is a result, so that it is not tried again."""

    def __init__(self, worker: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
        import torch

        torch.set_num_threads(THREADS)
        self.error: FoveateError | None = None
        try:
            self.worker = worker(*arguments)
        except FoveateError as error:
            self.error = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.error is not None:
                raise self.error
            result = self.worker(row["chunk"].content)
        except FoveateError as error:
            result = type(error)(str(error))
        return {"number": row["number"], "result": _Sealed(result)}


def _cores() -> int:
    """The cores of this machine that the process may use, as far as the system says."""
    allowed = getattr(os, "sched_getaffinity", None)  # on Linux alone
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a cluster, or start one; the module `ray`. One that was started here is shut down at the end."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of a coming default
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports to nobody
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(
            f"--ray needs Ray Data, which is not installed here ({error}): pip install 'foveate[cluster]'"
        ) from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if ray.is_initialized():  # by the caller
        yield ray
        return
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        settings |= {"num_cpus": _cores(), "include_dashboard": False}
    else:
        settings["address"] = address
    try:
        ray.init(**settings)
    except Exception as error:  # Ray raises a bare one where its processes do not start in time
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"no Ray cluster at {address} ({reason}); start one with `ray start --head`, give its address, or --ray "
            "without one for this machine"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
