"""The sections of a report, in their order, as one page."""

from __future__ import annotations

from pathlib import Path

from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.report import captions, charts, examples, guesses, sections
from foveate.visualize.report.record import Report


def write_report(report: Report, path: str | Path) -> Path:
    """Write the report as one self-contained HTML file and return its path.

    Raises OutputError where the file cannot be written; an older report then stays as it was.
    """
    return write_page(render(report), path)


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
        "attention": captions.attention(report),
        "pictures": (
            captions.captions(report) or guesses.guesses(report) or guesses.finds(report) or examples.pictures(report)
        ),
        "again": sections.again(report),
    }
    there = [name for name, part in parts.items() if part]
    body = (sections.opening(report, there), sections.notes(report), parts.values())
    style = stylesheet("report") + captions.style(report)
    return document(f"{report.title} – Foveate report", style, *body)
