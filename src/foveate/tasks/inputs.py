"""Inputs of a family: the kind of thing that goes into its models, and how it is opened.

A sample holds an opened input under the input's name: `{"image": ..., "name": "0001.jpg"}`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torchvision import tv_tensors

from foveate.errors import DataError
from foveate.pictures import PICTURE_SUFFIXES, picture_size
from foveate.pictures.given import note_of, open_for, suit

# Images up to this size are decoded while others are predicted; larger ones come one at a time, to bound memory.
PIPELINED_PIXELS = 4_000_000


class Input(ABC):
    """One kind of input.

    name: its key in a sample. noun, nouns: one and several of it in messages.
    suffixes: of its files, in lower case with the dot; `foveate predict` takes these from a folder. Empty for an input
        that is a text, which stands on the command line or in a table itself.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    nouns: ClassVar[str]
    suffixes: ClassVar[frozenset[str]]

    @abstractmethod
    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Any:
        """Whatever a caller hands in, as a sample holds it.

        given: a path, or the input itself in memory. preprocessing: of the model that it is for. model, name: what the
        model and this input are called, for messages. max_pixels: refuses larger image files before decoding them.
        Raises DataError for an input that cannot be read or does not fit the model.
        """

    def suit(self, value: Any, preprocessing: Any, model: str, name: str) -> tuple[Any, str]:
        """A data set's value of this input as `open` would give it for a model, and its note; by default as it is.

        Raises DataError for a value that does not fit the model.
        """
        return value, ""

    def note(self, opened: Any) -> str:
        """A sentence that a user should read on how an opened input was taken; '' for none."""
        return ""

    def is_small(self, given: Any) -> bool:
        """True if the input may be opened ahead of time, while others are in memory."""
        return True

    def is_whole(self, folder: Path) -> bool:
        """True for a folder that is one input as a whole, as a folder with the frames of a clip; by default none is."""
        return False

    def close(self, opened: Any) -> None:  # noqa: B027 - optional
        """Release the file behind an opened input."""


@dataclass(frozen=True)
class ImageInput(Input):
    """Images: files, PIL images, arrays (H, W[, C]), tensors (C, H, W), or `pictures.Windows`; opened as `Windows`."""

    name: ClassVar[str] = "image"
    noun: ClassVar[str] = "picture"
    nouns: ClassVar[str] = "pictures"
    suffixes: ClassVar[frozenset[str]] = PICTURE_SUFFIXES

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Any:
        """See `Input.open`; an array is uint8, uint16 or float in 0..1, a tensor uint8 or float in 0..1.

        For a model with an intensity window, arrays and tensors hold the values that files would hold.
        """
        return open_for(given, preprocessing, model, name, max_pixels)

    def suit(self, value: Any, preprocessing: Any, model: str, name: str) -> tuple[Any, str]:
        """A tensor (C, H, W) of stored values -> uint8, or float in 0..1, with the model's channels."""
        suited, note = suit(value, preprocessing, model, name)
        return (value if suited is value else tv_tensors.Image(suited)), note

    def note(self, opened: Any) -> str:
        """A sentence on values of another depth than the model's."""
        return note_of(opened)

    def is_small(self, given: Any) -> bool:
        """True up to PIPELINED_PIXELS. Raises DataError for a file that is no image."""
        height, width = picture_size(given)
        return height * width <= PIPELINED_PIXELS

    def close(self, opened: Any) -> None:
        """Release the file."""
        opened.close()


@dataclass(frozen=True)
class TextInput(Input):
    """Texts: a sentence on the command line, each line of a text file or of standard input, or a string.

    name: its key in a sample. noun, nouns: one and several of it in messages.
    """

    name: str = "text"  # type: ignore[misc]
    noun: str = "sentence"  # type: ignore[misc]
    nouns: str = "sentences"  # type: ignore[misc]
    suffixes: ClassVar[frozenset[str]] = frozenset()

    def open(self, given: Any, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> str:
        """See `Input.open`; a text without zero bytes."""
        if not isinstance(given, str):
            raise DataError(f"{model} takes a {self.noun}, a string, and not {type(given).__name__}")
        if "\0" in given:
            raise DataError(f"{name[:40] or 'the text'}: holds a zero byte; give text, such as a file in UTF-8")
        return given


IMAGE = ImageInput()
