"""Measure the claims of the lecture, each with its verdict."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foveate.cli.flags import Parser, add_format
from foveate.errors import ConfigError, counted, duration_text

if TYPE_CHECKING:
    from foveate.claims import Claim, Finding


def run(argv: list[str]) -> int:
    """`foveate claims [NAME ...] [--long] [--threads N,...] [--list] [--json FILE] [--format json]`."""
    parser = Parser("claims", __doc__ or "")
    parser.add_argument("names", metavar="NAME", nargs="*", help="which claims; all without one")
    parser.add_argument("--long", action="store_true", help="also those that take minutes")
    parser.add_argument(
        "--threads", metavar="N,...", type=_threads, default=(),
        help="measure with N threads, and again with each further number, to see what changes",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="also write what was found to FILE, after every claim")
    parser.add_argument("--list", action="store_true", help="only name them, and measure nothing")
    add_format(parser)
    args = parser.parse_args(argv)

    from foveate.claims import choose
    from foveate.disk import require_writable, write_atomically

    if args.list:
        return _list(choose(args.names, long=True), args.format)
    if args.json:
        require_writable(args.json)
    findings, text = [], "[]\n"
    for name, claim in choose(args.names, args.long).items():
        findings.append(_examine(name, claim, args.threads))
        text = json.dumps([finding.to_json() for finding in findings], indent=2, ensure_ascii=False) + "\n"
        if args.json:  # after every claim, so that one that is stopped does not lose the others
            write_atomically(args.json, text)
        if args.format == "text":
            print(_paragraph(findings[-1]), flush=True)
    if args.format == "json":
        print(text, end="")
    return 0


def _list(claims: dict[str, Claim], style: str) -> int:
    if style == "json":
        rows = [
            {"name": n, "section": c.section, "claim": c.claim, "long": c.long, "law": c.law, "timed": c.timed}
            for n, c in claims.items()
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for name, claim in claims.items():
        print(f"{name}{' (--long)' if claim.long else ''}\n    {claim.claim}")
    return 0


def _threads(text: str) -> tuple[int, ...]:
    """Numbers of threads, each once. Raises ConfigError."""
    counts = tuple(int(word) if word.strip().isdigit() else 0 for word in text.split(","))
    if min(counts) < 1 or len(set(counts)) < len(counts):
        raise ConfigError(f"--threads is '{text}'; give different whole numbers of 1 or more, as in --threads 1,2")
    return counts


def _examine(name: str, claim: Claim, threads: Sequence[int]) -> Finding:
    """Measure it; a terminal shows where it is."""
    from rich.console import Console

    from foveate.claims import examine

    with Console(file=sys.stderr).status(name) as status:
        return examine(
            name, claim, threads, lambda seed, count: status.update(f"{name}, seed {seed}, {counted(count, 'thread')}")
        )


def _paragraph(finding: Finding) -> str:
    known = finding.spread is not None
    spread = f"{finding.spread:.3g} between {finding.settings}" if known else f"not known: only {finding.settings}"
    return (
        f"{finding.name} ({finding.claim.section})\n"
        f"  claim     {finding.claim.claim}\n"
        f"  measured  {finding.measured}\n"
        f"  spread    {spread}\n"
        f"  verdict   {finding.verdict}{' (law)' if finding.claim.law else ''}, in {duration_text(finding.seconds)}\n"
    )
