"""Unpooling: torch's own as the reference, and the laws it obeys."""

import pytest
import torch
from torch.nn import functional as F

from foveate.errors import ConfigError
from foveate.ops.unpool import pool, unpool, unpool_fixed


@pytest.mark.parametrize(("size", "k"), [((8, 8), 2), ((9, 11), 2), ((3, 2), 2), ((8, 8), 3), ((9, 11), 3)])
def test_equals_torchs_max_unpooling(size, k):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size)
    y, switches = pool(x, k)
    torch.testing.assert_close(y, F.max_pool2d(x, k))
    torch.testing.assert_close(unpool(y, switches, size), F.max_unpool2d(y, switches, k, output_size=size))


def test_by_hand():
    x = torch.tensor([[[[1.0, 2.0, 0.0], [4.0, 3.0, 9.0]]]])  # the third column fills no window
    y, switches = pool(x)
    assert y.tolist() == [[[[4.0]]]]
    assert switches.tolist() == [[[[3]]]]
    assert unpool(y, switches, (2, 3)).tolist() == [[[[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]]]
    assert unpool_fixed(y, (2, 3)).tolist() == [[[[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]]


def test_pooling_undoes_unpooling_of_what_is_not_negative():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 10, 12)
    y, switches = pool(x)
    again, places = pool(unpool(y, switches, (10, 12)))
    assert torch.equal(again, y)
    assert torch.equal(places, switches)
    assert torch.equal(pool(unpool_fixed(y, (10, 12)))[0], y)


def test_unpooling_is_the_adjoint_of_pooling():
    """With its switches held, pooling is linear: <pool(x), y> = <x, unpool(y)>, so unpooling is its backward pass."""
    torch.manual_seed(0)
    x = torch.randn(1, 2, 8, 6, dtype=torch.float64, requires_grad=True)
    y, switches = pool(x)
    other = torch.randn_like(y)
    (y * other).sum().backward()
    torch.testing.assert_close(x.grad, unpool(other, switches, (8, 6)))


def test_gradients_are_right():
    torch.manual_seed(0)
    _, switches = pool(torch.randn(1, 2, 4, 6))
    y = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: unpool(v, switches, (4, 6)), y)


def test_errors():
    with pytest.raises(ConfigError, match="a window of 2x2 does not fit into a map of shape"):
        pool(torch.zeros(1, 1, 1, 5))
    with pytest.raises(ConfigError, match="give both from the same pooling"):
        unpool(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3, dtype=torch.int64), (4, 4))


def test_windows_and_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="a pooling window of 0x0 is empty; give k of 1 or more"):
        pool(torch.zeros(1, 1, 4, 4), 0)
    values, switches = pool(torch.rand(1, 1, 4, 4))
    with pytest.raises(ConfigError, match="were not pooled from 4x1; give the size before pooling"):
        unpool(values, switches, (4, 1))
