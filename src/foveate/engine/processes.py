"""Processes of one training: their ranks, known before they can communicate, and what the first one decides for all.

Lightning starts the others of a machine by running the command again with LOCAL_RANK set. On several machines a
launcher (torchrun or SLURM's srun) starts all of them. They share nothing but the network: the first process alone
reads and writes the run folder, prints, and passes on what the others need.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from foveate.errors import ConfigError, DataError, FoveateError, TrainingError, counted

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
FOLDER = "FOVEATE_RUN"
T = TypeVar("T")


def is_first() -> bool:
    """True in the process that prints and writes."""
    if "RANK" in os.environ:  # torchrun numbers processes by itself, also where SLURM numbered their launchers
        return os.environ["RANK"] == "0"
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def launched() -> int:
    """Number of processes that torchrun or SLURM's srun started for this command; 0 if neither did."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 0 if interactive or "SLURM_PROCID" not in os.environ else int(os.environ.get("SLURM_NTASKS", "0"))


def join() -> None:
    """Connect the processes that a launcher started, if one did. Every later call does nothing.

    Raises TrainingError if they do not reach each other.
    """
    if launched() < 2 or is_connected():
        return
    import torch
    import torch.distributed as dist
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if not TorchElasticEnvironment.detect() and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ConfigError(
            f"SLURM started {launched()} tasks without a number for each machine; give --ntasks-per-node to sbatch or "
            "srun, not --ntasks"
        )
    try:
        environment = TorchElasticEnvironment() if TorchElasticEnvironment.detect() else SLURMEnvironment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
        if torch.cuda.is_available():
            torch.cuda.set_device(environment.local_rank() % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, rank=environment.global_rank(), world_size=environment.world_size())
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"the {launched()} processes of this training do not reach each other at {where} ({reason}); open this "
            "port between the machines, and name their network interface with GLOO_SOCKET_IFNAME if they have several"
        ) from error


def is_connected() -> bool:
    """True in a training of several processes, once they can communicate."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def from_first(work: Callable[[], T]) -> T:
    """Return the result of `work`, which the first of connected processes computes; without a connection, each does.

    work: reads what only the first process can see, as the run folder; its result can be pickled. Where it raises a
    FoveateError, the first process raises it, and the others leave with SystemExit.
    """
    if not is_connected():
        return work()
    import torch
    import torch.distributed as dist

    sent: list[Any] = [None, None]
    failure: FoveateError | None = None
    if dist.get_rank() == 0:
        try:
            sent = [True, work()]
        except FoveateError as error:
            sent, failure = [False, None], error
    with lost_connections():
        dist.broadcast_object_list(sent, src=0, device=torch.device("cpu"))
    if failure is not None:
        raise failure
    if not sent[0]:
        raise SystemExit(1)
    result: T = sent[1]
    return result


def require_equal(facts: Mapping[str, Any]) -> None:
    """Raise DataError in the first of connected processes unless all have the same facts; the others leave.

    facts: name in words -> plain JSON values.
    """
    if not is_connected():
        return
    import torch.distributed as dist

    own = {
        name: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest() for name, value in facts.items()
    }
    every: list[Any] = [None] * dist.get_world_size()
    with lost_connections():
        dist.all_gather_object(every, own)
    for name in own:
        others = [rank for rank, theirs in enumerate(every) if theirs.get(name) != every[0].get(name)]
        if others and dist.get_rank() == 0:
            raise DataError(
                f"process {others[0]} has {name} other than process 0; a training on several machines needs the same "
                "version of Foveate, the same command and a copy of the same data, at the same path, on each"
            )
        if others:
            raise SystemExit(1)


@contextlib.contextmanager
def lost_connections() -> Iterator[None]:
    """Raise TrainingError for an error of the body that says that the connection to another process broke."""
    try:
        yield
    except RuntimeError as error:
        if not is_connected():
            raise
        import torch.distributed as dist

        if not (isinstance(error, dist.DistError) or "gloo" in str(error) or "closed by peer" in str(error)):
            raise
        raise TrainingError(
            "another process of this training ended, and its own messages say why if it could; every finished epoch is "
            "kept: start all of them again, with --resume"
        ) from error


def devices_of(devices: int, nodes: int) -> int:
    """The processes of each machine: as a recipe says, or as the launcher started them where it says 0.

    Raises ConfigError where the launcher started other numbers of machines or processes, and for several machines
    without a launcher.
    """
    world = launched()
    if not world:
        if nodes > 1:
            raise ConfigError(
                f"nodes is {nodes}, but no launcher started this process; start it on each machine with torchrun, or "
                "with srun in a SLURM job (see 'Many machines' in the documentation), or give --nodes 1"
            )
        return devices
    if "TORCHELASTIC_RUN_ID" in os.environ:
        machines = world // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    else:
        machines = int(os.environ.get("SLURM_NNODES", "1"))
    each = devices or world // machines
    if (machines, machines * each) != (nodes, world):
        raise ConfigError(
            f"the launcher started {counted(world, 'process', 'processes')} on {counted(machines, 'machine')}, but "
            f"nodes is {nodes} and devices is {each}; give the number of machines as --nodes, and of processes on each "
            "as --devices"
        )
    return each


@contextlib.contextmanager
def share_folder(run: Path) -> Iterator[None]:
    """Pass the run folder that the first process chose to the processes that are started meanwhile."""
    os.environ[FOLDER] = str(run.absolute())
    try:
        yield
    finally:
        os.environ.pop(FOLDER, None)


def shared_folder() -> Path | None:
    """The run folder that the first process chose, if it started this one."""
    return Path(os.environ[FOLDER]) if FOLDER in os.environ else None
