"""Preparation of a training: its data, its model, and the batches that the model sees.

A training, a preview of its images, a search for its learning rate and a measurement of its speed all begin here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foveate.engine.features import with_features
from foveate.engine.intensities import header_notes, require_one_depth, window_note
from foveate.engine.loading import SuitedDataset, WrappedDataset, cached, mixed_seed, train_loader
from foveate.engine.recipe import Recipe
from foveate.engine.transfer import start_from
from foveate.errors import ConfigError, DataError, counted
from foveate.ops.layout import channels_last
from foveate.records import Table, UnusableFilesError, traits_of
from foveate.registry import create_model, create_recipe, entries, find, make_config
from foveate.tasks import create_task, find_task
from foveate.tasks.base import Count, Task

VALIDATION = ("val", "validation", "test")


class FirstSamples(WrappedDataset):
    """The first samples of a data set, `count` at most. Fresh samples are not drawn: the same ones come every epoch."""

    def __init__(self, dataset: Any, count: int) -> None:
        super().__init__(dataset)
        self.count = min(count, len(dataset))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.dataset[index]


def open_sets(recipe: Recipe) -> tuple[Any, Any, str]:
    """The training set, the set that ranks epochs, and the data in one line.

    With the recipe's `overfit`, both are the first samples of the training set. Raises ConfigError for a recipe without
    data, DataError for a split without samples.
    """
    if recipe.data is None:
        raise ConfigError(f"recipe '{recipe.name}' is for your own data: say where it is with --data PATH")
    described = recipe.data.describe(recipe.task)
    splits = ("train",) if recipe.overfit else ("train", validation_split(recipe.data))
    sets = [recipe.data.open(split, recipe.task) for split in splits]
    for split, dataset in zip(("train", "validation"), sets, strict=False):
        if len(dataset) == 0:
            raise DataError(f"{described}: the {split} split is empty; add samples to it")
    if recipe.overfit:
        few = FirstSamples(sets[0], recipe.overfit)
        return few, few, described
    return sets[0], sets[1], described


def learn_from(recipe: Recipe, model: nn.Module, train_set: Any, val_set: Any) -> list[str]:
    """Give the model's preprocessing what the training images decide; returns notes for the user. Raises DataError."""
    family = find_task(recipe.task)
    notes = header_notes((train_set, val_set), family.noun())
    if (preprocessing := getattr(model, "preprocessing", None)) is not None:
        require_one_depth((train_set, val_set), recipe.window)
        learned = family.learn_preprocessing(preprocessing, train_set, recipe.window)
        model.preprocessing = learned
        notes += window_note(learned, recipe.window)
    return notes


@dataclass
class Batches:
    """The reading side of a training: its loader, its samples before augmentation, and the sets behind them.

    training: the samples that `collate` takes. transform: their augmentation, None for none. val_set: as it is scored.
    loss_set: the same as pairs of input and target, for the validation loss; None where it has none.
    """

    loader: Any
    training: Any
    transform: Any
    val_set: Any
    loss_set: Any


def make_batches(
    recipe: Recipe, model: nn.Module, task: Task, train_set: Any, val_set: Any, rank: int = 0, world: int = 1
) -> Batches:
    """The batches of process `rank` of `world`, and the validation set, both under the recipe's cache."""
    if recipe.features:
        train_set, val_set = with_features(train_set, val_set, model, rank, world)
    cached_train, cached_val = cached(train_set, val_set, recipe, world)
    if recipe.class_weights != "none":
        task.weigh_classes((cached_train[i] for i in range(len(train_set))), recipe.class_weights)
    augmented = recipe.augment is not None and not recipe.overfit
    transform = recipe.augment.build(task.tables, task.preprocessing) if augmented else None
    training = task.training_set(cached_train)
    # Samples of one input are then the same objects, which a batch needs once.
    groups = task.groups(training) if recipe.features or transform is None else None
    lengths = task.lengths(training) if groups is None else None
    loader = train_loader(recipe, training, transform, task.collate, rank, world, lengths, groups)
    return Batches(loader, training, transform, cached_val, _loss_set(task, cached_val))


@dataclass
class Prepared:
    """A training that has not begun: the model with its first weights, its family, and its sets."""

    recipe: Recipe
    model: nn.Module
    task: Task
    train_set: Any
    val_set: Any

    def batches(self) -> Batches:
        """The batches that one process would train on."""
        return make_batches(self.recipe, self.model, self.task, self.train_set, self.val_set)


def prepare(recipe: Recipe, init: str | Path | None = None) -> Prepared:
    """Prepare a training without a run folder. init: a run, model folder or weight file. Raises a FoveateError."""
    require_suitable_augmentation(recipe)
    family = find_task(recipe.task)
    train_set, val_set, _ = open_sets(recipe)
    tables = family.learn_tables(train_set, recipe)
    model = build_model(recipe, tables, train_set)
    learn_from(recipe, model, train_set, val_set)
    if init is not None:
        start_from(model, init, tables, family.sizes)
    task, train_set, val_set = suited_for(recipe, model, tables, train_set, val_set)
    if init is None:
        task.initialise(model, train_set)
    return Prepared(recipe, model, task, train_set, val_set)


def suited_for(
    recipe: Recipe, model: nn.Module, tables: Mapping[str, Table], train_set: Any, val_set: Any
) -> tuple[Task, Any, Any]:
    """The family of a model, and both sets with their inputs as the model takes them. Raises ConfigError."""
    task = create_task(recipe.task, tables, getattr(model, "preprocessing", None), recipe.options)
    task.require(task.options)
    return task, SuitedDataset(train_set, task, recipe.model), SuitedDataset(val_set, task, recipe.model)


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


def require_suitable_augmentation(recipe: Recipe) -> None:
    """Raise ConfigError where a recipe augments images of a model that has to see them as they are."""
    if recipe.augment is not None and not traits_of(find("model", recipe.model).load()).takes_augmented:
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
    require_no_problems(source)
    only = f", only {', '.join(source.splits())}" if source.splits() else ""
    raise DataError(f"{source.describe()}: no split to validate on{only}; add a val split")


def require_no_problems(source: Any) -> None:
    """Raise DataError for files that cannot be used, which may be the reason why a split is missing."""
    if problems := source.problems():
        more = (
            f" ({counted(len(problems), 'problem')}; `foveate datasets inspect` lists all)" if len(problems) > 1 else ""
        )
        raise UnusableFilesError(f"{problems[0]}{more}", problems)


def _loss_set(task: Task, val_set: Any) -> Any:
    """The samples of the validation loss; None if none of them can be trained on, as captions of unknown words."""
    try:
        return task.training_set(val_set)
    except DataError:
        return None
