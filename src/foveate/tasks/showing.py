"""Drawings that a family has without writing them: from its files, and from its inspection."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from foveate.errors import ConfigError
from foveate.tasks.findings import sheet_of

IMAGES = (".jpg", ".jpeg", ".png", ".gif")


class Drawings:
    """Defaults of a family's drawings, for `Task`."""

    def draw_frame(self, prediction: Any, sample: Any) -> Image.Image | None:
        """A prediction over one frame of a video, of the frame's own size; by default as `draw`."""
        return self.draw(prediction, sample)

    def draw(self, prediction: Any, sample: Any, **options: Any) -> Image.Image | None:
        """A prediction over its input, a PIL image; by default the file 'overlay', else the first that is an image.

        options: of a family that overrides this. Raises ConfigError for one that it does not have.
        """
        if options:
            raise ConfigError(f"drawings of {self.title} have no option '{next(iter(options))}'")  # type: ignore[attr-defined]
        files = self.files(prediction, sample)  # type: ignore[attr-defined]
        for key in sorted(files, key=lambda key: key != "overlay"):
            ending, write = files[key]
            if ending.lower().endswith(IMAGES):
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / f"drawing{ending}"
                    write(path)
                    with Image.open(path) as image:
                        return image.convert("RGB")
        return None

    def sample_rows(self, scores: Any) -> list[dict[str, Any]]:
        """More columns for the table of samples, a dict a sample in the order of scoring; by default none.

        scores: of an evaluation.
        """
        return []

    def preview(self, samples: Sequence[Any], training_set: Any) -> Any:
        """A sheet of samples as the loss sees them, augmented, with their labels: a PIL image, or None for none.

        samples: of `training_set`. By default the contact sheet of `foveate datasets inspect`, which needs samples as
        the data set gives them.
        """
        return sheet_of(self.inspection("", ""), samples, training_set)  # type: ignore[attr-defined]
