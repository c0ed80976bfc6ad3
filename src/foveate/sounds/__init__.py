"""Sound files: WAV by the standard library; FLAC, OGG, MP3, NIST SPHERE and other WAV by soundfile (extra `audio`).

    sound = read_sound(Path("clip.flac"))     # one channel, -1..1, at the file's own rate
    sound = resampled(sound, 16000)

Nothing is changed without a note: channels that are mixed, samples that are clipped, 8 bits, another rate.
"""

from __future__ import annotations

import dataclasses
import io
import math
import re
import struct
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from foveate.errors import DataError
from foveate.records import Sound

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"})
LOWEST_RATE, HIGHEST_RATE = 2000, 384_000  # samples a second of files that hold sound
SILENCE = 10 ** (-80 / 20)  # largest deviation from the mean of a file that holds none, of full scale
CLIPPED_SHARE = 1e-3  # of the samples, at full scale beside another such, from which a file is called clipped
CLIPPED_LEVEL = 0.999
_SPHERE = b"NIST_1A"  # first bytes of NIST's SPHERE files
_SPHERE_HEADER = 1024  # bytes
MAX_SECONDS = 6 * 3600  # of one file
SHORTEST_PART = 4  # times which a part of a recording may be shorter than the longest


class SoundHeader(NamedTuple):
    """The beginning of a sound file."""

    rate: int  # samples a second
    samples: int  # of each channel
    channels: int
    bits: int  # of a sample; 0 where the coding has none


class _Source(NamedTuple):
    """A file on the disk, or its bytes; and its name in messages."""

    content: Path | bytes
    name: str

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, given: Path | bytes, name: str) -> _Source:
        return cls(given, name or ("the recording" if isinstance(given, bytes) else str(given)))

    @property
    def suffix(self) -> str:
        """The end of the file's name, in lower case; of bytes '.wav' or ''."""
        if isinstance(self.content, bytes):
            return ".wav" if self.content[:4] == b"RIFF" and self.content[8:12] == b"WAVE" else ""
        return self.content.suffix.lower()

    def begins_with(self, mark: bytes) -> bool:
        """True if these are the first bytes."""
        return self.first(len(mark)) == mark

    def first(self, count: int) -> bytes:
        """The first bytes. Raises DataError for a file that cannot be read."""
        if isinstance(self.content, bytes):
            return self.content[:count]
        try:
            with self.content.open("rb") as file:
                return file.read(count)
        except OSError as error:
            raise DataError(f"{self}: cannot be read ({error.strerror or error})") from None

    def open(self) -> BinaryIO | str:
        """The file as `wave` and soundfile take it."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else str(self.content)

    def require(self) -> None:
        """Raise DataError for a file that is missing or empty."""
        if isinstance(self.content, Path) and not self.content.is_file():
            raise DataError(f"{self}: no such file")
        if not (len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size):
            raise DataError(f"{self}: an empty file; record it again, or remove it and its transcript")


def sound_header(given: Path | bytes, name: str = "") -> SoundHeader:
    """Read the header of a file. Raises DataError for a file that is missing, empty or no sound.

    given: a path, or the bytes of a file, for which `name` stands in messages.
    """
    path = _Source.of(given, name)
    path.require()
    if path.suffix == ".wav" and (header := _wave_header(path)) is not None:
        return _checked(path, header)
    soundfile = _soundfile(path)
    try:
        about = soundfile.info(path.open())
    except Exception as error:  # soundfile's own class, or one of the C library's
        if path.begins_with(_SPHERE):
            raise DataError(
                f"{path}: a NIST SPHERE file that cannot be read ({_reason(error)}): it is damaged, or packed with "
                "shorten; if it is packed, write it as WAV: sph2pipe -f wav OLD NEW"
            ) from None
        raise DataError(f"{path}: not a sound file that can be read ({_reason(error)})") from None
    if about.format == "NIST" and (named := _sphere_samples(path)) > about.frames:
        raise DataError(f"{path}: {about.frames} of the {named} samples that its header names; restore it from a copy")
    bits = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}.get(about.subtype, 0)
    return _checked(path, SoundHeader(about.samplerate, about.frames, about.channels, bits), about.format != "FLAC")


def _checked(path: _Source, header: SoundHeader, stored: bool = True) -> SoundHeader:
    """The header, if it can be true. stored: samples take their bits in the file, which no coding makes smaller."""
    if not LOWEST_RATE <= header.rate <= HIGHEST_RATE:
        raise DataError(
            f"{path}: a sampling rate of {header.rate} Hz in its header; expected {LOWEST_RATE}..{HIGHEST_RATE}: write "
            "the file again with the rate that it was recorded at"
        )
    if header.samples == 0:
        raise DataError(f"{path}: no samples; record it again, or remove it and its transcript")
    held = path.content.stat().st_size if isinstance(path.content, Path) else len(path.content)
    if stored and header.bits and header.samples * header.channels * header.bits // 8 > 2 * held:
        raise DataError(
            f"{path}: a header of more samples than the file holds, as of a stream; write it again, for example by "
            "ffmpeg -i OLD NEW"
        )
    if header.samples > MAX_SECONDS * header.rate:
        raise DataError(
            f"{path}: {header.samples / header.rate / 3600:.1f} hours; expected {MAX_SECONDS // 3600} at most: cut it"
        )
    return header


def read_sound(given: Path | bytes, name: str = "") -> Sound:
    """Read a file as one channel of float32 in -1..1, at its own rate; given, name: see `sound_header`.

    Raises DataError for a file that is missing, empty, damaged, silent, or of a kind that needs soundfile where that is
    not installed.
    """
    header = sound_header(given, name)
    path = _Source.of(given, name)
    if path.suffix == ".wav" and _wave_header(path) is not None:
        samples = _wave_samples(path)
    else:
        try:
            samples, _ = _soundfile(path).read(path.open(), dtype="float32", always_2d=True)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{path}: damaged ({_reason(error)}); restore it from a copy") from None
    return sound_from(samples, header.rate, str(path), header.bits)


def sound_from(samples: np.ndarray, rate: float, name: str, bits: int = 0) -> Sound:
    """Return samples (T,) or (T, channels), float in -1..1, as a recording of one channel.

    Raises DataError for no samples, values that are not finite, or silence.
    """
    notes = []
    if samples.ndim == 2 and samples.shape[1] > 1:
        notes.append(f"{samples.shape[1]} channels, mixed to one")
    mono = np.asarray(samples.mean(1) if samples.ndim == 2 else samples, np.float32)
    if not len(mono):
        raise DataError(f"{name}: no samples; record it again, or remove it and its transcript")
    if not np.isfinite(mono).all():
        raise DataError(f"{name}: samples that are not numbers; write the file again")
    if float(np.abs(mono - mono.mean()).max()) < SILENCE:
        if samples.ndim == 2 and samples.shape[1] > 1 and float(np.abs(samples - samples.mean(0)).max()) >= SILENCE:
            raise DataError(
                f"{name}: its channels cancel each other when they are mixed, one is the other with the sign changed; "
                "give one of them"
            )
        raise DataError(f"{name}: silence, {len(mono) / rate:.1f} s without a sound; record it again, or remove it")
    if float(np.abs(mono).max()) > 2:
        raise DataError(
            f"{name}: samples up to {np.abs(mono).max():.0f}; expected -1..1: divide by the largest number of the type"
        )
    full = np.abs(samples if samples.ndim == 2 else samples[:, None]) >= CLIPPED_LEVEL
    runs = (full[1:] & full[:-1]).mean() if len(full) > 1 else 0.0
    if runs > CLIPPED_SHARE:
        notes.append(f"clipped, {100 * float(full.mean()):.0f} % of the samples are at full scale; record it less loud")
    if bits == 8:
        notes.append("8 bits a sample, which add noise")
    return Sound(torch.from_numpy(np.ascontiguousarray(mono)), rate, tuple(notes))


def resampled(sound: Sound, rate: float) -> Sound:
    """Return a recording at another rate, by a polyphase filter; the note says so.

    Frames of features cannot be resampled; raises DataError.
    """
    if sound.rate == rate:
        return sound
    if sound.is_features:
        raise DataError(f"frames at {sound.rate:g} a second, for a model of {rate:g}; compute the features again")
    from scipy.signal import resample_poly

    ratio = Fraction(rate).limit_denominator() / Fraction(sound.rate).limit_denominator()
    ratio = ratio.limit_denominator(1000)
    values = resample_poly(sound.values.numpy(), ratio.numerator, ratio.denominator).astype(np.float32)
    band = f", without what is above {sound.rate / 2:g} Hz" if rate > sound.rate else ""
    notes = (*sound.notes, f"resampled from {sound.rate:g} to {rate:g} Hz{band}")
    return dataclasses.replace(sound, values=torch.from_numpy(values), rate=rate, notes=notes)


def _sphere_samples(path: _Source) -> int:
    """The samples of each channel that the header of a NIST SPHERE file names; 0 if it does not."""
    match = re.search(rb"\nsample_count -i (\d+)", path.first(_SPHERE_HEADER))
    return int(match[1]) if match else 0


def _wave_header(path: _Source) -> SoundHeader | None:
    """The header of a plain PCM file; None for other kinds of WAV, which soundfile may read. Raises DataError."""
    if path.begins_with(_SPHERE):  # TIMIT and others of its time call it .wav
        return None
    try:
        with wave.open(path.open(), "rb") as file:
            return SoundHeader(file.getframerate(), file.getnframes(), file.getnchannels(), 8 * file.getsampwidth())
    except wave.Error as error:
        if "unknown format" in str(error):
            return None
        raise DataError(f"{path}: not a WAV file that can be read ({error}); write it again") from None
    except (EOFError, struct.error, ZeroDivisionError, RuntimeError):  # RuntimeError: a chunk reaches beyond the file
        raise DataError(f"{path}: a WAV file that ends too early; restore it from a copy") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _wave_samples(path: _Source) -> np.ndarray:
    """(T, channels) float32 of a plain PCM file. Raises DataError."""
    try:
        with wave.open(path.open(), "rb") as file:
            width, channels, count = file.getsampwidth(), file.getnchannels(), file.getnframes()
            raw = file.readframes(count)
    except (EOFError, OSError, RuntimeError, MemoryError, wave.Error) as error:
        raise DataError(f"{path}: damaged ({_reason(error)}); restore it from a copy") from None
    whole = len(raw) // (width * channels)
    if whole < count:
        raise DataError(f"{path}: {whole} of the {count} samples that its header names; restore it from a copy")
    if width == 1:  # unsigned
        samples = np.frombuffer(raw, np.uint8).astype(np.float32) / 128 - 1
    elif width == 3:
        padded = np.zeros((whole * channels, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples = padded.view("<i4")[:, 0].astype(np.float32) / 2**31
    elif width in (2, 4):
        samples = np.frombuffer(raw, f"<i{width}").astype(np.float32) / 2 ** (8 * width - 1)
    else:
        raise DataError(f"{path}: {8 * width} bits a sample; expected 8, 16, 24 or 32")
    return samples.reshape(-1, channels)


def _soundfile(path: _Source) -> Any:
    try:
        import soundfile
    except ImportError:
        raise DataError(
            f"{path}: reading {path.suffix or 'such files'} needs soundfile, which is not installed: "
            "pip install 'foveate[audio]', or write WAV files of 16 bits"
        ) from None
    return soundfile


def _reason(error: Exception) -> str:
    return str(error).rpartition(": ")[2].strip().rstrip(".") or type(error).__name__


def cuts_at_silence(sound: Sound, longest: float) -> list[int]:
    """Return the samples at which a recording is cut into parts of at most `longest` seconds, 0 and its end included.

    Each part ends in the quietest fifth of a second of its second half, and none is shorter than `longest` / 4.
    """
    total, rate = len(sound.values), sound.rate
    most = int(longest * rate)
    span = max(1, min(int(0.2 * rate), most // SHORTEST_PART))
    places = [0]
    energy = np.concatenate([[0.0], np.cumsum(sound.values.numpy().astype(np.float64) ** 2)])
    while total - places[-1] > most:
        first, last = places[-1] + most // 2, min(places[-1] + most, total - most // SHORTEST_PART)
        starts = np.arange(first, max(first + 1, last - span))
        loud = energy[np.minimum(starts + span, total)] - energy[starts]
        places.append(int(starts[int(loud.argmin())]) + span // 2)
    return [*places, total]


def decibels(level: float) -> float:
    """Return a level of full scale in dB."""
    return 20 * math.log10(max(level, 1e-10))
