"""List runs: the recipe, data, seed and commit of each, and the score of its kept epoch, on what the table says."""

from __future__ import annotations

import sys

from foveate.cli.flags import Parser
from foveate.errors import ConfigError


def run(argv: list[str]) -> int:
    """`foveate results [FOLDER] [--format NAME]`."""
    parser = Parser("results", __doc__ or "")
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default="runs", help="where the runs are, also those of sweeps and folds"
    )
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex"), default="markdown", help="of the table (default markdown)"
    )
    parser.epilog = "Nothing is scored again: foveate evaluate and foveate compare do that."
    args = parser.parse_args(argv)

    from foveate.engine.compare import table_text
    from foveate.engine.several import list_runs

    rows, notes = list_runs(args.folder)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if not rows:
        raise ConfigError(f"no run in {args.folder}; foveate train writes into runs/, or where --out says")
    print(table_text(rows, args.format), end="")
    return 0
