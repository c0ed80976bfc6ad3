"""List the data formats, or inspect a folder of labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser, add_format, print_entries
from foveate.errors import ConfigError
from foveate.registry import entries, find


def run(argv: list[str]) -> int:
    """`foveate datasets [--format json]`, or `foveate datasets inspect PATH [--json FILE] [--sheet FILE]`."""
    parser = Parser("datasets", __doc__ or "")
    parser.add_argument(
        "action", nargs="?", choices=("inspect",), help="look into a folder; without it, list the formats"
    )
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="the folder, or the name of a data set that needs none, as pasture"
    )
    add_format(parser)
    parser.add_argument("--json", metavar="FILE", help="also write what was found to FILE")
    parser.add_argument("--sheet", metavar="FILE", default="contact_sheet.jpg", help="the contact sheet to draw (JPEG)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    args = parser.parse_args(argv)
    if args.action is None:
        return print_entries("dataset", args.format)
    if args.path is None:
        raise ConfigError("inspect what? name the folder: foveate datasets inspect PATH")
    return _inspect(args.path, args.json, args.sheet, args.max_pixels)


def _inspect(path: str, json_file: str | None, sheet_file: str, max_pixels: int | None) -> int:
    import json

    from foveate import pictures
    from foveate.datasets import recognise
    from foveate.datasets.inspect import inspect
    from foveate.disk import write_atomically
    from foveate.visualize import contact_sheet

    if max_pixels is not None:
        pictures.set_max_pixels(max_pixels)
    source = recognise(Path(path)) if Path(path).exists() or path not in entries("dataset") else _drawn(path)
    found = inspect(source)
    print(found.text())
    if json_file:
        write_atomically(Path(json_file), json.dumps(found.to_json(), indent=2) + "\n")
    if found.samples and found.classes is not None:
        shown = [(s["image"].permute(1, 2, 0).numpy(), s["mask"].numpy(), s["name"]) for s in found.samples]
        with pictures.atomic_write(Path(sheet_file)) as file:
            contact_sheet(shown, found.classes).save(file, format="JPEG", quality=90)
        print(f"contact sheet: {sheet_file}")
    return 1 if found.problems else 0


def _drawn(name: str) -> Any:
    """A data set that needs no folder. Raises ConfigError for one that does."""
    try:
        return find("dataset", name).load()()
    except TypeError:
        raise ConfigError(f"'{name}' reads a folder; name it: foveate datasets inspect PATH") from None
