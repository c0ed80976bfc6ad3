"""Sound files for tests: tones in WAV, written with the standard library, and in other formats with soundfile."""

import wave

import numpy as np

PITCHES = {"one": 400, "two": 900, "three": 1500}


def tone(pitch, seconds=0.3, rate=8000, seed=0, loudness=0.5):
    """A tone with a little noise, (T,) float."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.01, len(t))
    return loudness * np.sin(2 * np.pi * pitch * t) + noise


def write_wav(path, samples, rate=8000, width=2):
    """Write samples (T,) or (T, channels) in -1..1 as PCM of `width` bytes."""
    samples = np.asarray(samples)
    samples = samples[:, None] if samples.ndim == 1 else samples
    path.parent.mkdir(parents=True, exist_ok=True)
    scaled = samples.clip(-1, 1 - 2.0 ** (1 - 8 * width)) * 2.0 ** (8 * width - 1)
    if width == 1:
        raw = np.rint(scaled + 128).astype(np.uint8).tobytes()
    elif width == 3:
        raw = np.rint(scaled).astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    else:
        raw = np.rint(scaled).astype(f"<i{width}").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)
    return path


def write_sound(path, pitch=300, **coding):
    """Write half a second of a tone in the format of the name; other than plain WAV with soundfile's arguments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".wav" and not coding:
        return write_wav(path, tone(pitch, 0.5))
    import soundfile

    soundfile.write(path, tone(pitch, 0.5), 8000, **coding)
    return path


def write_text(path, text):
    """Write a text with the line ends that it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def write_words(root, speakers=("ann", "bob", "cy"), takes=2, rate=8000):
    """A folder of single words by several speakers, with transcripts.tsv."""
    rows = ["file\tspeaker\ttext"]
    for s, speaker in enumerate(speakers):
        for word, pitch in PITCHES.items():
            for take in range(takes):
                name = f"{word}_{speaker}_{take}.wav"
                samples = tone(pitch * (1 + 0.05 * s), 0.25 + 0.02 * take, rate, seed=7 * s + take)
                write_wav(root / "audio" / name, samples, rate)
                rows.append(f"{name}\t{speaker}\t{word}")
    (root / "transcripts.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
