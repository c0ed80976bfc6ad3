"""Sums of metrics: what `flatten` gives is added in its place, and nothing of another length is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError
from foveate.metrics.drawing import DrawingMetrics
from foveate.metrics.handwriting import HandwritingMetrics
from foveate.metrics.sums import add, flatten
from foveate.metrics.translation import TranslationMetrics


def test_sums_are_added_in_their_places():
    parts = np.array([1.0, 2.0]), np.array([[3.0, 4.0], [5.0, 6.0]])
    state = flatten(parts)
    assert state.tolist() == [1, 2, 3, 4, 5, 6]
    add(parts, 10 * state, same="kind")
    assert parts[0].tolist() == [11, 22] and parts[1].tolist() == [[33, 44], [55, 66]]
    assert state.tolist() == [1, 2, 3, 4, 5, 6]  # a copy
    counts = np.zeros(2, np.int64)
    add([counts], torch.tensor([2**53 + 1, 1]), same="kind")
    assert counts.tolist() == [2**53 + 1, 1]


@pytest.mark.parametrize(
    "metrics",
    [HandwritingMetrics(), DrawingMetrics("binary", 4), TranslationMetrics(ter=False)],
    ids=lambda m: type(m).__name__,
)
def test_states_are_copies_and_need_their_length(metrics):
    state = metrics.state()
    state += 1
    assert not metrics.state().any()
    metrics.merge(state)
    assert (metrics.state() == 1).all()
    with pytest.raises(ConfigError, match=r"cannot merge sums of shape \(1,\) into metrics that hold \(\d+,\)"):
        metrics.merge(state[:1])
