"""Put a trained model on the Hugging Face hub, with a model card made from its run."""

from __future__ import annotations

from pathlib import Path

from foveate.cli.early import check_run
from foveate.cli.flags import Parser


def run(argv: list[str]) -> int:
    """`foveate push RUN NAMESPACE/NAME [--private] [--report] [--card FILE]`."""
    parser = Parser("push", __doc__ or "")
    parser.add_argument("run", metavar="RUN", help="a run folder or a model folder")
    parser.add_argument("repo", metavar="NAMESPACE/NAME", help="the repository on the hub; it is made if it is missing")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--report", action="store_true", help="also put report.html there, which shows images of your data to everyone"
    )
    parser.add_argument("--card", metavar="FILE", help="only write the model card to FILE, and put nothing on the hub")
    parser.epilog = "Log in once with `hf auth login`, or set HF_TOKEN. HF_ENDPOINT names another hub."
    args = parser.parse_args(argv)
    check_run(args.run)

    from foveate.cli.hub import model_card, push, require_name
    from foveate.disk import write_atomically

    require_name(args.repo)
    if args.card:
        write_atomically(args.card, model_card(Path(args.run), args.repo))
        print(f"card: {args.card}")
        return 0
    print(f"pushed: {push(Path(args.run), args.repo, args.private, args.report)}")
    return 0
