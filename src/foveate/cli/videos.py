"""Videos as inputs of models for images: frames in, an MP4 of drawings and a line of values a frame out."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foveate.cli.inputs import Job
from foveate.disk import is_hidden
from foveate.errors import ConfigError, DataError, OutputError, listed
from foveate.remote import as_path, is_url

if TYPE_CHECKING:
    from foveate.predictor import Predictor
    from foveate.tasks.base import Task

ENDINGS = ("_overlay.mp4", "_frames.jsonl")  # of a video's results


def split_videos(words: Sequence[str], family: type[Task], every: int | None) -> tuple[list[Path], list[str]]:
    """(videos, other words) of a line; a glob such as 'clips/*.mp4' is all that match it, each file once.

    Raises ConfigError for --every without a video, and for other families; DataError for what is not there.
    """
    from foveate.videos.frames import is_video

    takes_video = bool(family.inputs) and any(is_video(Path(f"a{s}")) for s in family.inputs[0].suffixes)
    named = [word for word in words if is_video(Path(word)) and not takes_video]
    others = [word for word in words if takes_video or not is_video(Path(word))]
    if every is not None and every < 1:
        raise ConfigError(f"--every is {every}; give 1 or more")
    if every is not None and not named:
        raise ConfigError("--every chooses frames of videos, and none is given; leave it out")
    if named and [one.name for one in family.inputs] != ["image"]:
        raise ConfigError(f"{named[0]}: models for {family.title} take no video; give {family.noun(2)}")
    videos = list({path.resolve(): path for word in named for path in _matching(word)}.values())
    names = [video.stem for video in videos]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two videos are called {twice}; predict them one after the other")
    return videos, others


def passed_over(words: Sequence[str], family: type[Task]) -> str:
    """A note on videos, and pictures in formats that are not read, in the folders of a line; '' without any."""
    from foveate.datasets.unread import OTHER_MEDIA

    if [one.name for one in family.inputs] != ["image"]:
        return ""
    folders = [Path(as_path(word)).expanduser() for word in words if not is_url(word)]
    found: dict[Path, str] = {}
    for folder in (path for path in folders if path.is_dir()):
        for path in sorted(folder.rglob("*")):
            below = path.relative_to(folder)
            is_media = path.suffix.lower() in OTHER_MEDIA and not path.name.endswith(ENDINGS)
            if is_media and path.is_file() and not any(map(is_hidden, below.parts)):
                found.setdefault(path.resolve(), below.as_posix())
    if not found:
        return ""
    return (
        f"{listed(list(found.values()), 'file')} not predicted: videos are read where they are named, as "
        "FOLDER/*.mp4, and pictures of these formats have to be converted"
    )


def _matching(word: str) -> list[Path]:
    """The videos that a word names. Raises DataError for none, and for an address."""
    if is_url(word):
        raise DataError(f"{word}: videos are read from files; download it first")
    path = Path(as_path(word)).expanduser()
    if path.is_file():
        return [path]
    found = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - '**' and absolute patterns
    if not found:
        raise DataError(f"{word} {'matches no video' if glob.has_magic(word) else 'does not exist'}; give a video file")
    return found


def predict_video(
    predictor: Predictor,
    clip: Path,
    out: Path,
    options: Any,
    every: int,
    advance: Callable[[str], None],
) -> dict[str, Any]:
    """Predict every `every`-th frame; returns what predictions.json has of the video beside its name.

    Writes NAME_overlay.mp4, of a family that draws, and NAME_frames.jsonl, a line a frame. One frame is in memory at a
    time. Raises DataError, OutputError.
    """
    from foveate.disk import MARK, atomic_write
    from foveate.videos.frames import VideoWriter, frame_rate, read_frames

    movie, values = (out / f"{clip.stem}{ending}" for ending in ENDINGS)
    unfinished = out / f".{clip.stem}{MARK}.mp4"
    rate, count, drawn = frame_rate(clip) / every, 0, False
    try:
        with atomic_write(values) as lines, lines.open("w", encoding="utf-8") as text:
            writer = VideoWriter(unfinished, rate)
            try:
                for frame in read_frames(clip, every):
                    name = f"{clip.name}, frame {frame.number}"
                    sample = predictor.sample(frame.pixels, name) | {"index": frame.number}
                    (prediction,) = predictor.answer([sample], options)
                    image = predictor.family.draw_frame(prediction, sample)
                    if image is not None:
                        drawn = True
                        writer.add(np.asarray(image.convert("RGB")))
                    about = {"frame": frame.number, "seconds": frame.seconds, **predictor.family.record(prediction)}
                    text.write(json.dumps(about, ensure_ascii=False) + "\n")
                    count += 1
                    advance(name)
            finally:
                writer.close()
        if drawn:
            unfinished.replace(movie)
    finally:
        unfinished.unlink(missing_ok=True)
    return {"every": every, "frames": count, "values": values.name} | ({"overlay": movie.name} if drawn else {})


def video_jobs(videos: Sequence[Path], out: Path, replaceable: Collection[Path]) -> list[Job]:
    """A job a video. Raises OutputError for results that would replace a file that no call wrote."""
    for video in videos:
        for file in (out / f"{video.stem}{ending}" for ending in ENDINGS):
            if file.exists() and file not in replaceable:
                raise OutputError(f"{file} exists and is no result; move it away, or choose another --out")
    return [Job({"image": video}, str(video), out, Path(video.stem), {"file": str(video)}) for video in videos]
