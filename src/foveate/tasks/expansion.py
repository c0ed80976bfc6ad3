"""Files that a text means as input: a file itself, the files of a folder, the matches of a glob, those at a URL."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.disk import is_hidden
from foveate.errors import DataError, counted
from foveate.remote import RemoteFile, as_path, find_files, is_url, is_web

if TYPE_CHECKING:
    from foveate.tasks.inputs import Input

SUMMARY = "predictions.json"  # the record of a call's results, in their folder


def expand(text: str, kind: Input, out: Path | None = None) -> Sequence[tuple[Path | RemoteFile, Path]]:
    """(file, its path relative to the input) of every file that an input means, sorted.

    out: the folder of the results, which are no inputs. Raises DataError for none, and for what does not exist.
    """
    if is_url(text):
        return find_files(text, kind.suffixes, kind.nouns)
    text = as_path(text)
    path = Path(text).expanduser()
    if path.is_file():
        return [(path, Path(path.name))]
    if path.is_dir() and kind.is_whole(path):
        return [(path, Path(path.resolve().name))]
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if _is_input(p, kind)]
        found = [p for p in files if not any(is_hidden(part) for part in p.relative_to(path).parts)]
        # Results are no inputs: neither of this call nor, in a folder inside, of an earlier one.
        earlier = {p.parent for p in path.rglob(SUMMARY) if p.parent != path}
        if out is not None and (ours := out.resolve()) != path.resolve():
            found = [p for p in found if ours not in p.resolve().parents]
        found = [p for p in found if earlier.isdisjoint(p.parents)]
        if not found:
            raise DataError(f"no {kind.nouns} in {path}; expected files ending in {', '.join(sorted(kind.suffixes))}")
        return [(p, p.relative_to(path)) for p in found]
    if glob.has_magic(text):
        matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - '**' and absolute patterns
        found = [p for p in matches if _is_input(p, kind)]
        if not found:
            others = (
                f"; {counted(len(matches), 'other file or folder', 'other files or folders')} found"
                if matches
                else ", and no other file does"
            )
            raise DataError(f"no {kind.noun} matches {text}{others}; check the folder and the pattern")
        root = Path(os.path.commonpath([p.parent for p in found]))
        return [(p, p.relative_to(root)) for p in found]
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"the nearest is {path.parent / near[0]}" if near else f"give a {kind.noun}, a folder or a glob"
    raise DataError(f"{path} does not exist; {hint}")


def several(given: Any, inputs: Sequence[Input]) -> Any:
    """Inputs for `Predictor.predict_many`: the files of a path or a glob, as `expand` finds them, else as given.

    inputs: the family's. Raises DataError as `expand` does, and for a value that is one input rather than several.
    """
    if isinstance(given, (str, Path)) and len(inputs) == 1 and inputs[0].suffixes:
        text = str(given)
        if is_web(text):
            return [text]
        return [str(file) if isinstance(file, RemoteFile) else file for file, _ in expand(text, inputs[0])]
    if isinstance(given, (str, Path, bytes, dict)):
        raise DataError(
            f"a {'text' if isinstance(given, str) else type(given).__name__} came for several inputs; predict_many "
            "takes a list of them, and predict takes one"
        )
    # The rows of an array of one picture, or the samples of a sound, would be read as inputs of their own.
    axes = getattr(given, "shape", (0,) * 4)
    if len(axes) < 4 or not isinstance(given, Iterable):
        came = f"an array of shape {tuple(axes)}" if len(axes) < 4 else f"one {type(given).__name__}"
        raise DataError(f"{came} came for several inputs; predict_many takes a list of them, and predict takes one")
    return given


def held(given: Any, kind: Input) -> tuple[Any, str]:
    """(the content of the file that a URL names, the URL); of anything else, and of file:// as a path, (itself, '').

    https is bounded (`pictures.urls`). Raises DataError for what cannot be read.
    """
    if not kind.suffixes or not isinstance(given, str):
        return given, ""
    if not is_url(given):
        return as_path(given), ""
    from foveate.pictures import urls  # with torch, which most calls of this module do without

    return (urls.fetch(given)[0] if is_web(given) else RemoteFile(given).read()), given


def require_one(given: Any, kind: Input) -> None:
    """Raise DataError for a path of a folder or a glob, of which `Predictor.predict_many` takes the files."""
    if not kind.suffixes or not isinstance(given, (str, Path)) or is_url(str(given)):
        return
    path = Path(as_path(str(given)))
    if path.is_dir() and not kind.is_whole(path):
        raise DataError(f"{given} is a folder; predict takes one {kind.noun}, and predict_many those of a folder")
    if glob.has_magic(str(given)) and not path.exists():
        raise DataError(
            f"{given} is no file; predict takes one {kind.noun}, and predict_many those that match a pattern"
        )


def _is_input(path: Path, kind: Input) -> bool:
    """True for a file of this kind, or a folder that is one input."""
    return (path.suffix.lower() in kind.suffixes and path.is_file()) or (path.is_dir() and kind.is_whole(path))
