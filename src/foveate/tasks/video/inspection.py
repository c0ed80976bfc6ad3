"""Findings of `foveate datasets inspect` in clips with captions, and sheets of clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from foveate.records import Clip, ClipFormat, Preprocessing, VideoSample
from foveate.tasks.captioning.sheet import caption_sheet
from foveate.tasks.findings import Findings, spread, spread_text
from foveate.tasks.video.strip import frame_images
from foveate.text import split_words
from foveate.visualize.sheets import PAPER

NUM_EXAMPLES, NUM_WORDS = 12, 20
LOOKED_AT = ClipFormat(8, image=Preprocessing(size=(96, 96), stretch=True))  # frames of a clip that are read
SHEET_FRAMES, SHEET_SIDE, COLUMNS, THUMB = 4, 120, 2, 480


@dataclass
class VideoFindings(Findings):
    """Findings in a data set of clips.

    frames: of a clip -> number of clips. seconds: of those whose times are known. shapes: (height, width) -> clips.
    captions: split -> captions. lengths: words of a caption -> captions. words: word -> times. events: kind -> times.
    samples: examples for the contact sheet, with their clips.
    """

    noun: ClassVar[str] = "clips"
    sample_noun: ClassVar[str] = "clip"

    frames: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[Clip, str, str]] = field(default_factory=list)

    def add(self, split: str, sample: VideoSample) -> None:
        """Read one clip and count it, and keep it if it is an example. Raises DataError for one that is damaged."""
        clip = sample["video"].sampled(LOOKED_AT)
        position = self.counts.total() + self.failed
        due = {place for i in range(NUM_EXAMPLES) if (place := round(i * self.total / NUM_EXAMPLES)) <= position}
        if len(self.samples) < len(due):
            self.samples.append((clip, sample["captions"][0].text, sample["name"]))
        super().add(split, sample)
        for note in clip.notes:
            self.note(note, sample["name"])
        self.frames[clip.count] += 1
        self.seconds += [clip.duration] if clip.duration else []
        self.shapes[clip.shape or (clip.frames.shape[1],)] += 1
        self.captions[split] += len(sample["captions"])
        for caption in sample["captions"]:
            words = split_words(caption.text)
            self.lengths[len(words)] += 1
            self.words.update(words)
        self.events.update(event.kind for event in sample.get("events", ()))

    def details_to_json(self) -> dict[str, Any]:
        """Frames, durations, captions and events."""
        low, middle, high = np.quantile(self.seconds or [0.0], (0, 0.5, 1)).tolist()
        most_common = [{"word": word, "times": n} for word, n in self.words.most_common(NUM_WORDS)]
        return {
            "frames_a_clip": spread(self.frames),
            "seconds": {"least": round(low, 3), "median": round(middle, 3), "most": round(high, 3)},
            "sizes": [{"size": list(shape), "clips": n} for shape, n in self.shapes.most_common()],
            "captions": dict(self.captions),
            "words_a_caption": spread(self.lengths),
            "words": {"different": len(self.words), "most_common": most_common},
            "events": dict(self.events.most_common()),
        }

    def details(self) -> list[str]:
        """Frames, durations, captions and events."""
        facts = self.details_to_json()
        sizes = ", ".join(_size_text(shape, n) for shape, n in self.shapes.most_common(3))
        more = len(self.shapes) - 3
        lines = [f"frames a clip: {spread_text(self.frames)}; {sizes}{f' and {more} more sizes' if more > 0 else ''}"]
        if self.seconds:
            seconds = facts["seconds"]
            lines.append(f"duration: {seconds['least']:.1f}..{seconds['most']:.1f} s (median {seconds['median']:.1f})")
        lines += [
            f"captions: {', '.join(f'{split} {n}' for split, n in self.captions.items())}",
            f"words a caption: {spread_text(self.lengths)}",
            f"words: {len(self.words)} different; most often: "
            f"{', '.join(word for word, _ in self.words.most_common(NUM_WORDS))}",
        ]
        if self.events:
            lines.append(f"events: {', '.join(f'{kind} ({n})' for kind, n in self.events.most_common())}")
        return lines

    def sheet(self) -> Any:
        """Frames of clips above their first captions; None of features."""
        shown = [one for one in self.samples if not one[0].is_features]
        return clip_sheet(shown) if shown else None


def _size_text(shape: tuple[int, ...], count: int) -> str:
    return f"{shape[1]}x{shape[0]} ({count})" if len(shape) == 2 else f"{shape[0]} features ({count})"


def clip_sheet(clips: Iterable[tuple[Clip, str, str]]) -> Any:
    """Draw some frames of each clip side by side, above a caption and the clip's name."""
    return caption_sheet(((_row(clip), caption, name) for clip, caption, name in clips), COLUMNS, THUMB)


def _row(clip: Clip) -> np.ndarray:
    few = clip.sampled(ClipFormat(SHEET_FRAMES))
    images = frame_images(few, SHEET_SIDE)
    gap = np.full((images[0].shape[0], 3, 3), PAPER, np.uint8)
    return np.concatenate([part for image in images for part in (image, gap)][:-1], 1)
