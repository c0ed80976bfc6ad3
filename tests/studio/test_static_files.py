"""The files of the pages: short, without markup from script, without anything that their policy would refuse."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import foveate

STATIC = Path(foveate.__file__).parent / "studio" / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
FILES = sorted(path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg"))
FORBIDDEN = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "new Function", "srcdoc",
    "setAttribute(\"style\"", "http://", "https://",
)  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(STATIC))


def imports(path: Path) -> list[Path]:
    """The modules that a script imports; paths in comments of types count too."""
    named = re.findall(r"""(?:from |import\()["'](\.[^"']+)["']""", path.read_text(encoding="utf-8"))
    return [(path.parent / one).resolve() for one in named]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_scripts_write_no_markup_and_ask_no_other_host(path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert [word for word in FORBIDDEN if word in text] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_imports_are_there(path):
    assert [one for one in imports(path) if not one.is_file()] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_the_label_map_knows_no_page(path):
    """labels/ is pure: neither elements nor requests, and nothing from the folders above it."""
    if path.parent.name != "labels":
        return
    assert [one for one in imports(path) if one.parent.name != "labels"] == []
    text = re.sub(r"//.*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    assert not re.search(r"\b(window|fetch|getElementById|createElement)\b", text)


class Tags(HTMLParser):
    """Collects what a strict policy refuses, and the files that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.files: list[str] = []
        self.script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.refused += [f"{tag} {key}" for key in given if key == "style" or key.startswith("on")]
        self.refused += [tag] * (tag == "style" or (tag == "script" and "src" not in given))
        self.files += [
            value for key, value in attrs if key in ("src", "href") and value and value.startswith("/static/")
        ]


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.html")), ids=name)
def test_pages_hold_neither_scripts_nor_styles(path):
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    assert tags.refused == []
    named = [file.removeprefix("/static/") for file in tags.files]
    assert "tokens.css" in named
    assert [file for file in named if file != "tokens.css" and not (STATIC / file).is_file()] == []


def test_icons_that_scripts_name_are_drawn():
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text(encoding="utf-8")))
    text = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    assert set(re.findall(r'(?:icon|iconButton)\("([a-z]+)"', text)) <= drawn
    assert {"polygon", "brush", "erase", "fill", "cut", "select"} <= drawn


def test_colours_of_the_pages_are_those_of_the_report():
    tokens = (STATIC.parents[1] / "visualize" / "tokens.css").read_text(encoding="utf-8")
    known = set(re.findall(r"(--[a-z-]+):", tokens + (STATIC / "studio.css").read_text(encoding="utf-8")))
    for path in STATIC.glob("*.css"):
        assert set(re.findall(r"var\((--[a-z-]+)", path.read_text(encoding="utf-8"))) <= known, path.name
