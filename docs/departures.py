"""Lists of departures, what each model's file says of itself, and the BibTeX entry of its paper, on the model's page.

A page has `<!-- departures: NAME -->` and `<!-- /departures: NAME -->`; NAME is the model's file, without `.py`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from foveate.models.citations import PAPERS, bibtex

MODELS = Path("src/foveate/models")
MARK = re.compile(r"<!-- departures: (\w+) -->.*?<!-- /departures: \1 -->", re.DOTALL)


def model_files(root: Path) -> dict[str, Path]:
    """Every file that has a model -> its path, by its name without .py, or that of its folder."""
    folder = root / MODELS
    files = {path.stem: path for path in sorted(folder.glob("*/*.py"))}
    files |= {path.parent.name: path for path in sorted(folder.glob("*/*/__init__.py"))}  # of several files
    return {name: path for name, path in files.items() if "\n@model(" in path.read_text(encoding="utf-8")}


def departures(path: Path) -> str:
    """The list of departures in a model's docstring, as Markdown: its heading, its items, further lists with theirs.

    It begins with the paragraph that starts with "Departures from", and ends where a paragraph is neither a list nor
    ends in a colon. Raises ValueError if there is none, or it has no item.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraphs = docstring.split("\n\n")
    begin = next((i for i, text in enumerate(paragraphs) if text.startswith("Departures from")), len(paragraphs))
    parts = []
    for text in paragraphs[begin:]:
        if not (text.startswith("- ") or text.endswith(":")):
            break
        parts.append(re.sub(r"\n(?!- )\s*", " ", text))
    if not any(part.startswith("- ") for part in parts):
        raise ValueError(f"{path}: no list that begins with 'Departures from'; every model says where it departs")
    return "\n\n".join(parts)


def citation(path: Path) -> str:
    """The BibTeX entry of the paper of a model's file. Raises ValueError if it has none."""
    names = re.findall(r'^@model\("([\w{}]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    patterns = [re.sub(r"\{\w+\}", r"\\d+", name) for name in names]
    model = next((one for one in PAPERS if any(re.fullmatch(pattern, one) for pattern in patterns)), None)
    if model is None:
        raise ValueError(f"{path}: no paper of {' or '.join(names)} in models/citations.py; every model cites its own")
    return f"```bibtex\n{bibtex(model)}\n```"


def filled(text: str, files: dict[str, Path]) -> str:
    """A page with its lists. Raises ValueError for a name that is no model's file."""

    def content(match: re.Match[str]) -> str:
        name = match[1]
        if name not in files:
            raise ValueError(f"departures of '{name}': no such file of a model; there are {', '.join(files)}")
        lists, entry = departures(files[name]), citation(files[name])
        return f"<!-- departures: {name} -->\n\n{lists}\n\nTo cite it:\n\n{entry}\n\n<!-- /departures: {name} -->"

    return MARK.sub(content, text)
