"""Write the pages that are made from data: docs/{lecture,results,claims,catalogue}.md, two tables of README.md, and
the lists of departures on the models' pages.

python docs/generate.py            write them
python docs/generate.py --check    only say which of them are out of date (exit code 1 if any is)

The data: docs/lecture.toml, results/*.json (see docs/record_result.py), results/claims/*.json (docs/record_claims.py),
the source tree and its registry. Every measured figure on these pages comes from a file in results/; none is typed by
hand.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from claims_page import claims_page
from departures import MARK, filled, model_files
from family_tables import headline_of
from markdown_tables import between, grouped, number, table
from photographs import photographs_section, read_photographs
from result_tables import NOTICE, Result, data_of, readme_results, results_page

from foveate.registry import Entry, Kind, create_recipe, entries, find

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("src/foveate")
NOT_BUILT, NOT_MEASURED = "not built yet", "not measured yet"

LISTED = 4  # recipes of one factory that are named; of more, the first and how many
Row = Mapping[str, Any]


def main(argv: Sequence[str]) -> int:
    """Write or check all pages."""
    pages = build(ROOT)
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date; run: python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def build(root: Path) -> dict[Path, str]:
    """Every generated file -> its whole text."""
    lecture = tomllib.loads((root / "docs/lecture.toml").read_text(encoding="utf-8"))
    results = read_results(root / "results")
    recipes = {name: create_recipe(name) for name, _ in sorted_entries("recipe")}
    readme = root / "README.md"
    lists = model_files(root)
    pages = {path: path.read_text(encoding="utf-8") for path in sorted((root / "docs").glob("*.md"))}
    text = between(readme.read_text(encoding="utf-8"), "systems", systems_table(root, lecture["row"]))
    return {
        root / "docs/lecture.md": lecture_page(root, lecture, recipes, results),
        root / "docs/results.md": results_page(results, photographs_section(read_photographs())),
        root / "docs/claims.md": claims_page(root, lecture["row"], results),
        root / "docs/catalogue.md": catalogue_page(recipes),
        readme: between(text, "results", readme_results(results)),
    } | {path: filled(text, lists) for path, text in pages.items() if MARK.search(text)}


def read_results(folder: Path) -> dict[str, Result]:
    """File stem -> what was recorded, in alphabetical order."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    for path in sorted((folder / "refinement").glob("*.json")):
        if path.stem in found:
            found[path.stem]["refinement"] = json.loads(path.read_text(encoding="utf-8"))
    return found


# The lecture


def lecture_page(
    root: Path, lecture: Mapping[str, Any], recipes: Mapping[str, Any], results: Mapping[str, Result]
) -> str:
    """The map from the lecture's sections to what is built and measured, and where its text departs from the papers."""
    parts = [
        NOTICE,
        "# The lecture, section by section\n",
        'CS231n (Winter 2016), lecture 13, "Segmentation and Attention", is the plan of this project: every system in '
        "it is to live here. This page says where each one stands, which recipes train it, and what these reached. "
        "Scores are read from the recorded [results](results.md), where each has its command.\n",
    ]
    for part, rows in grouped(lecture["row"]).items():
        lines = [_lecture_row(root, row, recipes, results) for row in rows]
        parts.append(f"## {part}\n\n" + table(("In the lecture", "System", "Where", "Recipes, use", "Measured"), lines))
    parts.append(
        "## Where the lecture departs from the papers\n\n"
        "The lecture is a talk; the papers are what this project implements. Where the two part, the papers win, and "
        "it is written down here.\n"
    )
    for heading, group in grouped(lecture["departure"], "heading").items():
        parts.append(f"### {heading}\n")
        for d in group:
            parts.append(f"- **Said:** {d['lecture']}\n\n    **Published:** {d['papers']}\n\n    *{d['source']}*\n")
    return "\n".join(parts)


def _lecture_row(root: Path, row: Row, recipes: Mapping[str, Any], results: Mapping[str, Result]) -> tuple[str, ...]:
    about = (row["heading"], f"{row['system']}<br>{row['paper']}")
    where = SOURCE / row["file"]
    if not is_built(root, row):
        return (*about, f"`{row['file']}`", NOT_BUILT, NOT_BUILT)
    own = [name for name, recipe in recipes.items() if recipe.model in models_of(row)]
    used = row.get("use") or "<br>".join(_by_factory(own)) or "no recipe yet"
    groups = [(name, group) for name in own for group in same_but_seed(results, name)]
    scores = [f"`{name}`: {_headline(group)}" for name, group in groups]
    measured = "<br>".join(scores) or (NOT_MEASURED if own else "no score of its own")
    return (*about, f"[`{row['file']}`](../{where.as_posix()})", used, measured)


def _by_factory(names: Sequence[str]) -> list[str]:
    """Recipe names, those that one function makes in one word where they are many."""
    makers: dict[tuple[str, str], list[str]] = {}
    for name in names:
        entry = find("recipe", name)
        makers.setdefault((entry.module, entry.attribute), []).append(name)
    said = []
    for group in makers.values():
        few = len(group) <= LISTED
        said += [f"`{name}`" for name in group] if few else [f"`{group[0]}` and {len(group) - 1} like it"]
    return said


def is_built(root: Path, row: Row) -> bool:
    """Whether the row's file is in the tree and, for models, whether the registry knows the names it stands for."""
    if not (root / SOURCE / row["file"]).is_file():
        return False
    return not row["file"].startswith("models/") or (bool(models_of(row)) and models_of(row) <= set(entries("model")))


def models_of(row: Row) -> set[str]:
    """The registered models that a row means."""
    module = "foveate." + row["file"].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return set(row.get("models", ())) or {name for name, entry in entries("model").items() if entry.module == module}


def same_but_seed(results: Mapping[str, Result], recipe: str) -> list[list[Result]]:
    """Results of a recipe as it stands, in groups that differ in nothing but the seed; the recipe's own file first."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in sorted(results.values(), key=lambda result: result["seed"]):
        if result["recipe"] == recipe and (data := data_of(result["command"], recipe)) is not None:
            groups.setdefault((data, result["split"]), []).append(result)
    return list(groups.values())


def _headline(group: Sequence[Result]) -> str:
    """The first score of results that differ in the seed: the mean, and where there are several, their range."""
    scores = [result["scores"] for result in group]
    key, words, digits = headline_of(scores[0])
    values = [one[key] for one in scores if one.get(key) is not None]
    if not values:
        return f"– {words} on {group[0]['split']}"
    low, high = number(min(values), digits), number(max(values), digits)
    spread = f" ({low} to {high}, {len(values)} seeds)" if len(values) > 1 else ""
    return f"{number(fmean(values), digits)} {words}{spread} on {group[0]['split']}"


def systems_table(root: Path, rows: Sequence[Row]) -> str:
    """The README's table: what is here, a line a part of the lecture."""
    lines = []
    for part, group in grouped(rows).items():
        lines.append((part, " · ".join(row["system"] for row in group if is_built(root, row))))
    return table(("In the lecture", "Here"), lines)


# The catalogue


def catalogue_page(recipes: Mapping[str, Any]) -> str:
    """The lists of `foveate models`, `foveate recipes` and `foveate datasets`."""
    models = [(f"`{n}`", _first_line(e), f'`foveate.create("{n}")`') for n, e in sorted_entries("model")]
    trained = [
        (f"`{n}`", f"`{recipes[n].model}`", e.summary.rstrip("."),
         f"`foveate train {n}{'' if _brings_data(recipes[n]) else ' --data PATH'}`")
        for n, e in sorted_entries("recipe")
    ]  # fmt: skip
    formats = [(f"`{n}`", e.summary.rstrip(".")) for n, e in sorted_entries("dataset")]
    return "\n".join([
        NOTICE, "# Catalogue\n",
        "The lists of `foveate models`, `foveate recipes` and `foveate datasets`.\n",
        "## Models\n", table(("Name", "What it is", "In Python"), models),
        "## Recipes\n", table(("Name", "Model", "What it is", "Command"), trained),
        "## Data formats\n", table(("Name", "What it is"), formats),
        "What lies in files is recognised by itself: see [your data](data.md).\n",
    ])  # fmt: skip


def _brings_data(recipe: Any) -> bool:
    """True if it needs no --data. Data that is generated from files (distorted digits) does."""
    return recipe.data is not None and recipe.data.made_from(Path()) is None


def sorted_entries(kind: Kind) -> list[tuple[str, Entry]]:
    """Names of a kind in an order that counts: fcn8s before fcn16s."""
    return sorted(
        entries(kind).items(), key=lambda pair: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", pair[0])]
    )


def _first_line(entry: Entry) -> str:
    """The first line of a model's file."""
    path = ROOT / "src" / (entry.module.replace(".", "/") + ".py")
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
