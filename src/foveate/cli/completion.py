"""Print what makes a shell complete verbs, names and flags."""

from __future__ import annotations

import ast
import importlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from foveate.cli.flags import Parser
from foveate.errors import ConfigError
from foveate.registry import ROOT, Kind
from foveate.torchvision_networks import FAMILIES, SOURCE

BASH = """_foveate() {
    local IFS=$'\\n'
    COMPREPLY=($(foveate completion --words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == *[./] ]] && compopt -o nospace
}
complete -o default -o bashdefault -F _foveate foveate
"""
ZSH = """#compdef foveate
_foveate() {
    local -a found
    found=("${(@f)$(foveate completion --words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then
        compadd -S '' -- ${(M)found:#*[./]}
        compadd -- ${found:#*[./]}
    else
        _files
    fi
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
VALUES: dict[str, Kind] = {"--model": "model", "--task": "task", "--as": "dataset"}
RUNS = ("predict", "evaluate", "serve")  # verbs that take torchvision/NAME in place of a run


def run(argv: list[str]) -> int:
    """`foveate completion SHELL`; in ~/.bashrc: eval "$(foveate completion bash)"."""
    if argv[:1] == ["--words"]:
        try:
            print("\n".join(candidates(argv[1:])))
        except ConfigError:  # of a name or a field that is not there; the verb itself says so
            return 1
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

    *before, typed = words or [""]
    if not before:
        found = list(verbs())
    elif before[0] not in verbs():
        found = []
    elif typed.startswith("-"):
        found = _flags(before, typed)
    elif before[-1].startswith("--"):
        found = _values(before)
    else:
        found = _firsts(before, typed)
    return [word for word in found if word.startswith(typed)]


def _firsts(before: Sequence[str], typed: str) -> list[str]:
    """The names that a verb may be followed by."""
    from foveate.registry import entries

    verb = before[0]
    if len(before) > 1:
        return []
    if verb in NAMES:
        return list(entries(NAMES[verb]))
    if verb in RUNS and typed.startswith(SOURCE):
        return [f"{SOURCE}/{name}" for name in FAMILIES]
    return next((choices for name, choices in _arguments(verb) if not name.startswith("-") and choices), [])


def _flags(before: Sequence[str], typed: str) -> list[str]:
    """The flags of a verb, and with it the fields of a recipe or the options of families."""
    from foveate.cli.early import PARTS, recipe_fields
    from foveate.tasks.options import VERBS

    verb = before[0]
    found = sorted({name for name, _ in _arguments(verb, *before[1:2]) if name.startswith("--")} | {"--help"})
    if verb in ("train", "sweep"):
        nested = _nested(before) if typed.partition(".")[0].removeprefix("--") in PARTS and "." in typed else {}
        found += [f"--{field}" for field in recipe_fields()]
        found += [f"--{field}" for field in nested] if nested else [f"--{part}." for part in PARTS]
    elif verb in VERBS:
        found += sorted(set(_options(verb)) - set(found))
    return found


def _values(before: Sequence[str]) -> list[str]:
    """The values of the flag that a line ends with; none where it takes a file, a number or a text."""
    from foveate.registry import entries

    verb, flag = before[0], before[-1]
    if flag in VALUES:
        return list(entries(VALUES[flag]))
    if (verb, flag) in (("datasets", "--to"), ("predict", "--format")):
        from foveate.cli.datasets import FORMATS

        return list(FORMATS)
    own = dict(_arguments(verb))
    if flag in own or verb not in ("train", "sweep"):
        return own.get(flag, [])
    kind = (_nested(before) if "." in flag else _top_level()).get(flag.removeprefix("--"))
    return ["true", "false"] if kind is bool else list(get_args(kind)) if get_origin(kind) is Literal else []


def _top_level() -> Mapping[str, Any]:
    """Field of every recipe -> its type, where that is true or false, or one of some texts; read from the source."""
    from foveate.cli.early import RECIPE

    found: dict[str, Any] = {}
    for node in ast.parse(RECIPE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name in ("Recipe", "Optim"):
            prefix = "" if node.name == "Recipe" else "optim."
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    text = ast.unparse(line.annotation)
                    if text.startswith("Literal["):
                        found[prefix + line.target.id] = Literal[tuple(ast.literal_eval(text.removeprefix("Literal")))]
                    elif text == "bool":
                        found[prefix + line.target.id] = bool
    return found


def _nested(before: Sequence[str]) -> Mapping[str, Any]:
    """Field -> type, of the recipe that a line names; nothing where it names none. Imports torch."""
    from foveate.engine.fields import fields_of
    from foveate.recipes import resolve

    if len(before) < 2 or before[1].startswith("-"):
        return {}
    model = next((word for flag, word in itertools.pairwise(before) if flag == "--model"), None)
    return fields_of(resolve(before[1], None, model=model))


def _options(verb: str) -> Iterator[str]:
    """The options of all families, read from the source, since importing them takes seconds."""
    for path in (ROOT / "tasks").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not (isinstance(node, ast.ClassDef) and node.name.endswith("Options") and node.bases):
                continue
            for line in node.body:
                if not (isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Call)):
                    continue  # a fact about the class, as `stored`
                given = dict(zip(("default", "help", "metavar", "verbs"), line.value.args, strict=False))
                given |= {word.arg or "": word.value for word in line.value.keywords}
                of = ast.unparse(given["verbs"]).lower() if "verbs" in given else "predict, evaluate"
                if verb in of:
                    yield f"--{ast.unparse(line.target).replace('_', '-')}"


def _arguments(verb: str, action: str = "") -> Iterator[tuple[str, list[str]]]:
    """(flag or name, its choices) of the arguments that the file of a verb adds, itself or by a function of `flags`.

    action: of `foveate datasets`; flags that are only for others are left out.
    """
    module = importlib.import_module(f"foveate.cli.{verb}")
    used_by: Mapping[str, Sequence[str]] = getattr(module, "USED_BY", {})
    helpers = ast.parse((Path(__file__).parent / "flags.py").read_text(encoding="utf-8")).body
    by_name = {node.name: node for node in helpers if isinstance(node, ast.FunctionDef)}
    waiting: list[ast.AST] = [ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))]
    while waiting:
        for call in (node for node in ast.walk(waiting.pop()) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in by_name and call.func.id.startswith("add_"):
                waiting.append(by_name[call.func.id])
            if not (isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument" and call.args):
                continue
            name = ast.literal_eval(call.args[0])
            if action and action not in used_by.get(name, (action,)):
                continue
            choices = next((word.value for word in call.keywords if word.arg == "choices"), None)
            values = getattr(module, choices.id) if isinstance(choices, ast.Name) else ()
            values = ast.literal_eval(choices) if isinstance(choices, ast.Tuple) else values
            yield name, list(values)
