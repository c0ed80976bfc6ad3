"""List the data formats, or inspect a folder of labelled pictures."""

from __future__ import annotations

from pathlib import Path

from foveate.cli.flags import Parser, print_entries


def run(argv: list[str]) -> int:
    """`foveate datasets [--format json]`, or `foveate datasets inspect PATH [--json FILE] [--sheet FILE]`."""
    if not argv or argv[0].startswith("-"):
        return print_entries("dataset", argv, __doc__ or "")
    parser = Parser("datasets", __doc__ or "")
    parser.add_argument("action", choices=("inspect",))
    parser.add_argument("path", metavar="PATH", help="the folder, or the name of a data set that needs none, as pasture")
    parser.add_argument("--json", metavar="FILE", help="also write what was found to FILE")
    parser.add_argument("--sheet", metavar="FILE", default="contact_sheet.jpg", help="where to draw the contact sheet (JPEG)")
    parser.add_argument("--max-pixels", type=int, metavar="N", help="accept pictures of up to N pixels")
    args = parser.parse_args(argv)
    return _inspect(args.path, args.json, args.sheet, args.max_pixels)


def _inspect(path: str, json_file: str | None, sheet_file: str, max_pixels: int | None) -> int:
    import json

    from foveate import pictures
    from foveate.datasets import recognise
    from foveate.datasets.inspect import inspect
    from foveate.disk import write_atomically
    from foveate.registry import entries
    from foveate.visualize import contact_sheet

    if max_pixels is not None:
        pictures.set_max_pixels(max_pixels)
    needs_no_folder = path in entries("dataset") and not Path(path).exists()
    source = entries("dataset")[path].load()() if needs_no_folder else recognise(Path(path))
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
