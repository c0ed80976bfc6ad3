"""Compare runs on the same samples: a table, also of one run, and a page with curves, classes and images."""

from __future__ import annotations

from foveate.cli.early import check_run
from foveate.cli.flags import Parser


def run(argv: list[str]) -> int:
    """`foveate compare RUN RUN ... [--split NAME] [--classes] [--format NAME] [--html FILE] [--out FILE]`."""
    parser = Parser("compare", __doc__ or "")
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders; differences are from the first")
    parser.add_argument("--split", metavar="NAME", help="which split (default: val, else test)")
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex"), default="markdown", help="of the table (default markdown)"
    )
    parser.add_argument("--out", metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--html", metavar="FILE", help="also write a page with curves, classes and images to FILE")
    parser.add_argument("--classes", action="store_true", help="also a column for each class")
    args = parser.parse_args(argv)
    for path in args.runs:
        check_run(path)

    from foveate.disk import require_writable, write_atomically
    from foveate.engine.compare import compare_runs, table_rows, table_text
    from foveate.engine.comparison import write_comparison

    for file in filter(None, (args.out, args.html)):
        require_writable(file)
    found = compare_runs(args.runs, args.split)
    table = table_text(table_rows(found, args.classes), args.format)
    print(table, end="")
    if args.out:
        write_atomically(args.out, table)
    if args.html:
        print(f"page: {write_comparison(found, args.html)}")
    return 0
