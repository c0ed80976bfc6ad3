"""Log-mel features: parity with torchaudio by recorded numbers and with plain sums, and laws of frames and gain."""

import math

import numpy as np
import pytest
import torch

from foveate.errors import ConfigError
from foveate.ops.log_mel import FLOOR, LogMel, hertz_from_mel, mask_bands, mel_bank, mel_from_hertz, warp_bands

# torchaudio 2.11.1, MelSpectrogram(rate, n_fft, win_length, hop_length, f_min, n_mels, center=False, power=2), clamped
# at 1e-6, its logarithm: every fifth band of frame 3 and of the last frame of `wave`, padded so that its window, which
# stands in the middle of n_fft samples, starts where ours does.
TORCHAUDIO = {
    (16000, 40, 400, 160, 0.0): (
        [-5.4969, 7.61359, -7.37734, 0.95021, -10.32966, -13.81551, -13.81551, -13.81551],
        [-10.30344, -6.29116, 7.29852, 0.95157, -10.44301, -13.81551, -13.81551, -13.81551],
    ),
    (8000, 23, 240, 120, 60.0): (
        [-4.40858, -4.43882, -8.44574, -11.77728, -13.81551],
        [-11.03404, 3.53345, -8.40017, -11.67349, -13.81551],
    ),
}
# The sums of every eighth filter of torchaudio.functional.melscale_fbanks(..., norm=None, mel_scale="htk").
FILTER_SUMS = {
    (16000, 40, 400, 160, 0.0): [1.320111, 2.333017, 3.924634, 6.410354, 10.480879],
    (8000, 23, 240, 120, 60.0): [1.965139, 3.668305, 6.738514],
}


def wave(seconds, rate):
    t = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    sweep = 0.5 * torch.sin(2 * math.pi * (200 * t + 900 * t**2))
    return (sweep + 0.2 * torch.sin(2 * math.pi * 1333 * t)).float()


@pytest.mark.parametrize("case", TORCHAUDIO)
def test_it_equals_torchaudio(case):
    rate, mels, window, hop, low = case
    features = LogMel(rate, mels, window / rate, hop / rate, low)
    found = features(wave(0.25, rate)[None])[0]
    for row, expected in zip((found[3], found[-1]), TORCHAUDIO[case], strict=True):
        torch.testing.assert_close(row[::5], torch.tensor(expected), rtol=0, atol=2e-3)
        loud = torch.tensor(expected) > -6  # below, the rounding of 32 bits shows
        torch.testing.assert_close(row[::5][loud], torch.tensor(expected)[loud], rtol=0, atol=1e-4)
    sums = features.bank.sum(0)[::8]
    torch.testing.assert_close(sums, torch.tensor(FILTER_SUMS[case]), rtol=0, atol=1e-5)


def test_it_equals_the_definition_by_fft():
    rate, x = 8000, wave(0.2, 8000)
    features = LogMel(rate, 20, 0.025, 0.01).double()
    features.kernel, features.bank = (LogMel(rate, 20, 0.025, 0.01).double()).kernel, features.bank
    hann = torch.hann_window(200, dtype=torch.float64)
    frames = torch.stack([x[t : t + 200].double() * hann for t in range(0, len(x) - 199, 80)])
    power = torch.fft.rfft(frames, 256).abs() ** 2
    bank = torch.from_numpy(mel_bank(rate, 256, 20, 0.0, 4000.0))
    expected = (power @ bank).clamp(min=FLOOR).log()
    torch.testing.assert_close(features(x[None].double())[0], expected, rtol=0, atol=1e-4)


def test_the_mel_scale_is_htks():
    assert float(mel_from_hertz(1000.0)) == pytest.approx(999.9855, abs=1e-3)
    assert float(hertz_from_mel(mel_from_hertz(437.0))) == pytest.approx(437.0)
    bank = mel_bank(16000, 512, 40, 0.0, 8000.0)
    assert bank.min() == 0 and bank.max() <= 1
    covered, hertz = bank.sum(1), np.arange(257) * 31.25
    first, last = hertz_from_mel(mel_from_hertz(8000) * np.array([1, 40]) / 41)  # the tips of the outer triangles
    inside = (hertz >= first) & (hertz <= last)
    assert inside.sum() > 230
    np.testing.assert_allclose(covered[inside], 1, atol=1e-9)  # neighbouring triangles add up to 1


class TestLaws:
    def test_padding_changes_no_frame_of_the_recording(self):
        features, x = LogMel(8000), wave(0.3, 8000)
        alone = features(x[None])
        filled = features(torch.cat([x, torch.zeros(1234)])[None])
        frames = int(features.count(torch.tensor(len(x))))
        assert alone.shape[1] == frames
        torch.testing.assert_close(filled[:, :frames], alone, rtol=0, atol=1e-5)

    def test_shifting_by_whole_hops_shifts_the_frames(self):
        features, x = LogMel(8000), wave(0.3, 8000)
        torch.testing.assert_close(features(x[None, 3 * 80 :]), features(x[None])[:, 3:], rtol=0, atol=1e-5)

    def test_a_gain_adds_the_same_to_every_value_above_the_floor(self):
        features = LogMel(8000)
        x = wave(0.3, 8000) + 0.05 * torch.randn(2400, generator=torch.Generator().manual_seed(0))
        a, b = features(x[None]), features(0.5 * x[None])
        assert a.min() > math.log(FLOOR) + 2
        torch.testing.assert_close(a - b, torch.full_like(a, 2 * math.log(2)), rtol=0, atol=1e-3)

    @pytest.mark.parametrize(("samples", "frames"), [(199, 0), (200, 1), (279, 1), (280, 2), (8000, 98)])
    def test_the_number_of_frames(self, samples, frames):
        features = LogMel(8000)
        assert int(features.count(torch.tensor(samples))) == frames
        if frames:
            assert features(torch.randn(1, samples)).shape == (1, frames, 40)

    def test_silence_is_at_the_floor(self):
        torch.testing.assert_close(LogMel(8000)(torch.zeros(1, 400)), torch.full((1, 3, 40), math.log(FLOOR)))


class TestErrors:
    def test_a_range_beyond_half_the_rate(self):
        with pytest.raises(ConfigError, match=r"mel bands from 0 to 5000 Hz; give a range within 0..4000 Hz"):
            LogMel(8000, high=5000)

    def test_bands_without_a_bin(self):
        with pytest.raises(ConfigError, match="too narrow for 256 samples at 8000 Hz: band 0 has no bin; give fewer"):
            LogMel(8000, mels=100)

    def test_a_waveform_shorter_than_a_window(self):
        with pytest.raises(ConfigError, match="give \\(B, T\\) with 200 samples or more"):
            LogMel(8000)(torch.zeros(1, 199))


class TestAugmentation:
    def test_a_warp_moves_a_tone_to_the_band_of_the_changed_frequency(self):
        rate = 16000
        features = LogMel(rate, 40)
        t = torch.arange(rate) / rate
        tone = torch.sin(2 * math.pi * 1000 * t)[None]
        x = features(tone)[:, :5]
        edges = hertz_from_mel(np.linspace(0, mel_from_hertz(8000), 42))[1:-1]
        for seed in range(6):
            warped = warp_bands(x, 0.2, rate, generator=torch.Generator().manual_seed(seed))
            factor = 1 + 0.2 * (2 * float(torch.rand(1, 1, generator=torch.Generator().manual_seed(seed))) - 1)
            expected = int(np.abs(edges - 1000 * factor).argmin())
            assert abs(int(warped[0, 0].argmax()) - expected) <= 1

    def test_a_warp_knows_the_lowest_frequency_of_its_bands(self):
        rate, low = 16000, 2000.0
        tone = torch.sin(2 * math.pi * 3000 * torch.arange(rate) / rate)[None]
        x = LogMel(rate, 40, low=low)(tone)[:, :5]
        edges = hertz_from_mel(np.linspace(mel_from_hertz(low), mel_from_hertz(8000), 42))[1:-1]
        for seed in range(6):
            warped = warp_bands(x, 0.2, rate, low, torch.Generator().manual_seed(seed))
            factor = 1 + 0.2 * (2 * float(torch.rand(1, 1, generator=torch.Generator().manual_seed(seed))) - 1)
            assert abs(int(warped[0, 0].argmax()) - int(np.abs(edges - 3000 * factor).argmin())) <= 1

    def test_no_warp_changes_nothing(self):
        x = torch.randn(3, 7, 40)
        torch.testing.assert_close(warp_bands(x, 0.0, 16000), x, rtol=0, atol=1e-4)

    def test_masks_hide_bands_of_the_whole_recording_and_no_more_than_their_width(self):
        x = torch.ones(50, 4, 40)
        hidden = mask_bands(x, 2, 8, torch.Generator().manual_seed(0)) == 0
        assert (hidden == hidden[:, :1]).all()
        counts = hidden[:, 0].sum(1)
        assert counts.max() <= 16 and counts.float().mean() > 4
        assert mask_bands(x, 0, 8) is x
