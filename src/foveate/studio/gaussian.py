"""The Gaussian of a sample, of which box-cut and scribble-fill have many."""

from __future__ import annotations

import numpy as np


def energy(values: np.ndarray, sample: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """-log of the density (N,) of values (N, C) under the Gaussian of a sample (M, C), without its constant.

    variances: (C,) are added to those of the sample, so that a sample of one value has a density, too.
    """
    covariance = np.cov(sample.T, bias=True) + np.diag(variances)
    away = values - sample.mean(0)
    # (z - m)^T C^-1 (z - m) / 2 + log |C| / 2
    distance = np.einsum("nc,nc->n", away @ np.linalg.inv(covariance), away)
    return np.asarray(0.5 * distance + 0.5 * np.log(np.linalg.det(covariance)))
