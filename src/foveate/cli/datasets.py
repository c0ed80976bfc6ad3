"""List the data formats; inspect a data set, convert it to another format, or audit its labels."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

from foveate.cli.early import check_run
from foveate.cli.flags import Parser, add_format, print_entries, require_known, split_fields
from foveate.errors import ConfigError, unknown
from foveate.registry import current_name, entries, find

# Formats that can be written: the names of `foveate.labels.WRITERS`, which is not imported before a name is known.
FORMATS = (
    "folders", "colors", "masks_beside", "camvid", "voc", "coco", "labelme", "cvat", "yolo", "numbers",
    "sample_folders",
)  # fmt: skip
ACTIONS = re.findall(r"\w+", "inspect | masks | convert | audit")
INSPECT, INDEX_MASKS, CONVERT, AUDIT = ACTIONS
_OWN = {
    "--as",
    "--task",
    "--format",
    "--json",
    "--sheet",
    "--max-pixels",
    "--to",
    "--lossy",
    "--run",
    "--split",
    "--out",
    "--help",
}


def run(argv: list[str]) -> int:
    """`foveate datasets`, or `foveate datasets inspect | masks | convert | audit PATH ...`."""
    parser = Parser("datasets", __doc__ or "")
    parser.usage = (
        "%(prog)s [inspect PATH | masks PATH | convert PATH OUT --to FORMAT | audit PATH --run RUN] [--as NAME] "
        "[--FIELD VALUE ...]"
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        help="look into a folder; derive index masks from its LabelMe files; write it in another format; or look for "
        "wrong labels with a trained model. Without it, list the formats",
    )
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="the folder, or the name of a data set that needs none, as pasture"
    )
    parser.add_argument("out", metavar="OUT", nargs="?", help="convert: the new folder")
    parser.add_argument("--to", metavar="FORMAT", help=f"convert: one of {', '.join(FORMATS)}")
    parser.add_argument(
        "--lossy", action="store_true", help="convert: write as background what the format has no place for"
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
    parser.add_argument("--run", metavar="RUN", help="audit: the run or model folder that doubts the labels")
    parser.add_argument("--split", metavar="NAME", help="audit: one split (default all)")
    parser.add_argument("--out", dest="folder", metavar="DIR", help="audit: where audit.html and audit.json go (audit)")
    add_format(parser)
    parser.add_argument("--json", metavar="FILE", help="also write what was found to FILE")
    parser.add_argument("--sheet", metavar="FILE", help="also draw a contact sheet to FILE (.jpg or .png)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    parser.epilog = "Any field of the data set can be given as a flag, as in --as distorted_mnist --kind rts."
    own, fields = split_fields(argv, _OWN)
    for flag, value in itertools.pairwise(own):
        if flag == "--format" and value in FORMATS:
            raise ConfigError(f"--format is text or json, got {value}; a data set is converted by --to {value}")
    args = parser.parse_args(own)
    if args.action is None:
        require_known(fields, (), _OWN)
        return print_entries("dataset", args.format)
    if args.path is None:
        require_known(fields, (), _OWN)
        raise ConfigError(f"{args.action} needs a folder: foveate datasets {args.action} PATH")
    if args.action == CONVERT:
        _require_target(args)
    elif args.out is not None or args.to or args.lossy:
        raise ConfigError("OUT, --to and --lossy are for foveate datasets convert; leave them out")
    if args.action == AUDIT:
        if args.run is None:
            raise ConfigError("audit needs a trained model: foveate datasets audit PATH --run RUN")
        check_run(args.run)
    elif args.run or args.split or args.folder:
        raise ConfigError("--run, --split and --out are for foveate datasets audit; leave them out")
    if args.action == INDEX_MASKS:
        require_known(fields, (), _OWN)
        return _masks(Path(args.path))
    if args.max_pixels is not None:
        from foveate import pictures

        pictures.set_max_pixels(args.max_pixels)
    if args.task:
        from foveate.tasks import find_task

        find_task(args.task)  # a name that is no family is no matter of the data
    if args.action == AUDIT:
        from foveate.predictor import peek_family

        args.task = peek_family(Path(args.run)).name
    source = _source(args.path, args.reader, args.task, fields)
    if args.action == AUDIT:
        return _audit(source, args.run, args.split, args.folder or "audit")
    if args.action == CONVERT:
        return _convert(source, args.out, args.to, args.lossy)
    return _inspect(source, args.task, args.json, args.sheet)


def _masks(root: Path) -> int:
    from foveate.datasets.labelme.index_masks import write_index_masks
    from foveate.errors import counted

    written, there, problems = write_index_masks(root)
    print(f"{counted(written, 'index mask')} written to {root}/labels, {there} were there already")
    for problem in problems:
        print(f"problem: {problem}")
    return 1 if problems else 0


def _require_target(args: Any) -> None:
    """Raise ConfigError for a conversion without a folder or a known format, before torch is imported."""
    if args.out is None or args.to is None:
        raise ConfigError(f"convert needs a new folder and --to, one of {', '.join(FORMATS)}")
    if args.to not in FORMATS:
        raise ConfigError(unknown("format", args.to, FORMATS))
    if args.json or args.sheet:
        raise ConfigError("--json and --sheet are for foveate datasets inspect; leave them out")


def _convert(source: Any, out: str, form: str, lossy: bool) -> int:
    from foveate.cli.predict import progress_bar
    from foveate.datasets.convert import convert

    print(source.describe())
    with progress_bar(1, f"to {form}") as advance:
        found = convert(source, out, form, lossy, lambda done, total: advance(done / total, f"to {form}"))
    print(*found.lines(), sep="\n")
    return 0


def _audit(source: Any, run: str, split: str | None, folder: str) -> int:
    from foveate.cli.predict import progress_bar
    from foveate.disk import require_writable
    from foveate.engine.audit import audit, write_audit

    require_writable(Path(folder) / "audit.json")
    with progress_bar(1, "auditing") as advance:
        found = audit(source, run, split, lambda done, total: advance(done / total, "auditing"))
    page, values = write_audit(found, folder)
    print(*found.lines(), f"page: {page}\nvalues: {values}", sep="\n")
    return 0


def _inspect(source: Any, task: str, json_file: str | None, sheet_file: str | None) -> int:
    import json

    from foveate.cli.places import require_sheet, save_sheet
    from foveate.disk import require_writable, write_atomically
    from foveate.engine.inspection import inspect

    if json_file:
        require_writable(json_file)
    if sheet_file:
        require_sheet("--sheet", sheet_file)
    found = inspect(source, task)
    print(found.text())
    for note in found.source_notes:
        print(f"note: {note}")
    if json_file:
        write_atomically(Path(json_file), json.dumps(found.to_json(), indent=2) + "\n")
    sheet = found.sheet() if sheet_file else None
    if sheet is not None and sheet_file:
        save_sheet(sheet, sheet_file)
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
        raise ConfigError(f"'{reader}' generates its data and takes no folder: foveate datasets inspect {reader}")
    if reader is None and needs_folder:
        raise ConfigError(f"'{path}' needs a folder: foveate datasets inspect PATH")
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
