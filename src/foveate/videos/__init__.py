"""Video files: MP4, MOV, WebM, MKV and AVI by PyAV (the extra `video`); GIF, WebP and folders of frames without it.

    clip = read_clip(Path("cow.mp4"), form)    # the frames that a model of this format reads, at its size

Frames are decoded one after the other and shrunk at once, and only those that are read are kept: memory is that of K
small frames and one large one, however long the video is. What cannot be told apart is refused: frames of several
sizes, a stream that breaks off, a file without frames.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveate.disk import is_hidden
from foveate.errors import DataError, counted
from foveate.pictures import PICTURE_SUFFIXES, picture_size, read_picture
from foveate.pictures.fitting import fit
from foveate.records import Clip, ClipFormat, spaced

CONTAINERS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"})
ANIMATIONS = frozenset({".gif", ".webp"})
VIDEO_SUFFIXES = CONTAINERS | ANIMATIONS
FRAME_SUFFIXES = PICTURE_SUFFIXES - ANIMATIONS  # of the images in a folder that is a clip
DEFAULT_MS = 100  # of a frame of an animation that does not say how long it is shown, as browsers have it
STILL = "one frame: it is read as a still picture"


class Frame(NamedTuple):
    """One decoded frame: pixels (H, W, 3) uint8, and its time in seconds, None if it is not known."""

    pixels: np.ndarray
    seconds: float | None


def is_clip_folder(folder: Path) -> bool:
    """True for a folder whose images are the frames of one clip: two or more that end in numbers, and no video."""
    if not folder.is_dir():
        return False
    names = [p for p in folder.iterdir() if not is_hidden(p.name)]
    if any(p.suffix.lower() in VIDEO_SUFFIXES or p.is_dir() for p in names):
        return False
    frames = [p for p in names if p.suffix.lower() in FRAME_SUFFIXES]
    return len(frames) >= 2 and all(re.search(r"\d$", p.stem) for p in frames)


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of the numbers in their names: frame2 before frame10."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES and not is_hidden(p.name)]
    return sorted(files, key=lambda p: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", p.name)])


def read_clip(path: Path, form: ClipFormat) -> Clip:
    """Read the frames that a model of this format takes from a video, or from a folder of frames.

    Raises DataError for a video that is missing, empty, damaged, without frames, with frames of several sizes, or of a
    kind that needs PyAV where that is not installed.
    """
    if path.is_dir():
        files = frame_files(path)
        if not files:
            raise DataError(f"{path}: no frames; expected images whose names end in their number")
        numbers = spaced(len(files), form.frames)
        return _clip(_folder_frames(path, files, numbers), len(files), form, path)
    _require_file(path)
    if path.suffix.lower() in ANIMATIONS:
        with _animation(path) as image:
            count, ended = _count(path, image), [0.0]
            clip = _clip(_animation_frames(path, image, form, count, ended), count, form, path)
        return dataclasses.replace(clip, duration=ended[0], notes=(*clip.notes, *_cut_off(path)))
    av = import_av(path)
    count, duration = _packets(av, path)
    try:
        decoded: list[int] = []
        clip = _clip(_container_frames(av, path, form, count, decoded), count, form, path)
        if decoded[0] > count:  # several frames in a packet
            count = decoded[0]
            clip = _clip(_container_frames(av, path, form, count, decoded), count, form, path)
    except MemoryError:
        raise DataError(f"{path}: frames too large to be decoded; make a smaller copy") from None
    return dataclasses.replace(clip, duration=duration) if clip.seconds else clip


def suffix_of(data: bytes, name: str) -> str:
    """The ending that the bytes of a video file should have, by their beginning.

    Only what is known here is opened: FFmpeg also reads lists that name other files and addresses. Raises DataError.
    """
    if data[4:8] == b"ftyp":
        return ".mp4"
    if data[:4] == b"\x1aE\xdf\xa3":
        return ".mkv"
    if data[:4] == b"RIFF" and data[8:12] in (b"AVI ", b"WEBP"):
        return ".avi" if data[8:12] == b"AVI " else ".webp"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return ".gif"
    raise DataError(f"{name}: not a video in a known format; give MP4, MOV, WebM, MKV, AVI, GIF or WebP")


def measure(path: Path, most: int, most_pixels: int) -> tuple[int, int, int]:
    """(frames, height, width) of a video file, without decoding frames of a container.

    Frames of an animation are counted one by one: until there are more than `most`, or `most_pixels` in all. Raises
    DataError.
    """
    _require_file(path)
    if path.suffix.lower() in ANIMATIONS:
        with _animation(path) as image:
            count, most = 1, min(most, most_pixels // max(1, image.height * image.width))
            try:
                while count <= most:
                    image.seek(count)
                    count += 1
            except EOFError:
                pass
            except Exception as error:  # as above
                raise _damaged(path, count, "", error) from None
            return count, image.height, image.width
    av = import_av(path)
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container, path)
            height, width = int(stream.height or 0), int(stream.width or 0)
    except av.FFmpegError as error:
        raise DataError(f"{path}: not a video that can be read ({_reason(error)})") from None
    return _packets(av, path)[0], height, width


def clip_from(frames: Any, form: ClipFormat, name: str) -> Clip:
    """Frames in memory as a clip: an array (N, H, W, 3) or a tensor (N, 3, H, W), uint8 or float in 0..1, or a list of
    images of one size. Their times are not known.

    Raises DataError for anything else.
    """
    stack = _stacked(frames, name)
    count = len(stack)
    if count == 0:
        raise DataError(f"{name}: no frames; give one or more")
    chosen = spaced(count, form.frames)
    return _clip((Frame(stack[i], None) for i in chosen), count, form, name)


def _stacked(frames: Any, name: str) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    if isinstance(frames, Sequence) and not isinstance(frames, (str, bytes)):
        parts = [np.asarray(one.convert("RGB") if isinstance(one, Image.Image) else one) for one in frames]
        shapes = sorted({part.shape for part in parts})
        if len(shapes) > 1:
            raise DataError(f"{name}: frames of shapes {shapes[0]} and {shapes[1]}; give frames of one size")
        values = np.stack(parts) if parts else np.zeros((0, 1, 1, 3), np.uint8)
    elif isinstance(frames, Tensor):
        values = frames.detach().cpu().numpy()
        values = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
    else:
        values = np.asarray(frames)
    if values.ndim == 3 and values.dtype != object:  # grey frames
        values = np.repeat(values[..., None], 3, -1)
    if values.ndim != 4 or values.shape[-1] != 3 or 0 in values.shape[1:]:
        layout = "(N, 3, H, W)" if isinstance(frames, Tensor) else "(N, H, W, 3)"
        raise DataError(f"{name}: frames of shape {tuple(np.shape(frames))}; give a video, a folder, or {layout}")
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f" or not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise DataError(f"{name}: frames of {values.dtype} outside of uint8 and of floats in 0..1; convert them")
    scaled: np.ndarray = np.rint(values * 255).astype(np.uint8)
    return scaled


def _clip(frames: Iterator[Frame], count: int, form: ClipFormat, where: Path | str) -> Clip:
    """The clip of its chosen frames, each brought to the network's size as it comes. Raises DataError."""
    numbers = spaced(count, form.frames)
    fitted: list[Tensor] = []
    seconds: list[float | None] = []
    shape: tuple[int, ...] = ()
    for frame in frames:
        size = frame.pixels.shape[:2]
        shape = shape or size
        if size != shape:
            number = numbers[len(fitted)] if len(fitted) < len(numbers) else count
            raise DataError(
                f"{where}: frame {number} has {size[1]}x{size[0]} pixels, those before {shape[1]}x{shape[0]}; cut the "
                "video there, or convert it to one size"
            )
        fitted.append(fit(torch.from_numpy(np.ascontiguousarray(frame.pixels.transpose(2, 0, 1))), form.image))
        seconds.append(frame.seconds)
    if len(fitted) != len(numbers):
        raise DataError(
            f"{where}: damaged: {counted(len(fitted), 'frame')} of the {len(numbers)} that were chosen among {count} "
            "can be decoded; restore it from a copy, or convert it again"
        )
    known = tuple(second for second in seconds if second is not None)
    times = known if len(known) == len(seconds) else ()
    notes = (STILL,) if count == 1 else ()
    return Clip(torch.stack(fitted), tuple(numbers), count, times, shape=shape, notes=notes)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: an empty file; record it again, or remove it")


# Folders


def _folder_frames(folder: Path, files: Sequence[Path], numbers: Sequence[int]) -> Iterator[Frame]:
    """The chosen frames; the sizes of all are compared by their headers."""
    first: tuple[int, int] | None = None
    for file in files:
        size = picture_size(file)
        first = first or size
        if size != first:
            raise DataError(
                f"{file}: {size[1]}x{size[0]} pixels, the frames before it {first[1]}x{first[0]}; give frames of one "
                "size, a folder a clip"
            )
    for number in numbers:
        pixels = read_picture(files[number], channels=3)
        if pixels.dtype != np.uint8:
            raise DataError(f"{files[number]}: {pixels.dtype} values; frames are read in 8 bits: convert them")
        yield Frame(pixels, None)


# Animations


def _animation(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise DataError(f"{path}: not an animation that can be read ({_reason(error)})") from None


def _count(path: Path, image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:  # as above
        raise _damaged(path, image.tell() + 1, "", error) from None


def _damaged(path: Path, number: int, count: str, error: Exception) -> DataError:
    return DataError(f"{path}: damaged at frame {number}{count} ({_reason(error)}); restore it from a copy")


def _animation_frames(
    path: Path, image: Image.Image, form: ClipFormat, count: int, ended: list[float]
) -> Iterator[Frame]:
    """The chosen frames; transparent places are white, as in images. ended: becomes [the end of the last frame]."""
    chosen, begins = set(spaced(count, form.frames)), 0.0
    for number in range(count):
        try:
            image.seek(number)
            image.load()  # of a WebP, this reads how long it is shown
            rgba = image.convert("RGBA") if number in chosen else None
        except Exception as error:  # as above
            raise _damaged(path, number, f" of {count}", error) from None
        if rgba is not None:
            ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            yield Frame(np.asarray(Image.alpha_composite(ground, rgba).convert("RGB")), begins)
        begins += float(image.info.get("duration") or DEFAULT_MS) / 1000
    ended[0] = begins


def _cut_off(path: Path) -> list[str]:
    """A note on a GIF without its end mark."""
    if path.suffix.lower() != ".gif":
        return []
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 64), 2)
        end = file.read().rstrip(b"\0")
    return [] if end.endswith(b";") else ["it ends without the mark of a GIF's end, and may be cut off"]


# Containers


def import_av(path: Path) -> Any:
    """Return the module `av`. Raises DataError, naming the file that needs it, if PyAV is not installed."""
    try:
        import av
    except ImportError:
        raise DataError(
            f"{path}: {path.suffix.lower() or 'this kind of video'} needs PyAV; install it with "
            "pip install 'foveate[video]', or give a GIF, a WebP or a folder of frames"
        ) from None
    return av


def _packets(av: Any, path: Path) -> tuple[int, float]:
    """(frames, seconds) by the packets of the stream, which are counted without decoding any."""
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container, path)
            written = stream.frames  # as the header says, 0 if it does not
            count, found, end, start = 0, 0, 0.0, None
            for packet in container.demux(stream):
                if not packet.size:  # the flush at the end
                    continue
                found += 1
                count += not getattr(packet, "is_discard", False)  # what an edit list leaves out
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is not None and packet.time_base is not None:
                    time = float(stamp * packet.time_base)
                    start = time if start is None else min(start, time)
                    end = max(end, time + float((packet.duration or 0) * packet.time_base))
    except av.FFmpegError as error:
        raise DataError(f"{path}: not a video that can be read ({_reason(error)})") from None
    if not count:
        raise DataError(f"{path}: no frames; record it again, or remove it")
    if found < written:
        raise DataError(
            f"{path}: damaged: {counted(found, 'frame')} of the {written} that its header names; restore it from a "
            "copy, or convert it again"
        )
    return count, end - (start or 0.0)


def video_stream(container: Any, path: Path) -> Any:
    """Return the first video stream of an open file. Raises DataError if it has none."""
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise DataError(f"{path}: no video, only {kinds}; give a file with pictures")
    return container.streams.video[0]


def _container_frames(av: Any, path: Path, form: ClipFormat, count: int, decoded: list[int]) -> Iterator[Frame]:
    """The chosen frames in the order in which they are shown; those of another size than the first as well.

    decoded: becomes [the number of frames that there are]. Raises DataError where decoding stops before `count`.
    """
    chosen, shape, start = set(spaced(count, form.frames)), (0, 0), None
    decoded[:] = [0]
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video_stream(container, path)):
                number, size = decoded[0], (frame.height, frame.width)
                time = float(frame.pts * frame.time_base) if frame.pts is not None else None
                start = time if start is None else start
                shape = shape if number else size
                decoded[0] += 1
                if number in chosen or size != shape:
                    pixels = turned(frame.to_ndarray(format="rgb24"), getattr(frame, "rotation", 0))
                    yield Frame(pixels, None if time is None or start is None else time - start)
    except av.FFmpegError as error:
        raise DataError(
            f"{path}: damaged at frame {decoded[0]} of {count} ({_reason(error)}); restore it from a copy, or convert "
            "it again"
        ) from None
    if decoded[0] < count:
        raise DataError(
            f"{path}: damaged: {counted(decoded[0], 'frame')} of {count} can be decoded; restore it from a copy, or "
            "convert it again"
        )


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """A frame (H, W, 3) as its display matrix says, as of a phone held upright: turned by `degrees` anticlockwise."""
    return np.rot90(pixels, round(degrees / 90) % 4)


def _reason(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "strerror", "") or error).split())
    return text or type(error).__name__
