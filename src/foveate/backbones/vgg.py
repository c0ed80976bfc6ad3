"""VGG-16's convolutional trunk (Simonyan & Zisserman 2014, configuration D), with Caffe's layer names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from foveate.backbones.weights import adapt_input_channels, adapt_preprocessing
from foveate.errors import ModelError
from foveate.records import Preprocessing

# Five stages: number of 3x3 convolutions, and their width. Each ends in a 2x2 pooling.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
# Indices of the same thirteen convolutions in torchvision's vgg16().features.
TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def imagenet_vgg16() -> Mapping[str, Tensor]:
    """Return torchvision's VGG-16 state dict, trained on ImageNet. Raises ModelError if it cannot be downloaded."""
    from torchvision.models import VGG16_Weights

    try:
        state: Mapping[str, Tensor] = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise ModelError(
            f"ImageNet weights of vgg16 could not be downloaded ({error}); connect to the internet once, "
            "start from a torchvision .pth with --init FILE, or train with --config.pretrained false"
        ) from error
    return state


class VGG16Pyramid(nn.Module):
    """VGG-16's convolutions conv1_1 ... conv5_3 with ReLU; features are pool2, pool3, pool4, pool5.

    in_channels: C, the number of channels of the images.
    pretrained: start from torchvision's ImageNet weights.
    caffe_padding: pad conv1_1 by 100 pixels as FCN's release does, so that the 7x7 fc6 fits images of any size (the
        features then extend beyond the image and must be cropped at the release's fixed offsets).
    pooled: False returns the last features of each stride instead of the first: conv3_3, conv4_3, conv5_3 and pool5.

    Pooling rounds up, as in Caffe, so that every pixel is covered. Raises ModelError if the weights cannot be
    downloaded.
    """

    def __init__(
        self, in_channels: int = 3, pretrained: bool = False, caffe_padding: bool = False, pooled: bool = True
    ) -> None:
        super().__init__()
        self.pooled = pooled
        self.channels = (128, 256, 512, 512) if pooled else (256, 512, 512, 512)
        self.preprocessing = adapt_preprocessing(Preprocessing(), in_channels, pretrained)
        self.names = [f"conv{s + 1}_{i + 1}" for s, (depth, _) in enumerate(STAGES) for i in range(depth)]
        width_in = in_channels
        for stage, (depth, width) in enumerate(STAGES):
            for i in range(depth):
                padding = 100 if caffe_padding and (stage, i) == (0, 0) else 1
                conv = nn.Conv2d(width_in, width, 3, padding=padding)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                self.add_module(f"conv{stage + 1}_{i + 1}", conv)
                width_in = width
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        if pretrained:
            self.load_torchvision(imagenet_vgg16())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return pool2, pool3, pool4, pool5 for images (B, C, H, W); see `pooled`."""
        pooled, unpooled, x = [], [], image
        for stage, (depth, _) in enumerate(STAGES):
            for i in range(depth):
                x = torch.relu(getattr(self, f"conv{stage + 1}_{i + 1}")(x))
            unpooled.append(x)
            x = self.pool(x)
            pooled.append(x)
        return pooled[1:] if self.pooled else [*unpooled[2:], x]

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Load the convolutions of torchvision's VGG-16 state dict; loading its classifier is left to the model.

        Sets `preprocessing` to the normalisation of these weights.
        """
        with torch.no_grad():
            for name, index in zip(self.names, TORCHVISION_INDICES, strict=True):
                conv = getattr(self, name)
                weight = state[f"features.{index}.weight"]
                conv.weight.copy_(adapt_input_channels(weight, conv.in_channels))
                conv.bias.copy_(state[f"features.{index}.bias"])
        self.preprocessing = adapt_preprocessing(Preprocessing(), next(self.parameters()).shape[1], True)
