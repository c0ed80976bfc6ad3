"""Calibration of label maps: how often pixels of each level of confidence have the right class.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2: with 15 bins of equal
width over the probability of the given class, the expected calibration error is the mean over pixels of
|accuracy - confidence| of their bins.

Shapes: an image of H x W pixels, K classes.
"""

from __future__ import annotations

import numpy as np
import torch

from foveate.errors import ConfigError
from foveate.metrics.classification import BINS
from foveate.tasks.evaluation import Evaluation
from foveate.tasks.reporting import reliability_section
from foveate.visualize.report import Section

LARGEST = 2**27  # probabilities of an image that is measured: 512 MB
IMAGES = 32  # of an evaluation, on which confidence is measured: the network runs once more for each


def bins_of(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(BINS, 3): pixels, the sum of their confidences, and the right ones, by confidence; bin b is (b, b + 1] / BINS.

    probabilities: (K, H, W). truth: (H, W); pixels of other labels than 0 to K - 1 are not counted.
    """
    known = (truth >= 0) & (truth < len(probabilities))
    confidence, right = probabilities.max(axis=0)[known], (probabilities.argmax(axis=0) == truth)[known]
    place = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(int)
    columns = (None, confidence, right)
    return np.stack([np.bincount(place, weights=values, minlength=BINS) for values in columns], axis=1).astype(float)


def calibration_error(bins: np.ndarray) -> float:
    """The expected calibration error of counts (BINS, 3); nan without a pixel."""
    pixels, confidence, right = bins.T
    total = pixels.sum()
    return float(np.abs(right - confidence).sum() / total) if total else float("nan")


def measure(evaluation: Evaluation) -> tuple[np.ndarray, int] | None:
    """(counts (BINS, 3), number of images) over evenly spaced images, large ones left out.

    None for options without probabilities.
    """
    count = min(IMAGES, len(evaluation.dataset))
    chosen = np.linspace(0, len(evaluation.dataset) - 1, count).round().astype(int).tolist()
    total, measured = np.zeros((BINS, 3)), 0
    for index in chosen:
        sample = evaluation.dataset[index]
        if sample["mask"].numel() * len(evaluation.task.tables["classes"]) > LARGEST:
            continue
        try:
            with torch.inference_mode():
                found = evaluation.task.probabilities(evaluation.loaded.model, sample, evaluation.options)  # type: ignore[attr-defined]
        except ConfigError:
            return None
        total += bins_of(found, evaluation.task.truth(sample))  # type: ignore[attr-defined]
        measured += 1
    return total, measured


def calibration_part(evaluation: Evaluation) -> Section | None:
    """The section of the report; None where confidence is not known."""
    measured = measure(evaluation)
    if measured is None:
        return None
    bins, count = measured
    error, samples = calibration_error(bins), len(evaluation.dataset)
    return reliability_section(
        bins, "pixels", f"On {count} of {samples} pictures, the calibration error is {error:.3f}."
    )
