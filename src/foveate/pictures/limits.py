"""The largest image that is decoded: files with a larger size in their header are refused."""

from __future__ import annotations

import os

from foveate.errors import ConfigError, DataError

DEFAULT_MAX_PIXELS = 178_956_970  # Pillow's limit, above which it refuses an image as a decompression bomb
LIMIT_VARIABLE = "FOVEATE_MAX_PIXELS"


def set_max_pixels(limit: int) -> None:
    """Set the largest image, in pixels, that this process and its workers decode (`--max-pixels`).

    Raises ConfigError for a limit below 1.
    """
    if limit < 1:
        raise ConfigError(f"--max-pixels must be 1 or more; got {limit}")
    # An environment variable, since data-loading workers may be new processes that share nothing else.
    os.environ[LIMIT_VARIABLE] = str(limit)


def get_max_pixels() -> int:
    """Return the process's limit: the last value given to `set_max_pixels`, else DEFAULT_MAX_PIXELS."""
    return int(os.environ.get(LIMIT_VARIABLE, DEFAULT_MAX_PIXELS))


def limit_of(max_pixels: int | None) -> int:
    """Return a limit that was given, else the process's."""
    return get_max_pixels() if max_pixels is None else max_pixels


def check_size(name: str, height: int, width: int, max_pixels: int | None) -> None:
    """Raise DataError for an image of more pixels than the limit, naming it."""
    limit = limit_of(max_pixels)
    if height * width > limit:
        raise DataError(
            f"{name}: {width}x{height} is {height * width:,} pixels, above the limit of {limit:,}; "
            f"if the file can be trusted, raise it with --max-pixels {height * width}"
        )
