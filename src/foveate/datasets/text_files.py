"""Text files: decoding, with line ends of any kind, and JSON with the place of a mistake."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from foveate.errors import DataError
from foveate.values import parse_json as json_value


def read_text(path: Path) -> str:
    """A small text file in UTF-8, or in UTF-16 as Excel writes it, with line ends of any kind. Raises DataError."""
    try:
        return decode_text(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        if error.reason == ZERO_BYTE:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise DataError(f"{path}: line {line}: {ZERO_BYTE}; repair the line, or save the file as UTF-8") from error
        kind = error.encoding.upper().removesuffix("-SIG")
        raise DataError(f"{path}: not {kind} text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


ZERO_BYTE = "a zero byte"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),  # first: they begin as UTF-16's do
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


def decode_text(content: bytes, errors: str = "strict") -> str:
    """Text in UTF-8, or in UTF-16 or UTF-32 that has a byte order mark or begins with Latin letters; lines end in \\n.

    errors: 'replace' for the beginning of a file. Raises UnicodeDecodeError, also for text with zero bytes.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if not encoding and len(content) > 3 and content.count(b"\0", 0, 64):
        # 'i\0m\0' or '\0i\0m': every other byte of Latin letters is 0
        odd, even = not any(content[1:8:2]), not any(content[0:8:2])
        encoding = {(True, False): "utf-16-le", (False, True): "utf-16-be"}.get((odd, even), "")
    if encoding and errors == "replace":
        content = content[: len(content) // 4 * 4]
    text = content.decode(encoding or "utf-8-sig", errors).removeprefix("\ufeff")
    if "\0" in text and errors == "strict":
        plain = text.encode("utf-8")
        raise UnicodeDecodeError("utf-8", plain, plain.index(b"\0"), plain.index(b"\0") + 1, ZERO_BYTE)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """A JSON file. Raises DataError with the place of the mistake."""
    return parse_json(path, read_text(path))


def parse_json(path: Path, text: str) -> Any:
    """The content of a JSON file. Raises DataError with the place of the mistake."""
    try:
        return json_value(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: malformed JSON at line {error.lineno}, column {error.colno} ({error.msg}); repair or remove it"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: malformed JSON ({error}); repair or remove it") from None
