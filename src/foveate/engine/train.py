"""Training: from a recipe to a run folder that everything later starts from."""

from __future__ import annotations

import json
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from foveate.engine import fields
from foveate.engine.callbacks import EpochEnd, Progress
from foveate.engine.learner import Learner
from foveate.engine.loading import CachedDataset, mixed_seed, train_loader
from foveate.engine.recipe import Recipe
from foveate.engine.run import RunFolder
from foveate.engine.transfer import start_from
from foveate.errors import ConfigError, DataError, FoveateError, ModelError, OutputError
from foveate.records import ClassTable, SemanticDataset
from foveate.registry import create_model
from foveate.tasks import create_task
from foveate.tasks.semantic import class_shares, class_weights

VALIDATION = ("val", "validation", "test")


def train_recipe(
    recipe: Recipe, *, out: str | Path | None = None, resume: bool = False, init: str | Path | None = None
) -> Path:
    """Train a recipe and return its run folder.

    out: the folder, by default runs/<recipe>, numbered if that is taken. resume: go on with the run in `out` (by
    default the newest of that name) from its last finished epoch; without one, start over. init: a run, model folder or
    weight file to start from. Raises a FoveateError; whatever epoch was finished stays.
    """
    run = RunFolder(_choose_folder(recipe, out, resume))
    if resume and run.recipe_file.is_file():
        _require_same(recipe, run)
    if recipe.data is None:
        raise ConfigError(f"recipe '{recipe.name}' is for your own pictures: say where they are with --data PATH")
    _quiet()

    train_set, val_set = recipe.data.open("train"), recipe.data.open(validation_split(recipe.data))
    for split, dataset in (("train", train_set), ("validation", val_set)):
        if len(dataset) == 0:
            raise DataError(f"{recipe.data.describe()}: the {split} split is empty; add pictures to it")
    model = build_model(recipe, train_set.classes, train_set.channels)
    if init is not None:
        print(f"from {init}: {start_from(model, init, train_set.classes)}", flush=True)

    run.start(recipe, train_set.classes, {"source": recipe.data.describe(), **_listing(train_set, val_set)})
    checkpoint = run.checkpoint if resume and run.checkpoint.is_file() else None
    _fit(recipe, run, model, train_set, val_set, checkpoint)
    return run.path


def build_model(recipe: Recipe, classes: ClassTable, channels: int) -> nn.Module:
    """The recipe's model for these classes, initialised from the recipe's seed."""
    config = vars(recipe.config) | {"num_classes": len(classes), "in_channels": channels}
    torch.manual_seed(mixed_seed(recipe.seed, -1))
    model: nn.Module = create_model(recipe.model, **config)
    return model.to(memory_format=torch.channels_last)


def validation_split(source: Any) -> str:
    """Which split is for choosing: val, else test. Raises DataError."""
    for name in VALIDATION:
        if name in source.splits():
            return name
    raise DataError(f"{source.describe()}: no split to validate on, only {', '.join(source.splits())}; add a val split")


def _fit(
    recipe: Recipe, run: RunFolder, model: nn.Module, train_set: SemanticDataset, val_set: SemanticDataset,
    checkpoint: Path | None,
) -> None:  # fmt: skip
    cached_train, cached_val = CachedDataset(train_set, recipe.cache), CachedDataset(val_set, recipe.cache)
    weights = None
    if recipe.class_weights != "none":
        weights = class_weights(class_shares(train_set), recipe.class_weights)
    task = create_task(recipe.task, train_set.classes, model.preprocessing, weights)
    transform = recipe.augment.build(train_set.classes) if recipe.augment is not None else None

    batches = max(1, len(train_set) // min(recipe.batch_size, len(train_set)))
    learner = Learner(model, recipe, total_steps=recipe.epochs * math.ceil(batches / recipe.accumulate))
    epoch_end = EpochEnd(run, recipe, task, cached_val, len(val_set))
    trainer = lightning.Trainer(
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
        callbacks=[Progress(recipe), epoch_end],
        enable_checkpointing=False,  # EpochEnd writes them, atomically
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
    world, rank = trainer.world_size, trainer.global_rank
    if recipe.batch_size % world:
        raise ConfigError(f"batch_size {recipe.batch_size} cannot be dealt to {world} processes evenly; choose a multiple")
    loader = train_loader(recipe, cached_train, len(train_set), transform, task.collate, rank, world)
    try:
        trainer.fit(learner, loader, ckpt_path=checkpoint, weights_only=True)
    except FoveateError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write into {run.path}: {error.strerror or error}; the last whole epoch is kept") from error
    except (KeyError, EOFError, RuntimeError) as error:
        if checkpoint is not None and trainer.global_step == 0:
            raise ModelError(
                f"{checkpoint} is damaged or of another model ({type(error).__name__}); delete it to start this run over"
            ) from error
        raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def _precision(wanted: str) -> Any:
    if wanted == "auto":
        return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[wanted]


def _choose_folder(recipe: Recipe, out: str | Path | None, resume: bool) -> Path:
    if out is not None:
        path = Path(out)
        if not resume and (path / "recipe.json").exists():
            raise ConfigError(f"{path} already holds a run; add --resume to go on with it, or choose another --out")
        return path
    base, number = Path("runs") / recipe.name, 1
    taken = []
    while (path := base if number == 1 else base.with_name(f"{base.name}-{number}")).exists():
        taken.append(path)
        number += 1
    return taken[-1] if resume and taken else path


def _require_same(recipe: Recipe, run: RunFolder) -> None:
    """A resumed run must be the run that was started; else its result would be neither."""
    old, new = _flat(run.read_json("recipe.json")), _flat(json.loads(json.dumps(fields.to_json(recipe))))
    for name in old.keys() | new.keys():
        if old.get(name) != new.get(name):
            raise ConfigError(
                f"{run.path} was started with {name} = {old.get(name)}, and is resumed with {new.get(name)}; "
                "resume with the same fields, or start another run with --init"
            )


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {prefix: data}
    return {k: v for key, value in data.items() for k, v in _flat(value, f"{prefix}.{key}" if prefix else key).items()}


def _listing(train_set: SemanticDataset, val_set: SemanticDataset) -> dict[str, Any]:
    """Which pictures the run trained on and chose by: a seeded split is thereby written down."""
    return {
        "train": [train_set.name(i) for i in range(len(train_set))],
        "val": [val_set.name(i) for i in range(len(val_set))],
    }


def _quiet() -> None:
    """Lightning's advice is for its own users; ours get our messages."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec.*")


