"""List the data formats; inspect a data set, convert it to another format, or audit its labels."""

from __future__ import annotations

import dataclasses
import itertools
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
LIST, INSPECT, INDEX_MASKS, CONVERT, AUDIT = "", "inspect", "masks", "convert", "audit"
ACTIONS = {
    INSPECT: "Look into a folder, or into a data set that needs none.",
    INDEX_MASKS: "Derive index masks from the LabelMe files of a folder.",
    CONVERT: "Write labelled data in another format.",
    AUDIT: "Look for wrong labels, doubtful pictures and near-duplicates with a trained model.",
}
READERS = (INSPECT, CONVERT, AUDIT)
# Flag -> the actions that it is for.
USED_BY = {
    "--as": READERS, "--task": (INSPECT, CONVERT), "--format": (LIST,), "--json": (INSPECT,), "--sheet": (INSPECT,),
    "--max-pixels": READERS, "--to": (CONVERT,), "--lossy": (CONVERT,), "--run": (AUDIT,), "--split": (AUDIT,),
    "--out": (AUDIT,),
}  # fmt: skip


def run(argv: list[str]) -> int:
    """`foveate datasets`, or `foveate datasets inspect | masks | convert | audit PATH ...`."""
    words, fields = split_fields(argv, {*USED_BY, "--help"})
    for flag, value in itertools.pairwise(words):
        if flag == "--format" and value in FORMATS:
            raise ConfigError(f"--format is text or json, got {value}; a data set is converted by --to {value}")
    action = _take_action(words)
    _require_used(action, words)
    args = _parser(action).parse_intermixed_args(words)
    own = [flag for flag, actions in USED_BY.items() if action in actions]
    if action not in READERS:
        require_known(fields, (), own)
    if action == LIST:
        return print_entries("dataset", args.format)
    if args.path is None:
        require_known(fields, (), own)
        raise ConfigError(f"{action} needs a folder: foveate datasets {action} PATH")
    if action == INDEX_MASKS:
        return _masks(Path(args.path))
    if action == CONVERT:
        _require_target(args)
    if action == AUDIT:
        if args.run is None:
            raise ConfigError("audit needs a trained model: foveate datasets audit PATH --run RUN")
        check_run(args.run)
    if args.max_pixels is not None:
        from foveate import pictures

        pictures.set_max_pixels(args.max_pixels)
    if action == AUDIT:
        from foveate.predictor import peek_family

        source = _source(args.path, args.reader, peek_family(Path(args.run)).name, fields, own)
        return _audit(source, args.run, args.split, args.out or "audit")
    if args.task:
        from foveate.tasks import find_task

        find_task(args.task)  # a name that is no family is no matter of the data
    source = _source(args.path, args.reader, args.task, fields, own)
    if action == CONVERT:
        return _convert(source, args.out, args.to, args.lossy)
    return _inspect(source, args.task, args.json, args.sheet)


def _take_action(words: list[str]) -> str:
    """The action of a line, which is taken out of its words; LIST where the first one that is no flag is none."""
    flags = {"--lossy", "--help", "-h"}  # without a value
    for number, word in enumerate(words):
        is_value = number > 0 and words[number - 1] in USED_BY and words[number - 1] not in flags
        if not word.startswith("-") and not is_value:
            return words.pop(number) if word in ACTIONS else LIST
    return LIST


def _require_used(action: str, words: list[str]) -> None:
    """Raise ConfigError for a flag of another action."""
    for word in words:
        flag = word.partition("=")[0]
        if action not in USED_BY.get(flag, (action,)):
            others = " and ".join(USED_BY[flag]) or "without an action"
            raise ConfigError(f"{flag} is for foveate datasets {others}; leave it out")


def _parser(action: str) -> Parser:
    """The parser of an action, and of the list."""
    if action == LIST:
        parser = Parser("datasets", __doc__ or "")
        parser.usage = "%(prog)s [inspect PATH | masks PATH | convert PATH OUT --to FORMAT | audit PATH --run RUN]"
        about = "; ".join(f"{name}: {text[0].lower()}{text[1:-1]}" for name, text in ACTIONS.items())
        parser.add_argument("action", nargs="?", choices=ACTIONS, help=f"{about}. Without it, list the formats")
        add_format(parser)
        parser.epilog = "`foveate datasets ACTION --help` says more of each."
        return parser
    parser = Parser(f"datasets {action}", ACTIONS[action])
    needed = {CONVERT: "PATH OUT --to FORMAT", AUDIT: "PATH --run RUN"}.get(action, "PATH")
    parser.usage = f"%(prog)s {needed}{' [options] [--FIELD VALUE ...]' if action in READERS else ''}"
    other = ", or the name of a data set that needs none, as pasture" if action in READERS else ""
    parser.add_argument("path", metavar="PATH", nargs="?", help=f"the folder{other}")
    if action == CONVERT:
        parser.add_argument("out", metavar="OUT", nargs="?", help="the new folder")
        parser.add_argument("--to", metavar="FORMAT", help=f"one of {', '.join(FORMATS)}")
        parser.add_argument("--lossy", action="store_true", help="write as background what the format has no place for")
    if action == AUDIT:
        parser.add_argument("--run", metavar="RUN", help="the run or model folder that doubts the labels")
        parser.add_argument("--split", metavar="NAME", help="one split (default all)")
        parser.add_argument("--out", metavar="DIR", help="where audit.html and audit.json go (audit)")
    if action == INSPECT:
        parser.add_argument("--json", metavar="FILE", help="also write what was found to FILE")
        parser.add_argument("--sheet", metavar="FILE", help="also draw a contact sheet to FILE (.jpg or .png)")
    if action in (INSPECT, CONVERT):
        parser.add_argument(
            "--task", metavar="NAME", default="", help="the family that the data is read for, if it serves several"
        )
    if action in READERS:
        parser.add_argument(
            "--as", dest="reader", metavar="NAME", help="the data set that reads the folder, as distorted_mnist"
        )
        parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
        parser.epilog = "Any field of the data set can be given as a flag, as in --as distorted_mnist --kind rts."
    return parser


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


def _source(path: str, reader: str | None, task: str, fields: dict[str, str], own: list[str]) -> Any:
    """The folder's data set, as recognised or by the given reader, or one without a folder. Raises ConfigError.

    own: the flags of the action, which a field that does not exist may stand for.
    """
    if reader is None and (Path(path).exists() or current_name("dataset", path) not in entries("dataset")):
        from foveate.datasets import recognise

        source = recognise(Path(path), task)
        given = _typed(type(source), fields, own)
        return dataclasses.replace(source, **given) if given else source  # type: ignore[type-var]
    entry = find("dataset", reader or path)
    cls = entry.load()
    given = dict(entry.preset) | _typed(cls, fields, own)
    needs_folder = "path" in {f.name for f in dataclasses.fields(cls)}
    if reader is not None and not needs_folder:
        raise ConfigError(f"'{reader}' generates its data and takes no folder: foveate datasets inspect {reader}")
    if reader is None and needs_folder:
        raise ConfigError(f"'{path}' needs a folder: foveate datasets inspect PATH")
    return cls(path, **given) if needs_folder else cls(**given)


def _typed(cls: Any, fields: dict[str, str], own: list[str]) -> dict[str, Any]:
    """Flags -> values of the data set's fields. Raises ConfigError for an unknown field or a value of another type."""
    if not fields:
        return {}
    from typing import get_type_hints

    from foveate.values import parse

    hints = get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls) if f.name != "path"]
    require_known(fields, known, own)
    return {name: parse(f"--{name}", value, hints[name]) for name, value in fields.items()}
