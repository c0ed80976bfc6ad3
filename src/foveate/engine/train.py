"""Training: from a recipe to the run folder that every later verb starts from."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.profilers import PassThroughProfiler
from torch import nn

from foveate.disk import sweep
from foveate.engine.callbacks import EpochEnd, Progress
from foveate.engine.checkpoints import Checkpoints
from foveate.engine.features import with_features
from foveate.engine.intensities import header_notes, require_one_depth, window_note
from foveate.engine.learner import Learner
from foveate.engine.loading import SuitedDataset, cached, mixed_seed, require_workers, train_loader
from foveate.engine.processes import is_first, share_folder
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
from foveate.errors import ConfigError, DataError, FoveateError, ModelError, OutputError, counted
from foveate.ops.layout import channels_last
from foveate.records import Table
from foveate.registry import create_model, create_recipe, entries, find, make_config
from foveate.tasks import create_task, find_task
from foveate.tasks.base import Count, Task

_NOTHING = contextlib.nullcontext()
VALIDATION = ("val", "validation", "test")


def train_recipe(
    recipe: Recipe, *, out: str | Path | None = None, resume: bool = False, init: str | Path | None = None
) -> Path:
    """Train a recipe and return its run folder.

    out: the folder, by default runs/<recipe>, numbered if that is taken. resume: go on with the run in `out` (by
    default the newest of that name) from its last finished epoch; without one, start over. init: a run, model folder or
    weight file to start from. Raises a FoveateError; whatever epoch was finished stays.
    """
    run = choose_folder(recipe, out, resume)
    if resume:
        recipe = with_earlier_options(recipe, run)
        require_same_recipe(recipe, run)
    if recipe.data is None:
        raise ConfigError(f"recipe '{recipe.name}' is for your own data: say where it is with --data PATH")
    where = getattr(recipe.data, "path", "")
    if where and run.path.resolve() == Path(where).resolve():
        raise ConfigError(f"{run.path} is the folder of the data, and stays as it is; choose another one with --out")
    require_workers(recipe)
    _require_augmentation(recipe)
    _quiet()
    if not torch.cuda.is_available():
        # Lightning's import sets this; then optimisers, which look for a GPU at every step, open the driver's library
        # each time, in vain.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

    family = find_task(recipe.task)
    train_set, val_set = (recipe.data.open(split, recipe.task) for split in ("train", validation_split(recipe.data)))
    described = recipe.data.describe(recipe.task)
    for split, dataset in (("train", train_set), ("validation", val_set)):
        if len(dataset) == 0:
            raise DataError(f"{described}: the {split} split is empty; add samples to it")
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
        notes = header_notes((train_set, val_set), family.noun())
        if (preprocessing := getattr(model, "preprocessing", None)) is not None:
            require_one_depth((train_set, val_set), recipe.window)
            model.preprocessing = family.learn_preprocessing(preprocessing, train_set, recipe.window)
            notes += window_note(model.preprocessing, recipe.window)
        taken = start_from(model, init, tables, family.sizes) if init is not None else ""
        if is_first():
            for note in notes:
                print(f"note: {note}", flush=True)
            if taken:
                print(f"from {init}: {taken}", flush=True)
            run.start(recipe, tables, about | {"init": str(init) if init else None})
    with share_folder(run.path), _quiet_threads():
        task = create_task(recipe.task, tables, getattr(model, "preprocessing", None), recipe.options)
        task.require(task.options)
        train_set, val_set = (SuitedDataset(dataset, task, recipe.model) for dataset in (train_set, val_set))
        if checkpoint is None and init is None:
            task.initialise(model, train_set)
        _fit(recipe, run, model, task, train_set, val_set, checkpoint)
    return run.path


def build_model(recipe: Recipe, tables: Mapping[str, Table], dataset: Any) -> nn.Module:
    """The recipe's model for these tables and this training set, initialised from the recipe's seed.

    Raises ConfigError where a field of its Config was given that the data decides otherwise.
    """
    decided: dict[str, int] = {}
    for field, source in find_task(recipe.task).sizes.items():
        if not hasattr(recipe.config, field):
            continue
        decided[field] = getattr(dataset, source.attribute) if isinstance(source, Count) else len(tables[source])
        bounded = recipe.text is not None and not isinstance(source, Count)
        _require_agreement(recipe, field, decided[field], "; text.size bounds it" if bounded else "")
    torch.manual_seed(mixed_seed(recipe.seed, -1))
    model: nn.Module = create_model(recipe.model, **vars(recipe.config) | decided)
    return channels_last(model)


def _require_augmentation(recipe: Recipe) -> None:
    """Raise ConfigError where a recipe augments images of a model that has to see them as they are."""
    if recipe.augment is not None and not getattr(find("model", recipe.model).load(), "takes_augmented", True):
        raise ConfigError(
            f"recipe '{recipe.name}' augments its images, but {recipe.model} takes each as it is, and changes what it "
            f"sees of it by itself; train {recipe.model} by a recipe without augmentation, such as '{recipe.model}'"
        )


def _require_agreement(recipe: Recipe, field: str, found: int, hint: str = "") -> None:
    """Raise ConfigError for a value that the user gave and the data contradicts; a default gives way to the data."""
    given = getattr(recipe.config, field)
    base = create_recipe(recipe.name) if recipe.name in entries("recipe") else None
    usual = base.config if base is not None and base.model == recipe.model else make_config(recipe.model)
    if given not in (found, getattr(usual, field)):
        raise ConfigError(f"config.{field} is {given}, but the data has {found}; leave it out{hint}")


def validation_split(source: Any) -> str:
    """The split that epochs are ranked on: val, else test. Raises DataError."""
    for name in VALIDATION:
        if name in source.splits():
            return name
    raise DataError(f"{source.describe()}: no split to validate on, only {', '.join(source.splits())}; add a val split")


def _fit(
    recipe: Recipe,
    run: RunFolder,
    model: nn.Module,
    task: Task,
    train_set: Any,
    val_set: Any,
    checkpoint: Path | None,
) -> None:
    trainer = _trainer(recipe, run)
    world = trainer.world_size
    if recipe.batch_size % world or len(train_set) < world:
        raise ConfigError(
            f"batches of {recipe.batch_size} from {counted(len(train_set), 'sample')} cannot be dealt evenly "
            f"to {world} "
            "processes; choose a batch_size that is a multiple, and no more processes than samples"
        )
    if recipe.features:
        train_set, val_set = with_features(train_set, val_set, model, trainer.global_rank, world)
    cached_train, cached_val = cached(train_set, val_set, recipe, world)
    if recipe.class_weights != "none":
        task.weigh_classes((cached_train[i] for i in range(len(train_set))), recipe.class_weights)
    transform = recipe.augment.build(task.tables, task.preprocessing) if recipe.augment is not None else None
    training = task.training_set(cached_train)
    lengths = task.lengths(training)
    loader = train_loader(recipe, training, transform, task.collate, trainer.global_rank, world, lengths)
    learner = Learner(model, recipe, total_steps=recipe.epochs * math.ceil(len(loader) / recipe.accumulate))
    remarks = [task.remark(training)]
    if hasattr(model, "remark"):
        remarks.append(model.remark(recipe.epochs * len(loader)))  # type: ignore[operator]
    for remark in filter(None, remarks):
        if is_first():
            print(f"note: {remark}", flush=True)
    loss_set = _loss_set(task, cached_val)
    epoch_end = EpochEnd(run, recipe, task, cached_val, loss_set, training, loader.batch_sampler)
    trainer.callbacks.append(epoch_end)  # type: ignore[attr-defined]
    if sys.stderr.isatty():  # a callback costs something at every step, even one that shows nothing
        trainer.callbacks.append(Progress(recipe))  # type: ignore[attr-defined]
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


def _loss_set(task: Task, val_set: Any) -> Any:
    """The samples of the validation loss; None if none of them can be trained on, as captions of unknown words."""
    try:
        return task.training_set(val_set)
    except DataError:
        return None


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
        precision=_precision(recipe.precision),
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


def _precision(wanted: str) -> Any:
    if wanted == "auto":
        return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[wanted]


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
