"""Print what makes a shell complete verbs, names and flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from foveate.cli.flags import Parser
from foveate.registry import Kind

BASH = """_foveate() {
    local IFS=$'\\n'
    COMPREPLY=($(foveate completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -o bashdefault -F _foveate foveate
"""
ZSH = """#compdef foveate
_foveate() {
    local -a found
    found=("${(@f)$(foveate completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [[ -n "$found" ]] && compadd -- $found || _files
}
compdef _foveate foveate
"""
FISH = """complete -c foveate -a '(foveate completion --words (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
# Verb -> the kind of name that its first word is.
NAMES: dict[str, Kind] = {
    "train": "recipe",
    "sweep": "recipe",
    "recipes": "recipe",
    "models": "model",
    "claims": "claim",
}


def run(argv: list[str]) -> int:
    """`foveate completion SHELL`; in ~/.bashrc: eval "$(foveate completion bash)"."""
    if argv[:1] == ["--words"]:
        print("\n".join(candidates(argv[1:])))
        return 0
    parser = Parser("completion", __doc__ or "")
    parser.add_argument("shell", choices=SCRIPTS, metavar="SHELL", help=f"one of {', '.join(SCRIPTS)}")
    parser.epilog = 'In ~/.bashrc: eval "$(foveate completion bash)"; in ~/.zshrc the same with zsh.'
    print(SCRIPTS[parser.parse_args(argv).shell], end="")
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """The words that the last one may become, on a line that begins with these; none where files are meant.

    words: of the line, without `foveate`; the last is what was typed so far, '' for nothing.
    """
    from foveate.cli import verbs
    from foveate.cli.early import recipe_fields
    from foveate.registry import entries

    *before, typed = words or [""]
    if not before:
        found = list(verbs())
    elif before[0] not in verbs():
        found = []
    elif before[-1] == "--model":
        found = list(entries("model"))
    elif (before[0], before[-1]) in (("datasets", "--to"), ("predict", "--format")):
        from foveate.cli.datasets import FORMATS

        found = list(FORMATS)
    elif typed.startswith("-"):
        source = (Path(__file__).parent / f"{before[0]}.py").read_text(encoding="utf-8")
        found = sorted(set(re.findall(r'"(--[a-z][\w-]*)"', source)) | {"--help"})
        found += [f"--{field}" for field in recipe_fields()] if before[0] in ("train", "sweep") else []
    elif before[0] == "datasets" and len(before) == 1:
        from foveate.cli.datasets import ACTIONS

        found = list(ACTIONS)
    elif before[0] in NAMES and len(before) == 1:
        found = list(entries(NAMES[before[0]]))
    else:
        found = []
    return [word for word in found if word.startswith(typed)]
