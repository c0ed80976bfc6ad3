"""Findings of `foveate datasets inspect` in recordings with transcripts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from foveate.records import SpeechSample
from foveate.tasks.findings import Findings, spread, spread_text
from foveate.tasks.speech.figure import HEIGHT, spectrogram
from foveate.text.characters import split_characters
from foveate.visualize.lettering import letters, shortened
from foveate.visualize.sheets import INK, MUTED, PAPER, grid

NUM_EXAMPLES = 12
NUM_WORDS = 20
THUMB = 320  # pixels of a spectrogram on the sheet


@dataclass
class SpeechFindings(Findings):
    """Findings in a data set of recordings.

    seconds: of each recording. lengths: words of a transcript -> recordings. words, characters: with their numbers.
    speakers: split -> speakers of its recordings. samples: examples for the contact sheet.
    """

    noun: ClassVar[str] = "recordings"
    sample_noun: ClassVar[str] = "recording"

    seconds: list[float] = field(default_factory=list)
    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    speakers: dict[str, Counter[str]] = field(default_factory=dict)
    samples: list[SpeechSample] = field(default_factory=list)

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split."""
        super().begin(split, dataset)
        self.speakers[split] = Counter()

    def add(self, split: str, sample: SpeechSample) -> None:
        """Count one sample, and keep it if it is an example."""
        position = self.counts.total() + self.failed
        due = {place for i in range(NUM_EXAMPLES) if (place := round(i * self.total / NUM_EXAMPLES)) <= position}
        if len(self.samples) < len(due):
            self.samples.append(sample)
        super().add(split, sample)
        self.seconds.append(sample["audio"].seconds)
        words = sample["transcript"].split()
        self.lengths[len(words)] += 1
        self.words.update(words)
        self.characters.update(split_characters(sample["transcript"]))
        if "speaker" in sample:
            self.speakers[split][sample["speaker"]] += 1

    def details_to_json(self) -> dict[str, Any]:
        """Durations, words, characters and speakers."""
        low, middle, high = np.quantile(self.seconds or [0.0], (0, 0.5, 1)).tolist()
        return {
            "minutes": round(sum(self.seconds) / 60, 3),
            "seconds": {"least": round(low, 3), "median": round(middle, 3), "most": round(high, 3)},
            "words_a_recording": spread(self.lengths),
            "words": {"different": len(self.words), "most_common": self._most_common()},
            "characters": "".join(sorted(self.characters)),
            "speakers": {split: len(counts) for split, counts in self.speakers.items()},
            "without_transcript": [],
        }

    def _most_common(self) -> list[dict[str, Any]]:
        return [{"word": word, "times": n} for word, n in self.words.most_common(NUM_WORDS)]

    def details(self) -> list[str]:
        """Durations, words, characters and speakers."""
        facts = self.details_to_json()
        seconds = facts["seconds"]
        lines = [
            f"duration: {facts['minutes']:.1f} minutes; a recording {seconds['least']:.2f}..{seconds['most']:.2f} s "
            f"(median {seconds['median']:.2f})",
            f"words a recording: {spread_text(self.lengths)}",
            f"words: {len(self.words)} different; most often: "
            f"{', '.join(word for word, _ in self.words.most_common(NUM_WORDS))}",
            f"characters: {''.join(sorted(self.characters))!r}",
        ]
        if any(self.speakers.values()):
            counts = ", ".join(f"{split} {len(names)}" for split, names in self.speakers.items())
            shared = set.intersection(*(set(names) for names in self.speakers.values() if names))
            both = f"; {len(shared)} in all of them" if shared and len(self.speakers) > 1 else ""
            lines.append(f"speakers: {counts}{both}")
        return lines

    def sheet(self) -> Any:
        """Spectrograms above their transcripts."""
        return grid([_cell(sample) for sample in self.samples], 3, THUMB) if self.samples else None


def _cell(sample: SpeechSample) -> Image.Image:
    picture = Image.fromarray(255 - spectrogram(sample["audio"])).resize((THUMB, HEIGHT // 2))
    cell = Image.new("RGB", (THUMB, HEIGHT // 2 + 44), PAPER)
    cell.paste(picture, (0, 0))
    draw = ImageDraw.Draw(cell)
    texts = ((sample["transcript"], INK, 13, 14), (f"{sample['name']}, {sample['audio'].seconds:.2f} s", MUTED, 11, 33))
    for text, color, size, line in texts:
        font = letters(size)
        draw.text((THUMB // 2, HEIGHT // 2 + line), shortened(text, font, THUMB), fill=color, font=font, anchor="mm")
    return cell
