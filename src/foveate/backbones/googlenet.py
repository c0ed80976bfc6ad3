"""GoogLeNet's trunk (Szegedy et al., "Going Deeper with Convolutions", 2014), as torchvision has it.

torchvision's GoogLeNet has batch norm after every convolution, and 3x3 convolutions in place of the 5x5 ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from foveate.backbones.timm import STRIDES
from foveate.backbones.weights import adapt_input_channels, adapt_preprocessing
from foveate.deferred import torchvision_models
from foveate.errors import ModelError
from foveate.records import Preprocessing

# Layers by the stride of their output; a stage's features are those of its last layer.
STAGES = (
    ("conv1", "maxpool1", "conv2", "conv3"),
    ("maxpool2", "inception3a", "inception3b"),
    ("maxpool3", "inception4a", "inception4b", "inception4c", "inception4d", "inception4e"),
    ("maxpool4", "inception5a", "inception5b"),
)
CHANNELS = (192, 480, 832, 1024)  # of the stages


def imagenet_googlenet() -> Mapping[str, Tensor]:
    """Return torchvision's GoogLeNet state dict, trained on ImageNet. Raises ModelError if it cannot be downloaded."""
    try:
        state: Mapping[str, Tensor] = torchvision_models.GoogLeNet_Weights.IMAGENET1K_V1.get_state_dict(
            progress=True, check_hash=True
        )
    except OSError as error:
        raise ModelError(
            f"ImageNet weights of googlenet could not be downloaded ({error}); connect to the internet once, "
            "or train with --config.pretrained false"
        ) from error
    return state


class GoogLeNetPyramid(nn.Module):
    """GoogLeNet's layers up to inception 5b; features are conv3, inception 3b, 4e and 5b: 192 to 1024 channels.

    in_channels: C, the number of channels of the images.
    pretrained: start from torchvision's ImageNet weights. Raises ModelError if they cannot be downloaded.
    coarsest: the last stride that is needed; the layers beyond it are left out.
    """

    def __init__(self, in_channels: int = 3, pretrained: bool = False, coarsest: int = 32) -> None:
        super().__init__()
        whole = torchvision_models.GoogLeNet(aux_logits=False, transform_input=False, init_weights=False)
        self.names = STAGES[: STRIDES.index(coarsest) + 1]
        self.channels = CHANNELS[: len(self.names)]
        for name in (name for stage in self.names for name in stage):
            self.add_module(name, getattr(whole, name))
        first = whole.conv1.conv
        if in_channels != 3:
            whole.conv1.conv = nn.Conv2d(in_channels, first.out_channels, 7, stride=2, padding=3, bias=False)
        if pretrained:
            own = self.state_dict()
            with torch.no_grad():
                for name, tensor in imagenet_googlenet().items():
                    if name in own:
                        value = adapt_input_channels(tensor, in_channels) if name == "conv1.conv.weight" else tensor
                        own[name].copy_(value)
        # torchvision's weights were trained by TensorFlow, with inputs in -1..1.
        self.preprocessing = adapt_preprocessing(Preprocessing((0.5,) * 3, (0.5,) * 3), in_channels, pretrained)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features at strides 4, 8, 16 and 32 for images (B, C, H, W)."""
        features, x = [], image
        for stage in self.names:
            for name in stage:
                x = getattr(self, name)(x)
            features.append(x)
        return features
