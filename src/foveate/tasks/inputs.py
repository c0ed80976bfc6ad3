"""Inputs of a family: the kind of thing that goes into its models, and how it is opened.

A sample holds an opened input under the input's name: `{"image": ..., "name": "0001.jpg"}`.
"""

from __future__ import annotations

import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foveate.deferred import tv_tensors
from foveate.errors import DataError, counted
from foveate.pictures import PICTURE_SUFFIXES, picture_info, picture_size
from foveate.pictures.given import note_of, open_for, suit
from foveate.pictures.limits import check_size

# Images up to this size are decoded while others are predicted; larger ones come one at a time, to bound memory.
PIPELINED_PIXELS = 4_000_000
SERVED_CHARACTERS = 5000  # of a text that is taken over HTTP


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

    # Over HTTP, where an input comes as the bytes of a file, or as a text

    @property
    def is_text(self) -> bool:
        """True for an input that is a text rather than a file."""
        return not self.suffixes

    # The key under which a request may give its parts, each the bytes of a file, as the frames of a clip; '' for none.
    parts_key: ClassVar[str] = ""

    @property
    def key(self) -> str:
        """Its key in a request; by default the name."""
        return self.name

    def weigh(self, given: Any, name: str = "", max_pixels: int | None = None) -> int:
        """Bytes that the input takes once it is opened, as its header tells; by default those that came.

        given: the bytes of a file, a list of those of its parts, or a text. Raises DataError for more than a server
        takes, before anything is decoded, and for bytes without such a header.
        """
        return len(given)

    def decode(self, data: bytes, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Any:
        """The bytes of a file, as `open` gives the file itself; by default by way of a temporary file."""
        suffix = Path(name).suffix.lower()
        suffix = suffix if suffix in self.suffixes else min(self.suffixes)
        with stored(data, suffix) as path, called(path, name or f"the {self.noun}"):
            return self.open(path, preprocessing, model, name, max_pixels)

    def example(self, preprocessing: Any) -> Any:
        """A small input in memory, with which a server tries a model; None where there is none.

        preprocessing: the model's.
        """
        return None

    def typical(self, preprocessing: Any) -> Any:
        """An input in memory of a size as users give, by which time is measured; by default `example`."""
        return self.example(preprocessing)


@contextlib.contextmanager
def stored(data: bytes, suffix: str) -> Iterator[Path]:
    """A temporary file with these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(data)
        yield path


@contextlib.contextmanager
def called(path: Path, name: str) -> Iterator[None]:
    """Let errors about a temporary file speak of the input by its name."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(str(path), name)) from error


@dataclass(frozen=True)
class ImageInput(Input):
    """Images, opened as `pictures.Windows`: files, their bytes, PIL images, arrays (H, W[, C]), tensors (C, H, W)."""

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

    def weigh(self, given: Any, name: str = "", max_pixels: int | None = None) -> int:
        """Bytes of its pixels. Raises DataError above `max_pixels`, also of a file that is read by windows."""
        height, width, channels, bits = picture_info(given, name)
        check_size(name or "the picture", height, width, max_pixels)
        return height * width * channels * bits // 8

    def decode(self, data: bytes, preprocessing: Any, model: str, name: str = "", max_pixels: int | None = None) -> Any:
        """See `Input.decode`; without a file."""
        return self.open(data, preprocessing, model, name, max_pixels)

    def example(self, preprocessing: Any) -> Any:
        """64 x 64 pixels of noise, of the type that the model was trained on."""
        values = np.dtype(preprocessing.values or "uint8")
        full = (0, 1 if values.kind == "f" else np.iinfo(values).max)
        low, high = np.array(preprocessing.window or [full] * len(preprocessing.mean)).T
        noise = np.random.default_rng(0).random((64, 64, len(preprocessing.mean)))
        return (low + noise * (high - low)).astype(values)

    def typical(self, preprocessing: Any) -> Any:
        """The same in squares of 8 pixels, 512 x 512 in all."""
        return self.example(preprocessing).repeat(8, axis=0).repeat(8, axis=1)


@dataclass(frozen=True)
class TextInput(Input):
    """Texts: a sentence on the command line, each line of a text file or of standard input, or a string.

    name: its key in a sample. noun, nouns: one and several of it in messages.
    """

    @property
    def key(self) -> str:
        """'text', whatever the family calls it."""
        return "text"

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

    def weigh(self, given: Any, name: str = "", max_pixels: int | None = None) -> int:
        """Its characters. Raises DataError above SERVED_CHARACTERS."""
        return weigh_text(given, self.noun)

    def example(self, preprocessing: Any) -> str:
        """A word."""
        return "a"

    def typical(self, preprocessing: Any) -> str:
        """Twelve words."""
        return " ".join([self.example(preprocessing)] * 12)


def weigh_text(given: str, noun: str) -> int:
    """The characters of a text that came over HTTP. Raises DataError above SERVED_CHARACTERS."""
    if len(given) > SERVED_CHARACTERS:
        raise DataError(
            f"the {noun} has {counted(len(given), 'character')}; at most {SERVED_CHARACTERS:,} are taken here: divide "
            "it, or use foveate predict"
        )
    return len(given)


IMAGE = ImageInput()
