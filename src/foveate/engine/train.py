"""Training: from a recipe to a run folder that everything later starts from."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import threading
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
from foveate.engine.callbacks import EpochEnd, Progress
from foveate.engine.checkpoints import Checkpoints
from foveate.engine.features import with_features
from foveate.engine.learner import Learner
from foveate.engine.loading import cached, mixed_seed, require_workers, train_loader
from foveate.engine.processes import is_first, tell_others
from foveate.engine.recipe import Recipe
from foveate.engine.resume import choose_folder, require_same_data, require_same_recipe, started_from
from foveate.engine.run import RunFolder
from foveate.engine.transfer import counted, start_from
from foveate.errors import ConfigError, DataError, FoveateError, ModelError, OutputError
from foveate.records import Table
from foveate.registry import create_model, create_recipe, entries
from foveate.tasks import create_task

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
        require_same_recipe(recipe, run)
    if recipe.data is None:
        raise ConfigError(f"recipe '{recipe.name}' is for your own pictures: say where they are with --data PATH")
    where = getattr(recipe.data, "path", "")
    if where and run.path.resolve() == Path(where).resolve():
        raise ConfigError(f"{run.path} is the folder of the data, and stays as it is; choose another one with --out")
    require_workers(recipe)
    _quiet()
    if not torch.cuda.is_available():
        # Lightning's import sets this; then optimisers, which look for a GPU at every step, open the driver's library
        # each time, in vain.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

    require_task(recipe.data, recipe.task)
    train_set, val_set = recipe.data.open("train"), recipe.data.open(validation_split(recipe.data))
    for split, dataset in (("train", train_set), ("validation", val_set)):
        if len(dataset) == 0:
            raise DataError(f"{recipe.data.describe()}: the {split} split is empty; add pictures to it")
    classes = train_set.classes if recipe.text is None else recipe.text.learn(_sentences(train_set))
    model = build_model(recipe, classes, train_set.channels)
    about = {"source": recipe.data.describe(), **_listing(train_set, val_set)}
    checkpoint = run.checkpoint if resume and run.checkpoint.is_file() else None
    if is_first():
        sweep(run.path)
    if checkpoint is not None:
        require_same_data(run, classes, about)
        model.preprocessing = run.preprocessing()  # type: ignore[assignment]
    else:
        init = init or (started_from(run) if resume else None)
        taken = start_from(model, init, classes) if init is not None else ""
        if is_first():
            if taken:
                print(f"from {init}: {taken}", flush=True)
            run.start(recipe, classes, about | {"init": str(init) if init else None})
    with tell_others(run.path), _quiet_threads():
        _fit(recipe, run, model, classes, train_set, val_set, checkpoint)
    return run.path


def _sentences(dataset: Any) -> Iterator[str]:
    """Everything that was said in a set, without decoding a picture."""
    return (caption.text for index in range(len(dataset)) for caption in dataset.captions(index))


def build_model(recipe: Recipe, classes: Table, channels: int) -> nn.Module:
    """The recipe's model for these classes (or words), initialised from the recipe's seed."""
    field = counted(recipe.config)
    _require_agreement(recipe, field, len(classes), "; text.size bounds it" if field == "vocabulary" else "")
    _require_agreement(recipe, "in_channels", channels)
    config = vars(recipe.config) | {field: len(classes), "in_channels": channels}
    torch.manual_seed(mixed_seed(recipe.seed, -1))
    model: nn.Module = create_model(recipe.model, **config)
    return model.to(memory_format=torch.channels_last)


def _require_agreement(recipe: Recipe, field: str, found: int, hint: str = "") -> None:
    """What the recipe has of itself gives way to the data; what it was told must agree. Raises ConfigError."""
    given = getattr(recipe.config, field)
    usual = create_recipe(recipe.name).config if recipe.name in entries("recipe") else type(recipe.config)()
    if given not in (found, getattr(usual, field)):
        raise ConfigError(f"config.{field} is {given}, but the data has {found}; leave it out{hint}")


def validation_split(source: Any) -> str:
    """Which split is for choosing: val, else test. Raises DataError."""
    for name in VALIDATION:
        if name in source.splits():
            return name
    raise DataError(f"{source.describe()}: no split to validate on, only {', '.join(source.splits())}; add a val split")


def require_task(source: Any, task: str) -> None:
    """The data must be of the model's family. Raises ConfigError."""
    given = getattr(source, "task", "semantic")
    if given != task:
        raise ConfigError(
            f"{getattr(source, 'path', '') or source.describe()}: data for {given} models, but this model is for "
            f"{task}; see `foveate recipes`"
        )


def _fit(
    recipe: Recipe,
    run: RunFolder,
    model: nn.Module,
    classes: Table,
    train_set: Any,
    val_set: Any,
    checkpoint: Path | None,
) -> None:
    trainer = _trainer(recipe, run)
    world = trainer.world_size
    if recipe.batch_size % world or len(train_set) < world:
        raise ConfigError(
            f"batches of {recipe.batch_size} from {len(train_set)} pictures cannot be dealt evenly to {world} "
            "processes; choose a batch_size that is a multiple, and no more processes than pictures"
        )
    task = create_task(recipe.task, classes, model.preprocessing)
    if recipe.features:
        train_set, val_set = with_features(train_set, val_set, model, trainer.global_rank, world)
    cached_train, cached_val = cached(train_set, val_set, recipe, world)
    if recipe.class_weights != "none":
        task.weigh_classes((cached_train[i] for i in range(len(train_set))), recipe.class_weights)
    tables = {"text" if recipe.text is not None else "classes": classes}
    transform = recipe.augment.build(tables, model.preprocessing) if recipe.augment is not None else None
    if hasattr(task, "training_view"):
        cached_train = task.training_view(cached_train)
    loader = train_loader(recipe, cached_train, transform, task.collate, trainer.global_rank, world)
    learner = Learner(model, recipe, total_steps=recipe.epochs * math.ceil(len(loader) / recipe.accumulate))
    remarks = [getattr(cached_train, "remark", "")]
    if hasattr(model, "remark"):
        remarks.append(model.remark(recipe.epochs * len(loader)))  # type: ignore[operator]
    for remark in filter(None, remarks):
        if is_first():
            print(f"note: {remark}", flush=True)
    epoch_end = EpochEnd(run, recipe, task, cached_val, loader.batch_sampler)
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


def _listing(train_set: Any, val_set: Any) -> dict[str, Any]:
    """Which pictures the run trained on and chose by: a seeded split is thereby written down."""
    return {
        "train": [train_set.name(i) for i in range(len(train_set))],
        "val": [val_set.name(i) for i in range(len(val_set))],
    }


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """TensorBoard's writing thread tells of a full disk by a traceback; EpochEnd tells it in our words."""
    before = threading.excepthook
    threading.excepthook = lambda args: None if issubclass(args.exc_type, OSError) else before(args)
    try:
        yield
    finally:
        threading.excepthook = before


def _quiet() -> None:
    """Lightning's advice is for its own users; ours get our messages."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")
