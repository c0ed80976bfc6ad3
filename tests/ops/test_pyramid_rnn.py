"""The pyramid of LSTMs: parity with nn.LSTM on packed and reshaped sequences, and the laws of lengths and padding."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foveate.errors import ConfigError
from foveate.ops.pyramid_rnn import BidirectionalLSTM, PyramidLSTM, normalize_over_time

LENGTHS = torch.tensor([9, 4, 7, 2])


def reference(layer, size):
    """An nn.LSTM with the weights of both directions."""
    lstm = nn.LSTM(size, layer.onward.hidden_size, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for name, value in layer.onward.named_parameters():
            getattr(lstm, name).copy_(value)
        for name, value in layer.returning.named_parameters():
            getattr(lstm, f"{name}_reverse").copy_(value)
    return lstm


def test_it_equals_a_bidirectional_lstm_on_packed_sequences():
    layer, x = BidirectionalLSTM(5, 3).double(), torch.randn(4, 9, 5).double()
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(reference(layer, 5)(packed)[0], batch_first=True)
    torch.testing.assert_close(layer(x, LENGTHS), expected)
    torch.testing.assert_close(layer(x), reference(layer, 5)(x)[0])


def test_a_layer_equals_an_lstm_on_neighbouring_steps_joined():
    layer, x = PyramidLSTM(5, 3).double(), torch.randn(4, 9, 5).double()
    y, lengths = layer(x, LENGTHS)
    assert lengths.tolist() == [4, 2, 3, 1]
    for row, length in enumerate(LENGTHS.tolist()):
        joined = torch.stack([torch.cat([x[row, 2 * i], x[row, 2 * i + 1]]) for i in range(length // 2)])
        expected = reference(layer.rnn, 10)(joined[None])[0][0]
        torch.testing.assert_close(y[row, : length // 2], expected)
        assert not y[row, length // 2 :].any()


def test_the_length_after_k_layers_is_that_over_two_to_the_k():
    layers = [PyramidLSTM(2, 1) for _ in range(3)]
    for steps in range(8, 40):
        x, lengths = torch.randn(1, steps, 2), torch.tensor([steps])
        for layer in layers:
            x, lengths = layer(x, lengths)
        assert x.shape[1] == int(lengths) == steps // 8


def test_padding_changes_no_output_and_has_no_gradient():
    layer = PyramidLSTM(5, 3).double()
    x = torch.randn(4, 9, 5).double().requires_grad_()
    y, _ = layer(x, LENGTHS)
    noisy = x.detach().clone()
    for row, length in enumerate(LENGTHS.tolist()):
        noisy[row, length:] = 1e3
    torch.testing.assert_close(layer(noisy, LENGTHS)[0], y.detach())
    y.square().sum().backward()
    for row, length in enumerate(LENGTHS.tolist()):
        assert not x.grad[row, length:].any()
        assert x.grad[row, : length // 2 * 2].any(1).all()
        assert not x.grad[row, length // 2 * 2 :].any()  # of an odd number the last is not read


def test_too_few_steps():
    with pytest.raises(ConfigError, match="a sequence of 1 steps; a layer that halves it needs two or more"):
        PyramidLSTM(2, 1)(torch.randn(1, 1, 2))
    with pytest.raises(ConfigError, match="a sequence of one step"):
        PyramidLSTM(2, 1)(torch.randn(2, 4, 2), torch.tensor([4, 1]))


class TestNormalization:
    def test_mean_and_deviation_are_those_of_the_recording_alone(self):
        x = 3 + 2 * torch.randn(4, 9, 5).double()
        y = normalize_over_time(x, LENGTHS, floor=0.0)
        for row, length in enumerate(LENGTHS.tolist()):
            own = x[row, :length]
            expected = (own - own.mean(0)) / own.std(0, correction=0)
            torch.testing.assert_close(y[row, :length], expected)
            assert not y[row, length:].any()
        torch.testing.assert_close(normalize_over_time(x[:1], floor=0.0), normalize_over_time(x[:1], LENGTHS[:1], 0.0))

    def test_a_constant_becomes_zero(self):
        assert not normalize_over_time(torch.full((1, 6, 2), 7.0)).any()
