"""CaffeNet: AlexNet as Caffe released it, down to its second fully connected layer.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012). The network
of R-CNN and SDS. Unlike the paper's, each pooling comes before its normalisation; unlike torchvision's `alexnet`, it
has 96, 256, 384, 384 and 256 channels, two groups in the second, fourth and fifth convolution, a first convolution
without padding, and local response normalisation.

Shapes: B images of C channels, 227 x 227 pixels.

    conv1  96, 11x11, stride 4   55 x 55    pool 3x3, stride 2, norm   27 x 27
    conv2  256, 5x5, 2 groups    27 x 27    pool 3x3, stride 2, norm   13 x 13
    conv3  384, 3x3              13 x 13
    conv4  384, 3x3, 2 groups    13 x 13
    conv5  256, 3x3, 2 groups    13 x 13    pool 3x3, stride 2          6 x 6
    fc6    4096, dropout         fc7  4096, dropout
"""

from __future__ import annotations

from torch import Tensor, nn

from foveate.errors import ConfigError

SIDE = 227
HIDDEN = 4096


class CaffeNet(nn.Sequential):
    """CaffeNet without its last layer: (B, C, 227, 227) -> (B, 4096).

    in_channels: C, the number of channels of the images.
    """

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 96, 11, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Flatten(), nn.Linear(256 * 6 * 6, HIDDEN), nn.ReLU(), nn.Dropout(),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(),
        )  # fmt: skip
        for layer in self:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Return the features of fc7, (B, 4096). Raises ConfigError for images of another size."""
        if tuple(image.shape[-2:]) != (SIDE, SIDE):
            raise ConfigError(f"images of {tuple(image.shape[-2:])}; CaffeNet takes {SIDE} x {SIDE}")
        features: Tensor = super().forward(image)
        return features
