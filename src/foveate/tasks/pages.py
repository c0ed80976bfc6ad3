"""The page that `foveate predict` writes for all inputs of one call: its frame, which families fill with figures."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.markup import Markup, tag
from foveate.visualize.report.parts import counted


class Page:
    """A gallery (see `parts.Gallery`) of predictions on one self-contained page; only their HTML is kept.

    A subclass gives `add`, which appends to `figures`, and `lead`; `style`, `body` and `count` have defaults.

    model: its name.
    """

    file_name: ClassVar[str]
    title: ClassVar[str]
    noun: ClassVar[str]  # of one input
    sound: ClassVar[bool] = False  # sound is embedded

    def __init__(self, model: str = "") -> None:
        self.model = model
        self.figures: list[Markup] = []

    def __len__(self) -> int:
        return len(self.figures)

    @property
    def count(self) -> int:
        """Inputs that were predicted."""
        return len(self)

    def lead(self) -> str:
        """The text above the figures."""
        return ""

    def style(self) -> str:
        """The CSS of the figures."""
        return ""

    def body(self) -> Markup:
        """The figures, and what follows them."""
        return tag("section", self.figures)

    def render(self) -> str:
        """The page as HTML text."""
        count = counted(self.count, self.noun, f"{self.noun}s")
        header = tag(
            "header",
            tag("p", f"{self.model} on {count}" if self.model else count, class_="eyebrow"),
            tag("h1", self.title),
            tag("p", self.lead(), class_="summary"),
        )
        style = stylesheet("report") + self.style()
        return document(f"{self.title} – Foveate", style, header, self.body(), sound=self.sound)

    def write(self, folder: Path) -> None:
        """Write the page into a folder, as `file_name`; nothing if no prediction was added.

        Raises OutputError if the file cannot be written; an older one then stays as it was.
        """
        if self.figures:
            write_page(self.render(), Path(folder) / self.file_name)


class BoundedPage(Page):
    """A page whose figures embed sound or frames, so that it holds at most `most` of them; the others are counted."""

    most: ClassVar[int]

    def __init__(self, model: str = "") -> None:
        super().__init__(model)
        self.left_out = 0

    def has_room(self) -> bool:
        """True if the page may hold another figure; otherwise the prediction is counted among those left out."""
        room = len(self) < self.most
        self.left_out += not room
        return room

    def rest(self) -> str:
        """A sentence on the predictions that are not on the page, or ''."""
        return f" {self.left_out} more are in predictions.json alone." if self.left_out else ""
