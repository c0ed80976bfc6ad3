"""Traits of a model: attributes beside its config, `forward` and `loss` that say how to train, store and export it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelTraits:
    """Attributes that a model sets only where it differs from the defaults here.

    They stand on the class, or on the instance where they depend on its config.

    takes_augmented: False for a model that has to see the images as they are; its recipes have no augmentation.
    transient_buffers: names of buffers that record the course of one training; `--init` does not copy them.
    entry_offsets: tensor's name -> how many other places stand before the entries of a table, on an axis that counts
        them; `--init` carries entries over by name. Where a tensor is not named, all other places stand before them.
    no_cache_reason: why the backbone's features cannot be stored while it is frozen; '' if they can.
    feature_kind: how features are made from the backbone's output, where one backbone serves in several ways.
    no_export_reason: why there is no ONNX export; '' if there is.
    unchecked_share: share of the logits, the most different ones, that the check of an export leaves out; for a model
        that chooses between values, since runtimes choose differently where two are equal up to rounding.
    resizes_images: True for a model that brings every image to one size, so that other scales change nothing.
    max_detections: the most objects that it finds in one image; 0 for no limit.
    losses_of_a_set: names of its losses that compare the samples of a process with each other, so that a training
        depends a little on the number of processes.
    """

    takes_augmented: bool = True
    transient_buffers: tuple[str, ...] = ()
    entry_offsets: Mapping[str, int] = field(default_factory=dict)
    no_cache_reason: str = ""
    feature_kind: str = ""
    no_export_reason: str = ""
    unchecked_share: float = 0.0
    resizes_images: bool = False
    max_detections: int = 0
    losses_of_a_set: tuple[str, ...] = ()


def traits_of(model: Any) -> ModelTraits:
    """The traits of a model, of its class, or of an exported file that stands for it."""
    default = ModelTraits()
    names = (one.name for one in dataclasses.fields(ModelTraits))
    return ModelTraits(**{name: getattr(model, name, getattr(default, name)) for name in names})
