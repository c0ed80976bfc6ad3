"""Opening of image files, and the errors of those that cannot be decoded."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import UnidentifiedImageError

from foveate.errors import DataError


def called(source: str | Path | bytes) -> str:
    """The name of a source in messages."""
    return "the picture" if isinstance(source, bytes) else str(source)


def open_file(source: str | Path | bytes) -> BinaryIO:
    """Open a file, or its bytes. Raises DataError."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror}); expected a readable picture file") from error


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn any exception of a decoder into one DataError; damaged bytes make decoders raise nearly every type."""
    try:
        yield
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{name}: takes more memory than there is, by its header; make it smaller, or replace or remove it"
        ) from error
    except UnidentifiedImageError:
        raise DataError(f"{name}: not a picture in a known format; replace or remove the file") from None
    except ValueError as error:
        raise DataError(f"{name}: cannot be decoded ({_one_line(error)}); replace or remove the file") from error
    except Exception as error:
        raise DataError(f"{name}: damaged or truncated ({_one_line(error)}); replace or remove the file") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
