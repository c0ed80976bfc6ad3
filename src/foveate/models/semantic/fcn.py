"""Fully convolutional networks: FCN-32s, FCN-16s, FCN-8s.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 (and PAMI 2017). A
classifier's fully connected layers become convolutions (section 3.1), its coarse scores are upsampled by transposed
convolutions initialised to bilinear interpolation (3.3), and scores predicted from earlier pooling layers are added
(4.2).

Shapes: B images, C channels, H x W pixels, K classes; h x w is the grid at stride 32.

    image (B, C, H, W) -> pool3, pool4, pool5 at strides 8, 16, 32
    score = conv1x1(fc7(fc6(pool5)))                    (B, K, h, w)
    FCN-32s:  up32(score)
    FCN-16s:  up16(up2(score) + conv1x1(pool4))
    FCN-8s:   up8(up2(up2(score) + conv1x1(pool4)) + conv1x1(pool3))

`Config()` is the PAMI paper's FCN-8s on VGG-16, and the recipes `fcn*_voc` are the authors' released code
(github.com/shelhamer/fcn.berkeleyvision.org), which differs from the paper in that no upsampling learns.

Departures from the paper, each with its reason and, in brackets, the field that takes it back:

- Convolutions keep the size of the map, where the first one pads by 100 and crops at fixed offsets undo it: nothing is
  computed on a wide border of zeros, and small images fit (`caffe_padding` True, which public checkpoints need).
- The loss is a mean over labelled pixels, where the release sums with learning rates of 1e-10 and less: rates do not
  depend on the image's size (`reduction` 'sum').
- Images are RGB and normalised, as torchvision's weights expect; BGR, 0..255 with the mean subtracted in the release,
  to whose learning rates that scale belongs (`caffe_scale` True, with weights of that scale).
- The last upsampling has one filter a class, where the release has one for each pair, all but the diagonal zero: it is
  fixed, and the function is the same at a fraction of the work (`caffe_padding` True).
- Images are padded to multiples of 32 inside, and the logits cropped: backbones with TensorFlow's padding would shift
  their grid by half a cell on sizes that do not halve evenly (`caffe_padding` True does without).
- Ours, and off by default: timm backbones (`backbone`), of which the same strides are used, since small modern ones
  train on a CPU; a 3x3 layer before the skips' scores (`skip_channels`), whose early features have few channels there;
  the Lovász loss (`lovasz`), which follows IoU more closely. The recipes for a CPU use all three, with AdamW.
- The extended annotations of Hariharan et al. (2011), on which the release trains, are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.backbones import STRIDES, VGG16Pyramid, create_backbone
from foveate.backbones.vgg import imagenet_vgg16
from foveate.errors import ConfigError, ModelError
from foveate.ops.losses import lovasz_softmax, pixel_cross_entropy
from foveate.ops.region_losses import PixelLoss, of_a_set, pixel_loss
from foveate.ops.upconv import UpConv
from foveate.records import Preprocessing, SemanticBatch, SemanticOutput
from foveate.registry import model
from foveate.values import require_choices

# Offsets at which the release crops, so that scores computed on an image padded by 100 are aligned with its pixels:
# before each fusion (by the stride of the skip) and at the end (by the net's own stride).
CAFFE_SKIP_CROP = {16: 5, 8: 9}
CAFFE_FINAL_CROP = {32: 19, 16: 27, 8: 31}
# The all-at-once variant scales each pool before its score layer (section 4.2 of the PAMI version).
AT_ONCE_SCALE = {16: 0.01, 8: 0.0001}
# The mean of the Caffe release's inputs, RGB, 0..255; it does not divide by a standard deviation.
CAFFE_MEAN = (122.67891434, 116.66876762, 104.00698793)

CAFFE = Preprocessing(tuple(mean / 255 for mean in CAFFE_MEAN), (1 / 255,) * 3)

# Every fourth row and column enters the Lovász loss: sorting all pixels would cost more than the network.
LOVASZ_STEP = 4

Stride = Literal[32, 16, 8]


@dataclass(frozen=True)
class Config:
    """Configuration of FCN. The defaults are the sizes of the paper's FCN-8s, trained in stages, for Pascal VOC.

    num_classes: K, the number of classes; 21 for Pascal VOC. The data decides it in training.
    stride: stride in pixels of the finest scores: 32, 16 or 8. Smaller follows contours more closely.
    backbone: 'vgg16', or any timm network with features at strides 4, 8, 16 and 32; larger ones are better and slower.
    in_channels: C, the number of channels of the images; 3 for RGB. The data decides it in training.
    pretrained: start the backbone from ImageNet weights (for vgg16, fc6 and fc7 as well), as is usual: this needs fewer
        labelled images. False starts from random weights.
    head_channels: number of channels of fc6 and fc7, usually 128 to 4096, 4096 in the paper; more costs more memory and
        time.
    head_kernel: side of fc6's kernel, an odd number; 7 in the paper.
    skip_channels: 0 scores a pool by a 1x1 convolution, as published; otherwise a 3x3 convolution with this number of
        channels, batch norm and ReLU comes first (our addition, for backbones whose early features have few channels).
    dropout: probability of dropping a unit after fc6 and after fc7, 0 or more and below 1; 0.5 in the paper, 0.1 for
        small heads.
    at_once: scale the pools as the all-at-once variant does, instead of training in stages.
    caffe_padding: pad by 100 pixels and crop at fixed offsets as the release does (vgg16 only); needed for parity with
        public checkpoints. Otherwise convolutions pad to keep their size, and nothing is lost at the border.
    caffe_scale: images as in the release, 0..255 with the mean subtracted, but RGB (vgg16 only). Its learning rates are
        for a VGG-16 of this scale, whose file `load_foreign` takes; torchvision's ImageNet weights are of another.
    learned_upsampling: True learns the inner upsampling from bilinear, as in the paper; False fixes it, as the release.
    reduction: 'mean' over valid pixels, or the release's 'sum', which goes with its learning rates of 1e-10 and less.
    lovasz: weight of the Lovász-softmax loss added to the cross-entropy, 0 or more; 0 is the paper's loss, 0.5 is usual
        otherwise. More favours small classes and IoU over pixel accuracy.
    loss: the loss of a training: cross_entropy is the paper's; dice, tversky and focal are for classes of very
        different size, and cross_entropy+dice adds two (`ops.region_losses`).
    """

    num_classes: int = 21
    stride: Stride = 8
    backbone: str = "vgg16"
    in_channels: int = 3
    pretrained: bool = False
    head_channels: int = 4096
    head_kernel: int = 7
    skip_channels: int = 0
    dropout: float = 0.5
    at_once: bool = False
    caffe_padding: bool = False
    caffe_scale: bool = False
    learned_upsampling: bool = True
    reduction: Literal["mean", "sum"] = "mean"
    lovasz: float = 0.0
    loss: PixelLoss = "cross_entropy"

    def __post_init__(self) -> None:
        require_choices(self)
        if self.reduction == "sum" and self.loss != "cross_entropy":
            raise ConfigError(
                f"reduction 'sum' is of the cross-entropy alone, and loss is '{self.loss}'; choose 'mean'"
            )
        for name in ("caffe_padding", "caffe_scale"):
            if getattr(self, name) and self.backbone != "vgg16":
                raise ConfigError(
                    f"{name} works with backbone 'vgg16' only, not with '{self.backbone}'; drop one of the two"
                )
        if self.caffe_scale and (self.pretrained or self.in_channels != 3):
            raise ConfigError(
                f"caffe_scale with pretrained {self.pretrained} and in_channels {self.in_channels}: ImageNet weights "
                "of this scale cannot be downloaded whole, and are for 3 channels; give a file of them with --init FILE"
            )
        if min(self.num_classes, self.in_channels, self.head_channels) < 1 or self.head_kernel % 2 == 0:
            raise ConfigError(
                f"num_classes {self.num_classes}, in_channels {self.in_channels} and head_channels {self.head_channels}"
                f" must be at least 1, head_kernel {self.head_kernel} odd"
            )


@model("fcn{stride}s", stride=(32, 16, 8))
class FCN(nn.Module):
    """Fully convolutional network: FCN-32s, FCN-16s, FCN-8s."""

    task: ClassVar[str] = "semantic"

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.losses_of_a_set = (*of_a_set(config.loss), *(["lovasz"] if config.lovasz else []))
        k = config.num_classes
        self.backbone = create_backbone(config.backbone, config.in_channels, config.pretrained, config.caffe_padding)
        self.preprocessing: Preprocessing = CAFFE if config.caffe_scale else self.backbone.preprocessing
        channels = dict(zip(STRIDES, self.backbone.channels, strict=True))

        # Section 3.1: the classifier's fc6 and fc7 as convolutions. In the release fc6 shrinks the padded map.
        padding = 0 if config.caffe_padding else config.head_kernel // 2
        self.fc6 = nn.Conv2d(channels[32], config.head_channels, config.head_kernel, padding=padding)
        self.fc7 = nn.Conv2d(config.head_channels, config.head_channels, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.score = nn.Conv2d(config.head_channels, k, 1)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

        # Section 4.2: a score layer for each pool, initialised to zero: the net starts out as the coarser one.
        self.skip_strides = tuple(s for s in (16, 8) if s >= config.stride)
        self.score_pool = nn.ModuleDict(
            {str(s): _skip(channels[s], config.skip_channels, k) for s in self.skip_strides}
        )
        self.up2 = nn.ModuleDict(
            {
                str(s): UpConv(k, 2, mixing=True, learned=config.learned_upsampling, cropped=not config.caffe_padding)
                for s in self.skip_strides
            }
        )
        # Section 4.3: the last upsampling is fixed to bilinear.
        self.up = UpConv(k, config.stride, mixing=config.caffe_padding, cropped=not config.caffe_padding, learned=False)

        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]
        if config.pretrained and isinstance(self.backbone, VGG16Pyramid):
            self.load_foreign(imagenet_vgg16())

    def forward(self, image: Tensor) -> SemanticOutput:
        """Return logits (B, K, H, W) for images (B, C, H, W), normalised. H and W are arbitrary."""
        # Pad to whole cells of the coarsest grid: where a stage halves an odd size, TensorFlow's padding would shift
        # the grid by half a cell relative to the training crops.
        height, width = image.shape[-2:]
        padded = image if self.config.caffe_padding else F.pad(image, (0, -width % 32, 0, -height % 32))
        pools = dict(zip(STRIDES, self.backbone(padded), strict=True))
        x = self.dropout(torch.relu(self.fc6(pools[32])))
        x = self.dropout(torch.relu(self.fc7(x)))
        x = self.score(x)
        for stride in self.skip_strides:
            pool = pools[stride] * (AT_ONCE_SCALE[stride] if self.config.at_once else 1.0)
            skip = self.score_pool[str(stride)](pool)
            x = self.up2[str(stride)](x)
            if self.config.caffe_padding:
                skip = _crop(skip, x, offset=CAFFE_SKIP_CROP[stride])
            x = x + skip
        offset = CAFFE_FINAL_CROP[self.config.stride] if self.config.caffe_padding else 0
        return SemanticOutput(_crop(self.up(x), image, offset))

    def loss(self, batch: SemanticBatch) -> dict[str, Tensor]:
        """Return the pixel-wise cross-entropy over valid pixels (section 4.1), and the Lovász loss if it has a weight.

        `Config.loss` may name another loss than cross-entropy. 'loss' is minimised; the name of the pixels' loss and
        'lovasz' are its parts, without gradients.
        """
        logits = self(batch["image"]).logits
        mask, weights = batch["mask"], batch.get("class_weights")
        if self.config.reduction == "sum":
            own = pixel_cross_entropy(logits, mask, weights, reduction="sum")
        else:
            own = pixel_loss(self.config.loss, logits, mask, weights)
        if not self.config.lovasz:
            return {"loss": own}
        # A sixteenth of the pixels, at a random offset each step.
        top, left = torch.randint(LOVASZ_STEP, (2,)).tolist()
        rows, columns = slice(top, None, LOVASZ_STEP), slice(left, None, LOVASZ_STEP)
        lovasz = lovasz_softmax(logits[..., rows, columns], batch["mask"][..., rows, columns])
        total = own + self.config.lovasz * lovasz
        return {"loss": total, self.config.loss: own.detach(), "lovasz": lovasz.detach()}

    def remark(self, batches: int) -> str:
        """Return a warning to print before a training at Caffe's scale from random weights; '' otherwise."""
        if not self.config.caffe_scale or self.backbone.conv1_1.bias.any():  # type: ignore[union-attr, operator]
            return ""
        return (
            "VGG-16 starts from random weights, which do not train at the release's learning rates; give --init FILE "
            "with a VGG-16 of Caffe's scale (docs/fcn.md says which), or the run of a coarser stride"
        )

    def load_foreign(self, state: Mapping[str, Tensor]) -> str:
        """Load a public state dict: torchvision's VGG-16, or a PyTorch FCN in wkentaro/pytorch-fcn's naming.

        With `caffe_scale`, a VGG-16 in torchvision's layout is taken to be Caffe's, its first filters in RGB order.
        Returns a description of what was loaded. Raises ModelError if it is neither, or does not fit this config.
        """
        if self.config.backbone != "vgg16":
            raise ModelError(
                f"public VGG-16 and FCN weights need backbone 'vgg16'; this model has '{self.config.backbone}'"
            )
        try:
            if "features.0.weight" in state and "classifier.0.weight" in state:
                return self._load_torchvision(state)
            if "conv1_1.weight" in state and "score_fr.weight" in state:
                return self._load_wkentaro(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"the weights do not fit this FCN: {error}; compare the config's sizes with the file"
            ) from error
        raise ModelError(
            "weights recognised neither as torchvision's VGG-16 (features.0.weight ...) nor as pytorch-fcn's "
            f"(conv1_1.weight ... score_fr.weight); found {', '.join(list(state)[:3])} ..."
        )

    def _load_torchvision(self, state: Mapping[str, Tensor]) -> str:
        incomplete = [n for n in ("classifier.0", "classifier.3") if not state[f"{n}.weight"].isfinite().all()]
        if incomplete:
            raise ModelError(
                f"{' and '.join(incomplete)} hold values that are not finite; give a file with the classifier's "
                "layers, too"
            )
        self.backbone.load_torchvision(state)  # type: ignore[operator]
        self.preprocessing = CAFFE if self.config.caffe_scale else self.backbone.preprocessing
        # A fully connected layer over a 7x7x512 map is a 7x7 convolution; over a vector, a 1x1 one.
        with torch.no_grad():
            for layer, index in ((self.fc6, 0), (self.fc7, 3)):
                layer.weight.copy_(state[f"classifier.{index}.weight"].view(layer.weight.shape))
                layer.bias.copy_(state[f"classifier.{index}.bias"])  # type: ignore[union-attr]
        scale = ", taken to be of Caffe's scale and in RGB order" if self.config.caffe_scale else ""
        return f"torchvision's VGG-16: 13 convolutions, fc6 and fc7{scale}"

    def _load_wkentaro(self, state: Mapping[str, Tensor]) -> str:
        names = {
            "score_fr": "score",
            "score_pool4": "score_pool.16",
            "score_pool3": "score_pool.8",
            "upscore2": "up2.16",
            "upscore_pool4": "up2.8",
            "upscore": "up",
            "upscore16": "up",
            "upscore8": "up",
        }
        renamed = {}
        for key, tensor in state.items():
            layer, _, leaf = key.rpartition(".")
            if layer == "conv1_1" and leaf == "weight":
                tensor = tensor.flip(1)  # the release reads BGR, we read RGB
            if layer.startswith("conv"):
                layer = f"backbone.{layer}"
            renamed[f"{names.get(layer, layer)}.{leaf}"] = tensor
        self.load_state_dict(renamed, strict=True)
        self.preprocessing = CAFFE
        return "an FCN in pytorch-fcn's naming: every layer"


def _skip(channels: int, hidden: int, num_classes: int) -> nn.Module:
    """Build the score layer of one pool, zero-initialised (section 4.2)."""
    score = nn.Conv2d(hidden or channels, num_classes, 1)
    nn.init.zeros_(score.weight)
    nn.init.zeros_(score.bias)  # type: ignore[arg-type]
    if not hidden:
        return score
    reader = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
    return nn.Sequential(reader, nn.BatchNorm2d(hidden), nn.ReLU(inplace=True), score)


def _crop(x: Tensor, like: Tensor, offset: int) -> Tensor:
    """Crop x to the height and width of `like`, from row and column `offset`."""
    return x[..., offset : offset + like.shape[-2], offset : offset + like.shape[-1]]
