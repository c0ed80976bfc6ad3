"""Log-mel features: the logarithm of the power of a waveform in bands that are equally wide on the mel scale.

Shapes: B waveforms of T samples; F frames of `window` samples, K = fft / 2 + 1 bins, M bands.

    f_mel = 2595 log10(1 + f / 700)                      O'Shaughnessy (1987), as in HTK
    P[t, k] = |sum_n w[n] x[t hop + n] e^(-2 pi i n k / fft)|^2,  w the periodic Hann window
    y[t, m] = log max(sum_k B[k, m] P[t, k], floor)

Frame t reads the samples t hop to t hop + window - 1 and nothing else: there is no padding, so that a waveform that is
filled up gives the same frames, and a part of it the same as the whole. Where torchaudio and librosa centre a frame of
`fft` samples, the window stands in its middle; such a frame starts (fft - window) / 2 samples earlier.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from foveate.errors import ConfigError

FLOOR = 1e-6  # of a band's power; about -100 dB of full scale


def mel_from_hertz(frequency: float | np.ndarray) -> np.ndarray:
    """Return the place on the mel scale of a frequency in Hz."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency) / 700.0)


def hertz_from_mel(mel: float | np.ndarray) -> np.ndarray:
    """Return the frequency in Hz of a place on the mel scale."""
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_bank(rate: int, fft: int, mels: int, low: float, high: float) -> np.ndarray:
    """Return triangular filters (K, M), float64: of height 1, with equal distances in mel from `low` to `high` Hz.

    Raises ConfigError for a range that the rate does not hold, or bands so narrow that one has no bin.
    """
    if not 0 <= low < high <= rate / 2:
        raise ConfigError(
            f"mel bands from {low:g} to {high:g} Hz; give a range within 0..{rate / 2:g} Hz, half the rate"
        )
    edges = hertz_from_mel(np.linspace(mel_from_hertz(low), mel_from_hertz(high), mels + 2))
    bins = np.arange(fft // 2 + 1) * rate / fft
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    bank: np.ndarray = np.maximum(0.0, np.minimum(rising, falling))
    if not bank.any(0).all():
        empty = int(np.flatnonzero(~bank.any(0))[0])
        raise ConfigError(
            f"{mels} mel bands from {low:g} to {high:g} Hz are too narrow for {fft} samples at {rate} Hz: band {empty} "
            "has no bin; give fewer bands or a longer window"
        )
    return bank


class LogMel(nn.Module):
    """Log-mel features of waveforms: (B, T) -> (B, F, M), F = 1 + (T - window) // hop.

    rate: samples a second.
    mels: M, the number of bands; 40 to 80 are usual.
    window, hop: seconds that a frame is long, and between two frames; 0.025 and 0.01 are usual.
    low, high: the lowest and the highest frequency in Hz; a high of 0 is half the rate.

    It has no parameters, and is written as products of matrices, so that it exports to any runtime.

    Raises ConfigError for settings that do not fit each other.
    """

    kernel: Tensor
    bank: Tensor

    def __init__(
        self, rate: int, mels: int = 40, window: float = 0.025, hop: float = 0.01, low: float = 0.0, high: float = 0.0
    ) -> None:
        super().__init__()
        self.window, self.hop = round(window * rate), round(hop * rate)
        if min(self.window - 1, self.hop, mels) < 1:
            raise ConfigError(
                f"log-mel features of {mels} bands, with windows of {window:g} s each {hop:g} s at {rate} Hz; give one "
                "band or more, windows of two samples or more, and a step of one or more"
            )
        self.mels = mels
        self.fft = 2 ** math.ceil(math.log2(self.window))
        n, k = np.arange(self.window)[:, None], np.arange(self.fft // 2 + 1)
        hann = 0.5 - 0.5 * np.cos(2 * math.pi * n / self.window)
        angle = 2 * math.pi * (n * k % self.fft) / self.fft
        kernel = np.concatenate([hann * np.cos(angle), -hann * np.sin(angle)], 1)  # (window, 2 K)
        bank = mel_bank(rate, self.fft, mels, low, high or rate / 2)
        self.register_buffer("kernel", torch.from_numpy(kernel).float(), persistent=False)
        self.register_buffer("bank", torch.from_numpy(bank).float(), persistent=False)

    def count(self, samples: Tensor) -> Tensor:
        """Return the number of frames of waveforms of so many samples; 0 for those shorter than a window."""
        return torch.clamp((samples - self.window) // self.hop + 1, min=0)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the features (B, F, M) of waveforms (B, T). Raises ConfigError for fewer samples than a window."""
        if waveform.ndim != 2 or waveform.shape[1] < self.window:
            raise ConfigError(
                f"a waveform of shape {tuple(waveform.shape)}; give (B, T) with {self.window} samples or more, a window"
            )
        frames = waveform.unfold(1, self.window, self.hop)
        real, imaginary = (frames @ self.kernel).chunk(2, 2)
        # P = |X|^2, y = log max(P B, floor)
        return ((real**2 + imaginary**2) @ self.bank).clamp(min=FLOOR).log()

    def extra_repr(self) -> str:
        """Return the text that `print(model)` shows in the brackets."""
        return f"mels={self.mels}, window={self.window}, hop={self.hop}, fft={self.fft}"


def warp_bands(
    x: Tensor, most: float, rate: float, low: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """Return log-mel features (B, F, M) of recordings whose frequencies are multiplied by a number drawn for each.

    most: the number is drawn from 1 - most to 1 + most. rate, low: of the bands (`LogMel`). Beyond the last band there
    is a copy of it. The voice of a shorter vocal tract has higher resonances; the duration stays.

    Source: Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition" (2013); there the
    frequencies bend back to half the rate at the top.
    """
    bands = x.shape[2]
    edges = torch.linspace(float(mel_from_hertz(low)), float(mel_from_hertz(rate / 2)), bands + 2, device=x.device)
    hertz = 700.0 * (10.0 ** (edges[1:-1] / 2595.0) - 1.0)
    factor = 1 + most * (2 * torch.rand(x.shape[0], 1, device=x.device, generator=generator) - 1)
    # The band of the frequency f / factor is what is heard at f.
    mel = 2595.0 * torch.log10(1.0 + hertz / factor / 700.0)  # (B, M)
    place = ((mel - edges[1]) / (edges[1] - edges[0])).clamp(0, bands - 1)
    below = place.floor().clamp(max=max(bands - 2, 0))
    share = (place - below).to(x.dtype)[:, None]  # (B, 1, M)
    index = below.long()[:, None].expand(-1, x.shape[1], -1)
    return x.gather(2, index) * (1 - share) + x.gather(2, (index + 1).clamp(max=bands - 1)) * share


def mask_bands(x: Tensor, masks: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """Return normalised features (B, F, M) with `masks` stretches of up to `width` bands of each recording set to 0.

    Source: Park et al., "SpecAugment" (2019), section 2, frequency masking.
    """
    bands = torch.arange(x.shape[2], device=x.device)
    for _ in range(masks):
        draws = torch.rand(2, x.shape[0], 1, device=x.device, generator=generator)
        wide = draws[0] * min(width, x.shape[2])
        start = draws[1] * (x.shape[2] - wide)
        x = x.masked_fill(((bands >= start) & (bands < start + wide))[:, None], 0.0)
    return x
