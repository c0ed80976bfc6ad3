"""List the data formats, or inspect a data set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from foveate.cli.flags import Parser, add_format, print_entries, require_known, split_fields
from foveate.errors import ConfigError
from foveate.registry import current_name, entries, find

_OWN = {"--as", "--task", "--format", "--json", "--sheet", "--max-pixels", "--help"}


def run(argv: list[str]) -> int:
    """`foveate datasets [--format json]`, or `foveate datasets inspect PATH [--FIELD VALUE] [options]`."""
    parser = Parser("datasets", __doc__ or "")
    parser.usage = "%(prog)s [inspect | masks] [PATH] [--as NAME] [--task NAME] [--FIELD VALUE ...] [options]"
    parser.add_argument(
        "action",
        nargs="?",
        choices=("inspect", "masks"),
        help="look into a folder, or derive index masks from its LabelMe files; without it, list the formats",
    )
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="the folder, or the name of a data set that needs none, as pasture"
    )
    parser.add_argument(
        "--as", dest="reader", metavar="NAME", help="the data set that reads the folder, as distorted_mnist"
    )
    parser.add_argument(
        "--task",
        metavar="NAME",
        default="",
        help="the family that the data is read for, if it serves several",
    )
    add_format(parser)
    parser.add_argument("--json", metavar="FILE", help="also write what was found to FILE")
    parser.add_argument("--sheet", metavar="FILE", help="also draw a contact sheet to FILE (JPEG)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    parser.epilog = "Any field of the data set can be given as a flag, as in --as distorted_mnist --kind rts."
    own, fields = split_fields(argv, _OWN)
    args = parser.parse_args(own)
    if args.action is None:
        require_known(fields, (), _OWN)
        return print_entries("dataset", args.format)
    if args.path is None:
        require_known(fields, (), _OWN)
        raise ConfigError(f"{args.action} what? name the folder: foveate datasets {args.action} PATH")
    if args.action == "masks":
        require_known(fields, (), _OWN)
        return _masks(Path(args.path))
    if args.max_pixels is not None:
        from foveate import pictures

        pictures.set_max_pixels(args.max_pixels)
    if args.task:
        from foveate.tasks import find_task

        find_task(args.task)  # a name that is no family is no matter of the data
    source = _source(args.path, args.reader, args.task, fields)
    return _inspect(source, args.task, args.json, args.sheet)


def _masks(root: Path) -> int:
    from foveate.datasets.labelme.index_masks import write_index_masks
    from foveate.errors import counted

    written, there, problems = write_index_masks(root)
    print(f"{counted(written, 'index mask')} written to {root / 'labels'}, {there} were there already")
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


def _inspect(source: Any, task: str, json_file: str | None, sheet_file: str | None) -> int:
    import json

    from foveate.disk import atomic_write, require_writable, write_atomically
    from foveate.engine.inspection import inspect

    for name in (json_file, sheet_file):
        if name:
            require_writable(name)
    found = inspect(source, task)
    print(found.text())
    for note in found.source_notes:
        print(f"note: {note}")
    if json_file:
        write_atomically(Path(json_file), json.dumps(found.to_json(), indent=2) + "\n")
    sheet = found.sheet() if sheet_file else None
    if sheet is not None and sheet_file:
        with atomic_write(Path(sheet_file)) as file:
            sheet.save(file, format="JPEG", quality=90)
        print(f"contact sheet: {sheet_file}")
    return 1 if found.problems else 0


def _source(path: str, reader: str | None, task: str, fields: dict[str, str]) -> Any:
    """The folder's data set, as recognised or by the given reader, or one without a folder. Raises ConfigError."""
    if reader is None and (Path(path).exists() or current_name("dataset", path) not in entries("dataset")):
        from foveate.datasets import recognise

        source = recognise(Path(path), task)
        given = _typed(type(source), fields)
        return dataclasses.replace(source, **given) if given else source  # type: ignore[type-var]
    entry = find("dataset", reader or path)
    cls = entry.load()
    given = dict(entry.preset) | _typed(cls, fields)
    needs_folder = "path" in {f.name for f in dataclasses.fields(cls)}
    if reader is not None and not needs_folder:
        raise ConfigError(f"'{reader}' reads no folder; look at it with: foveate datasets inspect {reader}")
    if reader is None and needs_folder:
        raise ConfigError(f"'{path}' reads a folder; name it: foveate datasets inspect PATH")
    return cls(path, **given) if needs_folder else cls(**given)


def _typed(cls: Any, fields: dict[str, str]) -> dict[str, Any]:
    """Flags -> values of the data set's fields. Raises ConfigError for an unknown field or a value of another type."""
    if not fields:
        return {}
    from typing import get_type_hints

    from foveate.values import parse

    hints = get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls) if f.name != "path"]
    require_known(fields, known, _OWN)
    return {name: parse(f"--{name}", value, hints[name]) for name, value in fields.items()}
