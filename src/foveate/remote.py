"""Files at URLs, by fsspec: s3://bucket/photo.jpg, gs://, az://, https://, memory://; file:// is a path.

Every protocol but file, memory and http needs a package of its own, such as s3fs for s3://.
"""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from foveate.disk import is_hidden
from foveate.errors import ConfigError, DataError, OutputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Here a file appears when all of it is there; elsewhere it is moved into place.
_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"})


def is_url(text: str) -> bool:
    """True for a URL of another protocol than file."""
    return _URL.match(text) is not None and not text.lower().startswith("file:")


def is_web(text: str) -> bool:
    """True for an address of the web, of which `pictures.urls` reads those of https."""
    return text.lower().startswith(("http:", "https:"))


def as_path(text: str) -> str:
    """The path of a file:// URL; any other text as it is."""
    if not text.lower().startswith("file:"):
        return text
    from fsspec.implementations.local import LocalFileSystem

    return str(LocalFileSystem._strip_protocol(text))


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the client of the Hugging Face hub from printing its attempts; the error of the last one says it all."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return PurePosixPath(self.url).name

    def state(self) -> tuple[int, str]:
        """(bytes, what changes with the content: tag or time), as far as the protocol tells. Raises DataError."""
        with _reading(self.url):
            system, path = _open(self.url)
            about = system.info(path)
            changed = next((about[k] for k in ("ETag", "etag", "mtime", "LastModified", "created") if k in about), "")
            return int(about.get("size") or 0), str(changed)

    def read(self) -> bytes:
        """Return the content. Raises DataError."""
        with _reading(self.url):
            system, path = _open(self.url)
            return bytes(system.cat_file(path))

    def fetch(self, folder: Path) -> Path:
        """Copy the file into a local folder, under its own name. Raises DataError."""
        target = folder / self.name
        with _reading(self.url):
            system, path = _open(self.url)
            system.get_file(path, str(target))
        return target


def find_files(url: str, suffixes: Collection[str], nouns: str) -> list[tuple[RemoteFile, Path]]:
    """(file, its path relative to the URL) of all that a URL means: a file, a folder, or a glob.

    suffixes: those of the files of a folder or a glob. nouns: what they are called. Raises DataError for none.
    """
    with _reading(url):
        system, path = _open(url)
        magic = "*" in path or "[" in path
        if not magic and system.isfile(path):
            return [(RemoteFile(url), Path(RemoteFile(url).name))]
        if magic:
            found = sorted(p for p in system.glob(path) if system.isfile(p))
            root = path[: re.search(r"[*\[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
        else:
            found, root = sorted(system.find(path)), path.rstrip("/")
        below = [(p, PurePosixPath(str(p).removeprefix(root).lstrip("/"))) for p in found]
        kept = [(p, inside) for p, inside in below if inside.suffix.lower() in suffixes]
        visible = [(p, inside) for p, inside in kept if not any(map(is_hidden, inside.parts))]
        urls = [(RemoteFile(str(system.unstrip_protocol(p))), Path(inside)) for p, inside in visible]
    if not urls:
        raise DataError(f"no {nouns} at {url}; expected files ending in {', '.join(sorted(suffixes))}")
    return urls


class RemoteFolder:
    """A folder at a URL. Files are written whole or not at all."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def names(self) -> list[str]:
        """Paths of all files below the folder, relative to it; none if there is no such folder. Raises OutputError."""
        with _writing(self.url):
            system, path = _open(self.url)
            root = path.rstrip("/")
            try:
                return sorted(str(p).removeprefix(root).lstrip("/") for p in system.find(path))
            except FileNotFoundError:
                return []

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. Raises OutputError."""
        with _writing(self.url):
            system, path = _open(f"{self.url}/{name}")
            try:
                return bytes(system.cat_file(path))
            except FileNotFoundError:
                return None

    def put(self, file: Path, name: str) -> None:
        """Copy a local file to `name` below the folder. Raises OutputError."""
        with _writing(f"{self.url}/{name}"):
            system, path = _open(f"{self.url}/{name}")
            system.makedirs(system._parent(path), exist_ok=True)
            if _protocol(self.url) in _WHOLE:
                system.put_file(str(file), path)
                return
            system.put_file(str(file), f"{path}.unfinished")
            system.mv(f"{path}.unfinished", path)

    def write(self, content: str, name: str) -> None:
        """Write text to `name` below the folder. Raises OutputError."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "content"
            file.write_text(content, encoding="utf-8")
            self.put(file, name)

    def remove(self, name: str) -> None:
        """Remove a file or a folder below this one; nothing if it is not there. Raises OutputError."""
        with _writing(f"{self.url}/{name}"), contextlib.suppress(FileNotFoundError):
            system, path = _open(f"{self.url}/{name}")
            system.rm(path, recursive=True)


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower()


def _open(url: str) -> tuple[Any, str]:
    """(file system, path in it) of a URL. Raises ConfigError for a protocol that is unknown or lacks its package."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url}: {_protocol(url)}:// needs a package that is not installed: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{url}: {error}; expected a path, or a URL such as s3://bucket/folder") from None
    return system, str(path)


@contextlib.contextmanager
def _reading(url: str) -> Iterator[None]:
    """Raise DataError, naming the URL, for whatever a protocol's package raises."""
    try:
        yield
    except (ConfigError, DataError):
        raise
    except FileNotFoundError:
        raise DataError(f"{url}: no such file or folder; check the URL") from None
    except Exception as error:  # each protocol has errors of its own
        raise DataError(f"{url}: cannot be read ({_reason(error)}); check the URL and the rights to read it") from error


@contextlib.contextmanager
def _writing(url: str) -> Iterator[None]:
    """Raise OutputError, naming the URL, for whatever a protocol's package raises."""
    try:
        yield
    except (ConfigError, OutputError):
        raise
    except Exception as error:
        raise OutputError(f"cannot write {url} ({_reason(error)}); check the URL and the rights to write it") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # as of an address that there is not
        return str(error.strerror)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
