"""Semantic inference: from a network's logits to labels, through views, tiles, proposals and refinement.

Shapes: C channels, H x W pixels, K classes, P boxes.

    image -> views (flips, scales) or object proposals -> class probabilities (K, H, W)
          -> dense CRF -> superpixels or a segmentation tree -> labels (H, W)

All of it is optional, and works for every semantic model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from foveate.errors import ConfigError, counted
from foveate.ops.crf import CRF
from foveate.ops.proposals import propose
from foveate.ops.superpixels import majority, purity_cover, segment_tree, superpixels
from foveate.pictures import Windows
from foveate.pictures.given import as_windows, read_all
from foveate.records import Preprocessing
from foveate.tasks.options import PREDICT, Options, option
from foveate.tasks.semantic.proposals import Network, on_proposals, on_proposals_as_released
from foveate.tasks.semantic.tiling import (
    Labelled,
    Tiling,
    check_scales,
    choose_tiling,
    infer,
    labels_of,
    predict_mask,
    predict_tiled,
    tiled_probabilities,
)

Rules = Literal["ours", "release"]
Segments = Literal["none", "felzenszwalb", "slic", "tree"]


@dataclass(frozen=True)
class SemanticOptions(Options):
    """Views, refinement and tiles of a prediction.

    flip: average with the mirrored image.
    scales: average over these sizes, 1.0 being the image's own (multi-scale testing).
    proposals: also predict this many object proposals, each resized to 224 pixels; each pixel takes the highest scores
        (DeconvNet's inference). 0: none.
    proposal_rules: 'ours' starts from the whole image and cuts boxes off at its edge; 'release' follows the authors'
        code (`tasks.semantic.proposals`).
    crf: refine with a dense CRF (Krähenbühl and Koltun 2011).
    superpixels: none; felzenszwalb or slic gives each superpixel its majority class; tree takes the optimal-purity
        cover of a segmentation tree (Farabet et al. 2013).
    tile: side of the square tiles in pixels, a multiple of 32; 0 never tiles; None tiles images above 1.5 megapixels.
    overlap: pixels that neighbouring tiles share, a multiple of 32; None takes 128, or a quarter of a small tile.
    objects: find objects, too: the connected parts of each class, split where they narrow (`tasks.semantic.objects`).
    least_area: pixels of the smallest object. pixel_size: side of a pixel in physical units, for lengths and areas of
        objects in the tables.
    """

    flip: bool = option(False, "average with the mirrored image")
    scales: tuple[float, ...] = option((1.0,), "average over sizes: 0.75,1,1.25", "LIST", served=2)
    proposals: int = option(0, "also predict N object proposals (DeconvNet's inference)", "N", served=500)
    proposal_rules: Rules = option("ours", "rules of proposals: ours, or those of DeconvNet's release", "KIND")  # noqa: RUF009
    crf: bool = option(False, "refine with a dense CRF")
    superpixels: Segments = option("none", "refine on superpixels: felzenszwalb, slic, or a tree of them", "KIND")  # noqa: RUF009
    tile: int | None = option(None, "side of the tiles; 0: never (default: above 1.5 megapixels)", "N")
    overlap: int | None = option(None, "pixels that neighbouring tiles share (default 128)", "N")
    objects: bool = option(False, "find objects, too: connected parts, split where they narrow", "", (PREDICT,))
    least_area: int = option(1, "pixels of the smallest object", "N", (PREDICT,))
    pixel_size: float = option(
        1.0, "side of a pixel, for the tables of objects in physical units", "SIZE", (PREDICT,), served=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scales", tuple(self.scales))
        check_scales(self.scales)
        if self.proposals < 0:
            raise ConfigError(f"proposals is {self.proposals}; expected how many to predict, or 0 for none")
        if self.proposal_rules != "ours" and not self.proposals:
            raise ConfigError("proposal_rules is for predictions on proposals; give --proposals N as well")
        if self.proposals and (self.flip or self.scales != (1.0,)):
            raise ConfigError("proposals are views of their own; give either proposals, or scales and flip")
        if self.whole and self.tile:
            views = " + ".join(self._views())
            raise ConfigError(f"{views} needs the whole image, not tiles of {self.tile}; leave out --tile")
        if self.least_area < 1:
            raise ConfigError(f"least_area is {self.least_area}; give a number of pixels, 1 or more")
        if not (0 < self.pixel_size < float("inf")):
            raise ConfigError(f"pixel_size is {self.pixel_size:g}; give a length above 0")
        if not self.objects and (self.least_area, self.pixel_size) != (1, 1.0):
            raise ConfigError("least_area and pixel_size are for objects of a label map; give --objects as well")
        choose_tiling(2**16, 2**16, self.scales, self.tile, self.overlap)  # sizes that do not fit

    @property
    def whole(self) -> bool:
        """True if the image must be seen whole, not in tiles."""
        return self.crf or self.superpixels != "none" or self.proposals > 0

    @property
    def probabilistic(self) -> bool:
        """True if the scores of a prediction are class probabilities."""
        return self.superpixels == "none" and not self.proposals

    def tiling(self, height: int, width: int) -> Tiling | None:
        """The tiles of an H x W image; None for none."""
        return choose_tiling(height, width, self.scales, 0 if self.whole else self.tile, self.overlap)

    def describe(self) -> str:
        """The views, the refinement and the tiles in words, '' for a plain pass with the tiles that are usual."""
        words = self._views()
        if self.tile is not None:
            words.append(f"tiles of {self.tile}" if self.tile else "no tiles")
        if self.overlap is not None and not self.whole:
            words.append(f"overlap {self.overlap}")
        return " + ".join(words)

    def _views(self) -> list[str]:
        words = [f"scales {', '.join(f'{s:g}' for s in self.scales)}"] if self.scales != (1.0,) else []
        rules = " by the release's rules" if self.proposal_rules == "release" else ""
        words += (
            ["flip"] * self.flip
            + [f"{counted(self.proposals, 'proposal')}{rules}"] * (self.proposals > 0)
            + ["CRF"] * self.crf
        )
        words += [f"superpixels ({self.superpixels})"] * (self.superpixels != "none")
        return words


def predict_labels(
    network: Network,
    image: Tensor | Windows,
    preprocessing: Preprocessing,
    options: SemanticOptions,
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] | None = None,
    confident: bool = False,
) -> Labelled:
    """Labels of one image of any size.

    image: (C, H, W), uint8 or float in 0..1, or windows that are read tile by tile. device: the network's.
    progress: called with the share that is done, 0..1, after every tile. confident: also give the probability of each
    label; superpixels and proposals have none.
    """
    height, width = image.shape[-2:] if isinstance(image, Tensor) else (image.height, image.width)
    tiling = options.tiling(height, width)
    if tiling is None:
        return _predict_whole(network, read_all(image).to(device), preprocessing, options, confident)
    return predict_tiled(
        network,
        as_windows(image),
        preprocessing,
        tiling=tiling,
        flip=options.flip,
        scales=options.scales,
        device=device,
        progress=progress,
        confident=confident,
    )


def predict_probabilities(
    network: Network,
    image: Tensor | Windows,
    preprocessing: Preprocessing,
    options: SemanticOptions,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Class probabilities (K, H, W) float32, of which `predict_labels` gives the largest; arguments as there.

    A tiled image needs memory for all of them, 4 K H W bytes. Raises ConfigError for superpixels and proposals.
    """
    if not options.probabilistic:
        raise ConfigError("predictions on superpixels or proposals have no probabilities; predict without them")
    height, width = image.shape[-2:] if isinstance(image, Tensor) else (image.height, image.width)
    tiling = options.tiling(height, width)
    if tiling is not None:
        return tiled_probabilities(
            network, as_windows(image), preprocessing, tiling, options.flip, options.scales, device
        )
    pixels = read_all(image).to(device)
    with torch.inference_mode():
        found = infer(network, pixels, preprocessing, flip=options.flip, scales=options.scales)
        return (CRF()(found, pixels) if options.crf else found).float().cpu().numpy()


def _predict_whole(
    network: Network, image: Tensor, preprocessing: Preprocessing, options: SemanticOptions, confident: bool
) -> Labelled:
    """Labels of an image (C, H, W) that is seen whole."""
    if not options.whole:
        return predict_mask(
            network, image, preprocessing, flip=options.flip, scales=options.scales, confident=confident
        )
    with torch.inference_mode():
        if options.proposals and options.proposal_rules == "release":
            boxes = propose(as_pixels(image)).boxes
            probabilities = on_proposals_as_released(network, preprocessing, image, boxes, options.proposals)
        elif options.proposals:
            boxes = propose(as_pixels(image), limit=options.proposals).boxes
            probabilities = on_proposals(network, preprocessing(image), boxes)
        else:
            probabilities = infer(network, image, preprocessing, flip=options.flip, scales=options.scales)
        if options.crf:
            probabilities = CRF()(probabilities, image)
        if options.superpixels != "none":
            probabilities = _on_segments(probabilities, as_pixels(image), options.superpixels)
        known = confident and options.probabilistic
        return Labelled(labels_of(probabilities), probabilities.amax(0).cpu().numpy() if known else None)


def _on_segments(probabilities: Tensor, pixels: np.ndarray, kind: Segments) -> Tensor:
    segments = superpixels(pixels, "slic" if kind == "slic" else "felzenszwalb")
    if kind == "tree":
        return purity_cover(probabilities, segment_tree(pixels, segments))[1]
    return majority(probabilities, segments)


def as_pixels(image: Tensor) -> np.ndarray:
    """An image (C, H, W) as scikit-image takes it, (H, W, C)."""
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
