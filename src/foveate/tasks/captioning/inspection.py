"""Findings of `foveate datasets inspect` in images with captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from foveate.records import CaptionSample
from foveate.tasks.captioning.sheet import caption_sheet
from foveate.tasks.findings import ImageFindings, spread, spread_text
from foveate.text import mostly_unspaced, split_words

NUM_WORDS = 20


@dataclass
class CaptioningFindings(ImageFindings):
    """Findings in a data set of images with captions.

    splits: split -> (number of captions of an image -> number of images that have as many).
    lengths: words of a caption -> number of captions. words: word -> its number in the captions of all splits; in a
        script that is written without blanks, each character is a word.
    remarks: 'left_out', images that captions name and that are missing; 'without_captions', number of images without.
    """

    splits: dict[str, Counter[int]] = field(default_factory=dict)
    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def begin(self, split: str, dataset: Any) -> None:
        """Start counting a split."""
        super().begin(split, dataset)
        self.splits[split] = Counter()

    def add(self, split: str, sample: CaptionSample) -> None:
        """Count one sample."""
        super().add(split, sample)
        self.splits[split][len(sample["captions"])] += 1
        for caption in sample["captions"]:
            words = split_words(caption.text)
            self.lengths[len(words)] += 1
            self.words.update(words)

    def keep(self, sample: CaptionSample) -> None:
        """Add an example, without its masks."""
        super().keep({key: sample[key] for key in ("image", "captions", "name")})

    def captions(self) -> dict[str, int]:
        """Split -> number of captions of its images."""
        return {split: sum(many * n for many, n in counts.items()) for split, counts in self.splits.items()}

    def details_to_json(self) -> dict[str, Any]:
        """Captions and their words."""
        most_common = [{"word": word, "times": n} for word, n in self.words.most_common(NUM_WORDS)]
        return super().details_to_json() | {
            "captions": self.captions(),
            "captions_a_picture": spread(self._per_image()),
            "words_a_caption": spread(self.lengths),
            "words_are": "characters" if self.unspaced() else "words",
            "words": {"different": len(self.words), "once": self._once(), "most_common": most_common},
            "left_out": [],
            "without_captions": 0,
        }

    def details(self) -> list[str]:
        """Captions and their words."""
        counts = ", ".join(f"{split} {count}" for split, count in self.captions().items())
        unspaced = self.unspaced()
        noun = "characters" if unspaced else "words"
        lines = [
            *super().details(),
            f"captions: {counts}",
            f"captions a picture: {spread_text(self._per_image())}",
            f"{noun} a caption: {spread_text(self.lengths)}"
            + (" (a text without blanks between words: characters are counted)" if unspaced else ""),
            f"{noun}: {len(self.words)} different, {self._once()} of them used once",
            f"most often: {', '.join(word for word, _ in self.words.most_common(NUM_WORDS))}",
        ]
        if without := self.remarks.get("without_captions"):
            lines.append(f"pictures without captions: {without}, left out")
        if left_out := self.remarks.get("left_out"):
            lines.append(f"captions left out, of pictures that are not there: {', '.join(left_out)}")
        return lines

    def unspaced(self) -> bool:
        """True if most of the words are single characters, of a script that is written without blanks."""
        return mostly_unspaced(self.words)

    def _per_image(self) -> Counter[int]:
        return sum(self.splits.values(), Counter())

    def _once(self) -> int:
        return sum(n == 1 for n in self.words.values())

    def sheet(self) -> Any:
        """Images above their first captions."""
        if not self.samples:
            return None
        return caption_sheet((self.pixels(s), s["captions"][0].text, s["name"]) for s in self.samples)
