"""The command line: one file a verb, found by walking this folder; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import ast
import io
import os
import signal
import sys
from pathlib import Path

from foveate.errors import ConfigError, FoveateError, unknown

# On a loaded machine OpenMP threads that wait by spinning make torch many times slower, and threads that sleep at once
# make small steps slow on an idle one: they spin briefly. Both are read when torch loads.
if os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE").upper() == "PASSIVE":
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

STOPPED = 130  # exit code of Ctrl-C

HELPERS = {
    "__init__", "__main__", "by_ray", "early", "fastest", "flags", "hub", "inputs", "labelling", "pipeline", "places",
    "videos",
}  # fmt: skip

# Verbs of other tools -> the one that does it here.
ELSEWHERE = {
    **dict.fromkeys(("val", "validate", "test", "eval", "score"), "evaluate"),
    **dict.fromkeys(("detect", "segment", "infer", "inference", "caption", "translate", "transcribe"), "predict"),
    **dict.fromkeys(("fit", "finetune", "resume"), "train"),
    **dict.fromkeys(("tune", "search", "hpo"), "sweep"),
    **dict.fromkeys(("inspect", "convert", "audit"), "datasets"),
    **dict.fromkeys(("runs", "list", "ls"), "results"),
    "annotate": "studio", "benchmark": "bench", "upload": "push", "download": "pull", "version": "info", "env": "info",
    "deploy": "serve",
}  # fmt: skip


def verbs() -> dict[str, str]:
    """Verb -> its one-line description, read from the source of its file."""
    files = sorted(p for p in Path(__file__).parent.glob("*.py") if p.stem not in HELPERS)
    return {p.stem: (ast.get_docstring(ast.parse(p.read_text(encoding="utf-8"))) or "").split("\n")[0] for p in files}


def help_text() -> str:
    """The text of `foveate --help`."""
    lines = [f"  {verb:<10} {line}" for verb, line in verbs().items()]
    return "\n".join(
        ["usage: foveate VERB ...", "", "Segmentation and attention systems: train, evaluate, ship.", "", *lines, "",
         "`foveate VERB --help` says more of each; --debug shows where an error came from."]
    )  # fmt: skip


def program() -> None:
    """The program `foveate`: `main`, and then an end that Ctrl-C does not disturb."""
    code = STOPPED
    # Libraries remove their temporary files while Python ends, and Ctrl-C there would show where it met them.
    try:
        try:
            code = main()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:  # came between `main` and the line above
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run a verb. Exit code 0 only on success; errors are one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name need not be text, and stderr shows such already so
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if words[0] == "--version":
        from foveate.version import __version__

        print(__version__)
        return 0
    try:
        verb = words[0]
        if verb not in verbs():
            near = ELSEWHERE.get(verb)
            raise ConfigError(
                f"unknown verb '{verb}'; the nearest is '{near}'" if near else unknown("verb", verb, verbs())
            )
        from importlib import import_module

        code: int = import_module(f"foveate.cli.{verb}").run(words[1:])
        return code
    except FoveateError as error:
        if debug:
            raise
        print(f"foveate: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        if _prints():
            print(f"foveate: stopped{_how_to_go_on(words, str(stop))}", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        if _prints():
            what = " ".join(str(error).split()) or "no message"
            print(f"foveate: unexpected {type(error).__name__}: {what} (--debug shows where)", file=sys.stderr)
        return 1


def _how_to_go_on(words: list[str], known: str) -> str:
    """The way in which a stopped line goes on; '' where it begins again. known: its verb's own words, or ''."""
    if known:
        return f"; {known}"
    several = words[0] == "sweep" or {word.partition("=")[0] for word in words} & {"--seeds", "--folds"}
    if several:
        return "; the same line goes on, and keeps the runs that are there"
    return "; a training goes on from its last finished epoch with --resume" if words[0] == "train" else ""


def _prints() -> bool:
    """True in the one of several training processes that prints what happened to all of them."""
    try:
        from foveate.engine.processes import is_first
    except (Exception, KeyboardInterrupt):  # Ctrl-C came while PyTorch was imported, which cannot be done twice
        return True
    return is_first()
