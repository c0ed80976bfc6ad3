"""Training: from a recipe to the run folder that every later verb starts from."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn

from foveate.disk import sweep
from foveate.engine.callbacks import EpochEnd
from foveate.engine.checkpoints import Checkpoints
from foveate.engine.learner import Learner
from foveate.engine.loading import require_workers
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
from foveate.engine.processes import is_first, share_folder
from foveate.engine.progress import Progress, plan_lines
from foveate.engine.recipe import Recipe
from foveate.engine.resume import (
    choose_folder,
    listing,
    require_same_data,
    require_same_recipe,
    started_from,
    with_earlier_options,
)
from foveate.engine.run import RunFolder
from foveate.engine.transfer import start_from
from foveate.engine.trial import fit_epochs
from foveate.errors import ConfigError, FoveateError, ModelError, OutputError, counted
from foveate.tasks import find_task
from foveate.tasks.base import Task

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
    weight file to start from. seconds: the training's time, from which the number of epochs follows.
    Raises a FoveateError; whatever epoch was finished stays.
    """
    started = time.monotonic()
    run = choose_folder(recipe, out, resume)
    if resume:
        recipe = with_earlier_precision(with_earlier_options(recipe, run), run)
        require_same_recipe(recipe, run)
    recipe = resolve_precision(recipe)
    where = getattr(recipe.data, "path", "")
    if where and run.path.resolve() == Path(where).resolve():
        raise ConfigError(f"{run.path} is the folder of the data, and stays as it is; choose another one with --out")
    require_workers(recipe)
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
    checkpoint = run.checkpoint if resume and run.checkpoint.is_file() else None
    if is_first():
        sweep(run.path)
    if checkpoint is not None:
        require_same_data(run, tables, about)
        if (preprocessing := run.preprocessing(family)) is not None:
            model.preprocessing = preprocessing
    else:
        init = init or (started_from(run) if resume else None)
        notes = learn_from(recipe, model, train_set, val_set)
        taken = start_from(model, init, tables, family.sizes) if init is not None else ""
        if seconds is not None:
            recipe = fit_epochs(Prepared(recipe, model, *suited_for(recipe, model, tables, train_set, val_set)),
                                seconds - (time.monotonic() - started))  # fmt: skip
        if is_first():
            for note in notes:
                print(f"note: {note}", flush=True)
            if taken:
                print(f"from {init}: {taken}", flush=True)
            run.start(recipe, tables, about | {"init": str(init) if init else None})
    with share_folder(run.path), _quiet_threads():
        task, train_set, val_set = suited_for(recipe, model, tables, train_set, val_set)
        if checkpoint is None and init is None:
            task.initialise(model, train_set)
        deadline = None if seconds is None else started + seconds
        _fit(recipe, run, model, (task, train_set, val_set), checkpoint, deadline)
    return run.path


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
    trainer = _trainer(recipe, run)
    world = trainer.world_size
    if recipe.batch_size % world or len(train_set) < world:
        raise ConfigError(
            f"batches of {recipe.batch_size} from {counted(len(train_set), 'sample')} cannot be dealt evenly "
            f"to {world} "
            "processes; choose a batch_size that is a multiple, and no more processes than samples"
        )
    batches = make_batches(recipe, model, task, train_set, val_set, trainer.global_rank, world)
    loader = batches.loader
    learner = Learner(model, recipe, total_steps=recipe.epochs * math.ceil(len(loader) / recipe.accumulate))
    remarks = [task.remark(batches.training), remark(recipe, trainer.strategy.root_device)]
    if hasattr(model, "remark"):
        remarks.append(model.remark(recipe.epochs * len(loader)))  # type: ignore[operator]
    if is_first():
        for sentence in filter(None, remarks):
            print(f"note: {sentence}", flush=True)
        for line in plan_lines(recipe, learner, task, trainer.strategy.root_device, len(batches.training),
                               len(val_set), len(loader)):  # fmt: skip
            print(line, flush=True)
    epoch_end = EpochEnd(
        run, recipe, task, batches.val_set, batches.loss_set, batches.training, loader.batch_sampler, deadline
    )
    trainer.callbacks += [epoch_end, Progress(run, recipe, epoch_end, len(loader))]  # type: ignore[attr-defined]
    try:
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


def _trainer(recipe: Recipe, run: RunFolder) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=run.path,
        accelerator="auto",
        devices=recipe.devices or ("auto" if torch.cuda.is_available() else 1),
        num_nodes=recipe.nodes,
        strategy="ddp" if recipe.devices > 1 or recipe.nodes > 1 else "auto",
        precision=PLUGINS[recipe.precision],
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.optim.clip or None,
        use_distributed_sampler=False,  # EpochBatches deals each process its share
        logger=TensorBoardLogger(run.path, name="", version="tensorboard"),
        plugins=[Checkpoints()],
        profiler=_Unmeasured(),
        enable_checkpointing=False,  # EpochEnd asks for them
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


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
