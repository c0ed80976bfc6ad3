"""Feature maps of a frozen backbone, kept on disk.

A feature map is a file named by a digest of the network's input, in a folder named by a digest of the network: another
image, or other weights, is another name, so nothing can be out of date. Files are written whole or not at all, so
several trainings may share the folder. It is `features/` in FOVEATE_CACHE, by default ~/.cache/foveate, and may be
deleted at any time.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from foveate.deferred import tv_tensors
from foveate.disk import ABOUT, cache_folder, write_atomically
from foveate.engine.loading import WrappedDataset
from foveate.errors import ConfigError
from foveate.pictures.fitting import fit
from foveate.pictures.shared import SharedTensors
from foveate.records import traits_of

BATCH_SIZE = 16  # images that the backbone takes together


def with_features(train_set: Any, val_set: Any, model: nn.Module, rank: int, world: int) -> tuple[Any, Any]:
    """Both sets with features instead of images. Each process computes its share of those that are missing.

    Raises ConfigError for a model whose features cannot be kept.
    """
    if not hasattr(model, "encode") or not getattr(getattr(model, "preprocessing", None), "size", ()):
        raise ConfigError(
            f"{type(model).__name__} has no features that can be kept, which takes a method "
            "encode and a fixed input size; train it with --features false"
        )
    if reason := traits_of(model).no_cache_reason:
        raise ConfigError(f"features of this model cannot be kept: {reason}; train it with --features false")
    # Training samples are not scored, and what belongs to single pixels would take the most memory.
    sets = [FeatureDataset(train_set, model, scored=False), FeatureDataset(val_set, model)]
    for name, dataset in zip(("train", "validation"), sets, strict=True):
        dataset.prepare(f"features of the {name} images", rank, world)
    return sets[0], sets[1]


class FeatureDataset(WrappedDataset):
    """A set of images, its samples with 'features' (D, h, w) float16 instead of 'image'; or of clips, with features
    (K, D) float16 in place of their frames.

    A method of the set that is named as a value of its samples gives that value without decoding; here it comes from
    memory once the features are known, since a drawn set would draw the image again.

    scored: keep labels that are bound to places in the image (tv_tensors), which only scoring needs.
    """

    def __init__(self, dataset: Any, model: Any, scored: bool = True) -> None:
        super().__init__(dataset)
        self.model, self.scored = model, scored
        self.folder = cache_folder() / "features" / fingerprint(model)
        self._known: list[tuple[Path, dict[str, Any]] | None] = [None] * len(dataset)
        # Samples of one image, as questions about it, share its features while any of them is kept.
        self._shared = SharedTensors()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        file, rest = self._known[index] or self._compute([index])[0]
        try:
            features = self._features(file)
        except (OSError, SafetensorError, KeyError):  # deleted or damaged since
            self._known[index] = None
            file.unlink(missing_ok=True)
            file, rest = self._compute([index])[0]
            features = self._features(file)
        clip = _clip_of(rest)
        return rest | ({clip: rest[clip].with_frames(features)} if clip else {"features": features})

    def _features(self, file: Path) -> Tensor:
        found = self._shared.get(file)
        if found is None:
            found = self._shared[file] = _read(file)
        return found

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if not inspect.ismethod(found):
            return found

        def remembered(*args: Any) -> Any:
            known = self._known[args[0]] if len(args) == 1 and isinstance(args[0], int) else None
            return known[1][name] if known and name in known[1] else found(*args)

        return remembered

    def prepare(self, title: str, rank: int = 0, world: int = 1) -> None:
        """Compute the features that are missing among those of process `rank`, and remember the files of all."""
        indices = list(range(rank, len(self), world))
        chunks = [indices[i : i + BATCH_SIZE] for i in range(0, len(indices), BATCH_SIZE)]
        console = Console(stderr=True)
        for chunk in track(chunks, title, console=console, transient=True, disable=not sys.stderr.isatty()):
            self._compute(chunk)

    @torch.inference_mode()
    def _compute(self, indices: list[int]) -> list[tuple[Path, dict[str, Any]]]:
        samples = [self.dataset[i] for i in indices]
        given = [_given(sample) for sample in samples]
        # Samples of one image have the same object, which is fitted and named once.
        inputs = {id(one): self._input(one) for one in {id(one): one for one in given}.values()}
        names = {key: self.folder / f"{_digest(image)}.safetensors" for key, image in inputs.items()}
        files = [names[id(one)] for one in given]
        missing = {names[key]: image for key, image in inputs.items() if not names[key].is_file()}
        if missing:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            backbone = self.model.backbone.to(device)
            training = backbone.training
            backbone.eval()
            features = self._features_of(list(missing.values()), device)
            backbone.train(training)
            if not (self.folder / ABOUT).is_file():
                write_atomically(self.folder / ABOUT, _about(self.model) + "\n")
            for file, one in zip(missing, features, strict=True):
                write_atomically(file, save({"features": one.half().cpu().contiguous()}))
        for index, sample, file in zip(indices, samples, files, strict=True):
            kept = {key: value for key, value in sample.items() if self._keeps(key, value)}
            if clip := _clip_of(kept):
                kept[clip] = kept[clip].with_frames(kept[clip].frames[:0])
            self._known[index] = (file, kept)
        return [known for index in indices if (known := self._known[index]) is not None]

    def _input(self, given: Tensor) -> Tensor:
        """An image as the network reads it, (C, H, W), or the frames of a clip, (K, C, H, W)."""
        return given if given.ndim == 4 else fit(given.as_subclass(Tensor), self.model.preprocessing)

    def _features_of(self, inputs: list[Tensor], device: str) -> list[Tensor]:
        """Those of each input; clips are encoded one at a time, since their lengths differ."""
        prepared = self.model.preprocessing
        if inputs[0].ndim == 4:
            return [self.model.encode(prepared(one)[None].to(device))[0] for one in inputs]
        batch = prepared(torch.stack(inputs)).to(device)
        return list(self.model.backbone(batch.contiguous(memory_format=torch.channels_last)))

    def _keeps(self, key: str, value: Any) -> bool:
        return key != "image" and (self.scored or not isinstance(value, tv_tensors.TVTensor))


def _given(sample: dict[str, Any]) -> Tensor:
    """The image of a sample, or the frames of its clip."""
    clip = _clip_of(sample)
    given: Tensor = sample[clip].frames if clip else sample["image"]
    return given


def _clip_of(sample: dict[str, Any]) -> str:
    """The key of a sample's clip, whose frames can be replaced; '' for a sample without one."""
    return next((key for key, value in sample.items() if hasattr(value, "with_frames")), "")


def _read(file: Path) -> Tensor:
    """(D, h, w). Its own copy: a mapped file may not be cut short under it, and no process may map ten thousands."""
    return load(file.read_bytes())["features"]


def _about(model: Any) -> str:
    """The content of a folder of features in words, for `foveate cache`."""
    config, size = getattr(model, "config", None), model.preprocessing.size
    network = getattr(config, "backbone", "") or type(model.backbone).__name__
    kind = traits_of(model).feature_kind
    scale = " x ".join(map(str, size))
    return f"features of {network} for {type(model).__name__}, images of {scale}" + (f", {kind}" if kind else "")


def fingerprint(model: Any) -> str:
    """A name for the features that a model's backbone makes: its layers, weights and preprocessing."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(repr(model.backbone).encode() + json.dumps(model.preprocessing.to_json(), sort_keys=True).encode())
    digest.update(traits_of(model).feature_kind.encode())
    for name, tensor in model.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest(image: Tensor) -> str:
    content = image.contiguous()
    about = f"{tuple(content.shape)} {content.dtype}".encode()
    return hashlib.blake2b(about + content.numpy().tobytes(), digest_size=16).hexdigest()
