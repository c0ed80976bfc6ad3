"""NIST's SPHERE files: their samples, and those that cannot be read."""

import pytest

from foveate.errors import DataError
from foveate.sounds import read_sound, sound_header

pytest.importorskip("soundfile")


class TestSphere:
    HEADER = (
        "NIST_1A\n   1024\ndatabase_id -s5 TIMIT\nchannel_count -i 1\nsample_count -i 4000\nsample_rate -i 16000\n"
        "sample_n_bytes -i 2\nsample_byte_format -s2 {order}\nsample_sig_bits -i 16\n{coding}end_head\n"
    )

    def write(self, path, order="01", coding="", samples=4000):
        raw = b"".join((i % 500).to_bytes(2, "little" if order == "01" else "big") for i in range(samples))
        path.write_bytes(self.HEADER.format(order=order, coding=coding).encode().ljust(1024) + raw)
        return path

    @pytest.mark.parametrize("order", ["01", "10"])
    @pytest.mark.parametrize("name", ["a.wav", "A.WAV"])
    def test_samples_of_either_byte_order(self, tmp_path, order, name):
        path = self.write(tmp_path / name, order)
        assert sound_header(path)[:3] == (16000, 4000, 1)
        assert (read_sound(path).values[:501] * 2**15).tolist() == [float(i % 500) for i in range(501)]
        assert sound_header(path.read_bytes(), "the recording") == sound_header(path)

    def test_packed_files_and_parts_of_files_are_refused(self, tmp_path):
        packed = self.write(tmp_path / "a.wav", coding="sample_coding -s26 pcm,embedded-shorten-v2.00\n")
        message = (
            r"a\.wav: a NIST SPHERE file that cannot be read \(.*\): it is damaged, or packed with shorten; .* sph2pipe"
        )
        with pytest.raises(DataError, match=message):
            sound_header(packed)
        part = self.write(tmp_path / "b.wav", samples=3000)
        with pytest.raises(DataError, match=r"b\.wav: 3000 of the 4000 samples that its header names; restore it"):
            sound_header(part)
