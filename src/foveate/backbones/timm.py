"""timm architectures as feature pyramids at strides 4, 8, 16 and 32."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from foveate.backbones.weights import PACKAGED, adapt_preprocessing, load_in_order, packaged_weights
from foveate.deferred import timm
from foveate.errors import ConfigError, ModelError, unknown
from foveate.records import Preprocessing
from foveate.remote import quiet_hub

STRIDES = (4, 8, 16, 32)


class TimmPyramid(nn.Module):
    """timm's `features_only` network, with the stages at strides 4, 8, 16 and 32.

    name: a timm architecture.
    in_channels: C, the number of channels of the images.
    pretrained: start from ImageNet weights, from an installed weight package where there is one (`weights.PACKAGED`),
        otherwise from the hub.
    coarsest: the last stride that is needed; the stages beyond it are left out.

    Raises ConfigError for an unknown name, or one without these strides; ModelError if the weights cannot be loaded.
    """

    def __init__(self, name: str, in_channels: int = 3, pretrained: bool = False, coarsest: int = 32) -> None:
        super().__init__()
        if not timm.is_model(name):
            raise ConfigError(unknown("backbone", name, ["vgg16", *timm.list_models()]))
        package = packaged_weights(name) if pretrained else None
        try:
            probe = timm.create_model(name, features_only=True)
            info: Any = probe.feature_info
            strides: list[int] = info.reduction()
            indices = [i for i, s in enumerate(strides) if s in STRIDES]
            if tuple(strides[i] for i in indices) != STRIDES:
                raise ConfigError(
                    f"backbone '{name}' has features at strides {strides}; "
                    "expected 4, 8, 16 and 32: choose a convolutional or hierarchical one, e.g. resnet18"
                )
            indices = indices[: STRIDES.index(coarsest) + 1]
            with quiet_hub():
                self.net = timm.create_model(
                    name, features_only=True, out_indices=indices, in_chans=in_channels,
                    pretrained=pretrained and package is None,
                )  # fmt: skip
        except (RuntimeError, OSError) as error:
            if not pretrained:
                raise ConfigError(f"timm cannot build '{name}' as a feature pyramid: {error}") from error
            extra = "install foveate[weights], " if name in PACKAGED else ""
            raise ModelError(
                f"ImageNet weights of '{name}' could not be loaded ({type(error).__name__}); {extra}connect to the "
                "internet once, or train from scratch with --config.pretrained false"
            ) from error
        if package is not None:
            load_in_order(self.net, package)
        info = self.net.feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.preprocessing = adapt_preprocessing(_preprocessing(name), in_channels, pretrained)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features, finest first, for images (B, C, H, W)."""
        features: list[Tensor] = self.net(image)
        return features


def _preprocessing(name: str) -> Preprocessing:
    """Return the normalisation that the weights were trained with."""
    if name in PACKAGED:
        return PACKAGED[name][1]
    config = timm.get_pretrained_cfg(name)
    return Preprocessing(tuple(config.mean), tuple(config.std)) if config else Preprocessing()
