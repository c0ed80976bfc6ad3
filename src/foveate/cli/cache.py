"""List or clear what is kept between runs and can be computed again: features, and regions of images."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foveate.cli.flags import Parser, add_format
from foveate.disk import ABOUT, cache_folder
from foveate.errors import ConfigError, OutputError, counted, unknown

DAY = 86_400  # seconds
KINDS = {"regions": "regions of images that selective search proposes"}
UNKNOWN = "written by an earlier version, which did not note of what"


@dataclass(frozen=True)
class Kept:
    """One part of the cache.

    name: its folder below the cache's. about: what it holds, in words; '' if that is not known, as of parts that an
    earlier version wrote. files, size: their number and bytes. written: when the newest was, in seconds since 1970.
    """

    name: str
    path: Path
    about: str
    files: int
    size: int
    written: float

    @property
    def age(self) -> float:
        """Days since the newest file was written."""
        return max(0.0, time.time() - self.written) / DAY


def run(argv: list[str]) -> int:
    """`foveate cache [list | clear [NAME ...]] [--older DAYS] [--format json]`."""
    parser = Parser("cache", __doc__ or "")
    parser.add_argument("action", nargs="?", choices=("list", "clear"), default="list", help="list (default) or clear")
    parser.add_argument("names", metavar="NAME", nargs="*", help="parts to clear, as listed (default all)")
    parser.add_argument("--older", type=float, metavar="DAYS", help="clear: only parts that nothing was added to since")
    add_format(parser)
    parser.epilog = "The folder is FOVEATE_CACHE, by default ~/.cache/foveate. No run needs it: it only saves time."
    args = parser.parse_args(argv)
    if args.action == "list" and (args.names or args.older is not None):
        raise ConfigError("names and --older are for foveate cache clear; leave them out")
    found = list(kept_in(cache_folder()))
    if args.action == "clear":
        return _clear(found, args.names, args.older)
    if args.format == "json":
        rows = [
            {"name": k.name, "about": k.about, "files": k.files, "bytes": k.size, "days": round(k.age, 2)}
            for k in found
        ]
        print(json.dumps({"folder": str(cache_folder()), "parts": rows}, indent=2))
        return 0
    print(f"{cache_folder()}: {shown_size(sum(k.size for k in found))}")
    for k in found:
        date = time.strftime("%Y-%m-%d", time.localtime(k.written))
        days = f"{date}, {counted(round(k.age), 'day')} old"
        print(
            f"  {k.name:<34} {counted(k.files, 'file'):>14}  {shown_size(k.size):>9}  {days}\n    {k.about or UNKNOWN}"
        )
    return 0


def kept_in(folder: Path) -> Iterator[Kept]:
    """The parts of a cache: the folders of `features` by network, and every other folder; sorted by name."""
    kinds = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    for kind in kinds:
        inside = sorted(p for p in kind.iterdir() if p.is_dir())
        for path in inside or [kind]:
            about = path / ABOUT
            files = [p for p in path.rglob("*") if p.is_file() and p != about]
            newest = max((p.stat().st_mtime for p in files), default=path.stat().st_mtime)
            size = sum(p.stat().st_size for p in files)
            if not files:
                continue
            words = about.read_text(encoding="utf-8").strip() if about.is_file() else KINDS.get(kind.name, "")
            yield Kept(path.relative_to(folder).as_posix(), path, words, len(files), size, newest)


def _clear(found: list[Kept], names: list[str], older: float | None) -> int:
    known = [k.name for k in found]
    for name in names:
        if name not in known:
            raise ConfigError(unknown("part of the cache", name, known))
    chosen = [k for k in found if (not names or k.name in names) and (older is None or k.age > older)]
    for k in chosen:
        try:
            shutil.rmtree(k.path)
        except OSError as error:
            raise OutputError(f"{k.path} cannot be removed ({error.strerror}); is a training using it?") from error
    print(f"cleared: {counted(len(chosen), 'part')}, {shown_size(sum(k.size for k in chosen))}")
    return 0


def shown_size(size: int) -> str:
    """A number of bytes in words: '1.5 GB', '0 kB'."""
    for unit, bytes_of in (("GB", 2**30), ("MB", 2**20)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size / 2**10:.0f} kB"
