"""Get a model of Foveate from the Hugging Face hub, as a model folder."""

from __future__ import annotations

from pathlib import Path

from foveate.cli.flags import Parser


def run(argv: list[str]) -> int:
    """`foveate pull NAMESPACE/NAME [--out DIR] [--revision NAME]`."""
    parser = Parser("pull", __doc__ or "")
    parser.add_argument("repo", metavar="NAMESPACE/NAME", help="the repository on the hub")
    parser.add_argument("--out", metavar="DIR", help="the new model folder (default NAME)")
    parser.add_argument("--revision", metavar="NAME", help="a branch, tag or commit (default main)")
    args = parser.parse_args(argv)

    from foveate.cli.hub import pull, require_name
    from foveate.cli.inputs import predict_line
    from foveate.predictor import example_options, peek_family

    require_name(args.repo)
    folder = Path(args.out or args.repo.partition("/")[2])
    about = pull(args.repo, folder, args.revision)
    print(f"pulled: {folder} ({about})\nnext: {predict_line(folder, peek_family(folder), example_options(folder))}")
    return 0
