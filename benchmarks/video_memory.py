"""Peak memory of reading a clip, by its length: a short one and one of forty times as many frames.

    python benchmarks/video_memory.py [--rounds N] [--json FILE]

Clips are GIFs of 320x240 pixels, and MP4s where PyAV is installed, of which a model of 28 frames of 224x224 pixels reads
what it takes. Every reading is a process of its own, whose largest memory the system counts.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish

import numpy as np  # isort: skip
from PIL import Image  # isort: skip

SHORT, LONG = 50, 2000
MOST = 1.1
READ = """
import resource, sys
from pathlib import Path
from foveate.records import ClipFormat, Preprocessing
from foveate.videos import read_clip
clip = read_clip(Path(sys.argv[1]), ClipFormat(28, image=Preprocessing(size=(224, 224), stretch=True)))
assert len(clip.frames) == 28 and clip.count == int(sys.argv[2]), clip.count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write(path: Path, count: int) -> None:
    """A clip whose frames are shifted copies of one picture."""
    noise = np.random.default_rng(SEED).integers(0, 255, (30, 40, 3), np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((320, 240)))
    frames = (Image.fromarray(np.roll(picture, i, 1)) for i in range(count))
    if path.suffix == ".gif":
        next(frames).save(path, save_all=True, append_images=frames, duration=40)
        return
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def reading(path: Path, count: int) -> Contender:
    def run() -> float:
        command = [sys.executable, "-c", READ, str(path), str(count)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return run


def main() -> None:
    options = arguments(__doc__ or "", rounds=3).parse_args()
    endings = [".gif", ".mp4"] if importlib.util.find_spec("av") else [".gif"]
    report = Report("video_memory", {"rounds": options.rounds, "frames": [SHORT, LONG]}, [])
    with tempfile.TemporaryDirectory() as folder:
        for ending in endings:
            contenders: dict[str, Contender] = {}
            for count in (SHORT, LONG):
                path = Path(folder) / f"{count}{ending}"
                write(path, count)
                contenders[f"{count} frames"] = reading(path, count)
            figures = interleave(contenders, options.rounds)
            table = compare(
                f"Peak memory, {ending[1:].upper()}", "MB", figures, f"{SHORT} frames", higher_is_better=False
            )
            report.tables.append(table)
            ratio = table.row(f"{LONG} frames").relative
            report.targets.append(
                Target(f"{ending[1:].upper()}: at most {MOST} times the memory", ratio, ratio <= MOST)
            )
    publish(report, options.json)


if __name__ == "__main__":
    main()
