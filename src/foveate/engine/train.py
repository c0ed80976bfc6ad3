"""Training: from a recipe to the run folder that every later verb starts from."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn

from foveate.disk import sweep
from foveate.engine.callbacks import EpochEnd
from foveate.engine.checkpoints import Checkpoints
from foveate.engine.fields import to_json
from foveate.engine.learner import Learner
from foveate.engine.loading import require_workers
from foveate.engine.locking import locked_run
from foveate.engine.loggers import open_logger, require_logger
from foveate.engine.precision import PLUGINS, remark, resolve_precision, with_earlier_precision
from foveate.engine.prepare import (
    Prepared,
    build_model,
    learn_from,
    make_batches,
    open_sets,
    require_suitable_augmentation,
    suited_for,
)
from foveate.engine.processes import (
    devices_of,
    from_first,
    is_first,
    join,
    launched,
    lost_connections,
    require_equal,
    share_folder,
)
from foveate.engine.progress import Progress, plan_lines
from foveate.engine.recipe import FEWEST_STEPS, Recipe, enough_epochs
from foveate.engine.resume import (
    MAY_DIFFER,
    choose_folder,
    finished_line,
    listing,
    require_same_data,
    require_same_recipe,
    require_same_start,
    started_from,
    with_earlier_options,
)
from foveate.engine.run import RunFolder
from foveate.engine.transfer import start_from
from foveate.engine.trial import fit_epochs, fit_threads, using_threads
from foveate.errors import ConfigError, FoveateError, ModelError, OutputError, counted
from foveate.records import Table, traits_of
from foveate.tasks import find_task
from foveate.tasks.base import Task
from foveate.version import __version__

_NOTHING = contextlib.nullcontext()


def train_recipe(
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    seconds: float | None = None,
) -> Path:
    """Train a recipe and return its run folder.

    out: the folder, by default runs/<recipe>, numbered if that is taken. resume: go on with the run in `out` (by
    default the newest of that name) from its last finished epoch; without one, start over. init: a run, model folder or
    weight file to start from. seconds: the training's time, from which the number of epochs follows; that of a resumed
    run is kept.
    Raises a FoveateError; whatever epoch was finished stays.
    """
    started = time.monotonic()
    join()
    run = from_first(lambda: choose_folder(recipe, out, resume))
    if resume:
        recipe = dataclasses.replace(recipe, **from_first(lambda: as_started(recipe, run, seconds)))
    devices_of(recipe.devices, recipe.nodes)
    # Other machines may have another processor: the first one's choice holds for all.
    recipe = dataclasses.replace(recipe, precision=from_first(lambda: resolve_precision(recipe).precision))
    where = getattr(recipe.data, "path", "")
    if where and run.path.resolve() == Path(where).resolve():
        raise ConfigError(f"{run.path} is the folder of the data; choose another one for the run with --out")
    require_workers(recipe)
    require_logger(recipe.logger)
    require_suitable_augmentation(recipe)
    _quiet()
    if not torch.cuda.is_available():
        # Lightning's import sets this; then optimisers, which look for a GPU at every step, open the driver's library
        # each time, in vain.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

    family = find_task(recipe.task)
    train_set, val_set, described = open_sets(recipe)
    if is_first():
        for note in recipe.data.notes(recipe.task):
            print(f"note: {note}", flush=True)
    tables = family.learn_tables(train_set, recipe)
    model = build_model(recipe, tables, train_set)
    about = {"source": described, **listing(train_set, val_set)}
    _require_equal(recipe, tables, about)
    with locked_run(recipe, run, out, resume) as run:
        checkpoint = from_first(lambda: run.checkpoint if resume and run.checkpoint.is_file() else None)
        if is_first():
            sweep(run.path)
        if checkpoint is not None:
            from_first(lambda: require_same_start(run, init))
            from_first(lambda: require_same_data(run, tables, about))
            if (preprocessing := from_first(lambda: run.preprocessing(family))) is not None:
                model.preprocessing = preprocessing
        else:
            init = from_first(lambda: init or (started_from(run) if resume else None))
            notes = learn_from(recipe, model, train_set, val_set)
            taken = _start_from(model, init, tables, family) if init is not None else ""
            suited = suited_for(recipe, model, tables, train_set, val_set)
            recipe = fit_threads(Prepared(recipe, model, *suited))
            if seconds is not None:
                with using_threads(recipe.threads):
                    recipe = fit_epochs(Prepared(recipe, model, *suited), seconds - (time.monotonic() - started))
            if is_first():
                for note in notes:
                    print(f"note: {note}", flush=True)
                if taken:
                    print(f"from {init}: {taken}", flush=True)
                with using_threads(recipe.threads):
                    run.start(recipe, tables, about | {"init": str(init) if init else None})
        with share_folder(run.path), _quiet_threads(), using_threads(recipe.threads):
            task, train_set, val_set = suited_for(recipe, model, tables, train_set, val_set)
            if checkpoint is None and init is None:
                task.initialise(model, train_set)
            deadline = None if seconds is None else started + seconds
            _fit(recipe, run, model, (task, train_set, val_set), checkpoint, deadline)
    return run.path


def as_started(recipe: Recipe, run: RunFolder, seconds: float | None) -> dict[str, Any]:
    """The fields of a resumed run that its start decided. Raises ConfigError where its recipe is another one."""
    recipe = with_earlier_precision(with_earlier_options(recipe, run), run)
    if seconds is not None and run.recipe_file.is_file():
        recipe = dataclasses.replace(recipe, epochs=run.recipe().epochs)
    require_same_recipe(recipe, run)
    threads = recipe.threads or (run.recipe().threads if run.recipe_file.is_file() else 0)
    started = {name: getattr(recipe, name) for name in ("options", "precision", "epochs")}
    return {**started, "threads": threads}


def _require_equal(recipe: Recipe, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
    """Raise DataError unless all processes that a launcher started have the same recipe, samples and tables."""
    fields = {name: value for name, value in to_json(recipe).items() if name not in MAY_DIFFER}
    samples = {key: about[key] for key in ("train", "val", "digests")}
    written = {name: table.to_json() for name, table in tables.items()}
    require_equal({"a version": __version__, "fields": fields, "tables": written, "samples": samples})


def _start_from(model: nn.Module, init: str | Path, tables: Mapping[str, Table], family: Any) -> str:
    """`start_from`, which the first process does for all; the others take its weights and preprocessing."""

    def taken() -> tuple[str, dict[str, Any], Any]:
        words = start_from(model, init, tables, family.sizes)
        return words, model.state_dict(), getattr(model, "preprocessing", None)

    words, state, preprocessing = from_first(taken)
    if not is_first():
        model.load_state_dict(state)
        if preprocessing is not None:
            model.preprocessing = preprocessing
    return words


def _fit(
    recipe: Recipe,
    run: RunFolder,
    model: nn.Module,
    suited: tuple[Task, Any, Any],
    checkpoint: Path | None,
    deadline: float | None,
) -> None:
    """Train. suited: the family, and the sets as its model takes them. deadline: on the monotonic clock, or None."""
    task, train_set, val_set = suited
    trainer = _trainer(recipe, run, open_logger(recipe, run, resumed=checkpoint is not None))
    world = trainer.world_size
    if recipe.batch_size % world or len(train_set) < world:
        raise ConfigError(
            f"batches of {recipe.batch_size} from {counted(len(train_set), 'sample')} cannot be divided evenly among "
            f"{world} processes; choose a batch_size that is a multiple, and no more processes than samples"
        )
    batches = make_batches(recipe, model, task, train_set, val_set, trainer.global_rank, world)
    loader = batches.loader
    learner = Learner(model, recipe, total_steps=recipe.epochs * math.ceil(len(loader) / recipe.accumulate))
    remarks = [task.remark(batches.training), remark(recipe, trainer.strategy.root_device)]
    if world > 1 and learner.normalises:
        remarks.append(
            f"batch normalisation sees the {recipe.batch_size // world} samples of a process, not a whole batch of "
            f"{recipe.batch_size}; --freeze_norm true avoids that"
        )
    if world > 1 and (names := traits_of(model).losses_of_a_set):
        remarks.append(
            f"{', '.join(names)}: this loss compares the {recipe.batch_size // world} samples of a process, not a "
            f"whole batch of {recipe.batch_size}, so that the result depends a little on the number of processes"
        )
    steps = recipe.epochs * len(loader)
    if steps < FEWEST_STEPS and deadline is None:
        epochs = enough_epochs(recipe.epochs, len(batches.training), recipe.batch_size)
        remarks.append(
            f"{counted(steps, 'step')} in all may be too few to learn much; --epochs {epochs} makes {FEWEST_STEPS} or "
            "more"
        )
    if hasattr(model, "remark"):
        remarks.append(model.remark(steps))  # type: ignore[operator]
    if is_first():
        if checkpoint is not None and (finished := finished_line(run, recipe, task.monitor)):
            lines = [finished]
        else:
            lines = [f"note: {sentence}" for sentence in filter(None, remarks)]
            lines += plan_lines(recipe, learner, task, trainer.strategy.root_device, len(batches.training),
                                len(val_set), len(loader))  # fmt: skip
        print(*lines, sep="\n", flush=True)
    epoch_end = EpochEnd(
        run, recipe, task, batches.val_set, batches.loss_set, batches.training, loader.batch_sampler, deadline,
        world, learner.normalises,
    )  # fmt: skip
    trainer.callbacks += [epoch_end, Progress(run, recipe, epoch_end, len(loader))]  # type: ignore[attr-defined]
    try:
        with lost_connections():
            trainer.fit(learner, loader, ckpt_path=checkpoint, weights_only=True)
    except FoveateError as error:
        raise _as_raised(error) from error
    except SystemExit:  # what Lightning makes of Ctrl-C
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    except OSError as error:
        if isinstance(error.__context__, FoveateError):  # the first failure; closing the logs was the second
            raise error.__context__ from error
        raise OutputError(
            f"cannot write into {run.path}: {error.strerror or error}; every finished epoch is kept"
        ) from error
    except (KeyError, RuntimeError) as error:
        if checkpoint is not None and trainer.global_step == 0:
            raise ModelError(
                f"{checkpoint} was written by another version ({type(error).__name__}); delete it to start over"
            ) from error
        raise
    if is_first():
        print(f"kept: {epoch_end.kept()}", flush=True)


def _as_raised(error: FoveateError) -> FoveateError:
    """An error from a loading process, which torch wraps in a traceback, as it was raised there."""
    text = str(error)
    if not text.startswith("Caught "):
        return error
    return type(error)(text.rpartition(f"{type(error).__name__}: ")[2].strip())


def _trainer(recipe: Recipe, run: RunFolder, logger: Logger | bool) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=run.path,
        accelerator="auto",
        devices=devices_of(recipe.devices, recipe.nodes) or ("auto" if torch.cuda.is_available() else 1),
        num_nodes=recipe.nodes,
        strategy="ddp" if recipe.devices > 1 or recipe.nodes > 1 or launched() > 1 else "auto",
        precision=PLUGINS[recipe.precision],
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.optim.clip or None,
        use_distributed_sampler=False,  # EpochBatches deals each process its share
        logger=logger,
        plugins=[Checkpoints(), *_environment()],
        profiler=_Unmeasured(),
        enable_checkpointing=False,  # EpochEnd asks for them
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


def _environment() -> list[SLURMEnvironment]:
    """SLURM's environment without Lightning's own checkpoints, which only the machine that wrote them would find."""
    is_slurm = launched() > 1 and not TorchElasticEnvironment.detect()
    return [SLURMEnvironment(auto_requeue=False)] if is_slurm else []


class _Unmeasured(PassThroughProfiler):
    """Lightning opens its profiler around every hook; where nobody reads it, that must cost nothing."""

    def profile(self, action_name: str) -> Any:
        """A context that does nothing, always the same one."""
        return _NOTHING


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """Keep TensorBoard's writing thread from printing a traceback for a full disk; EpochEnd reports it in one line."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if issubclass(args.exc_type, OSError) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before


def _quiet() -> None:
    """Silence Lightning's advice, which is for its own users."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
