"""The page around the sections: one file, no script, nothing fetched, nothing unescaped."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from foveate.pictures import atomic_write
from foveate.visualize.markup import Markup, join, tag
from foveate.visualize.report import charts, examples, guesses, sections
from foveate.visualize.report.record import Report


def write_report(report: Report, path: str | Path) -> Path:
    """Write the report as one self-contained HTML file and return its path.

    Raises OutputError where the file cannot be written; an older report then stays as it was.
    """
    path = Path(path)
    page = render(report)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render(report: Report) -> str:
    """The report as HTML text."""
    parts = {
        "training": sections.training(report),
        "learning": charts.learning(report),
        "classes": charts.classes(report),
        "confusion": charts.confusion(report),
        "boundaries": charts.boundaries(report),
        "calibration": guesses.calibration(report),
        "looks": guesses.looks(report),
        "pictures": guesses.guesses(report) or examples.pictures(report),
        "again": sections.again(report),
    }
    there = [name for name, part in parts.items() if part]
    body = tag("main", sections.opening(report, there), sections.notes(report), parts.values())
    foot = tag("footer", tag("p", "Written by Foveate. This page loads nothing and sends nothing."))
    return "<!doctype html>\n" + tag("html", _head(report.title), tag("body", body, foot), lang="en") + "\n"


def _head(title: str) -> Markup:
    style = files("foveate.visualize.report").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{title} – Foveate report"),
        tag("link", rel="icon", href="data:,"),
        join(Markup("<style>"), Markup(style), Markup("</style>")),
    )
