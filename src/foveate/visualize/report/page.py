"""The sections of a report, in their order, as one page."""

from __future__ import annotations

from pathlib import Path

from foveate.visualize.document import document, stylesheet, write_page
from foveate.visualize.report import sections
from foveate.visualize.report.learning import learning
from foveate.visualize.report.listing import listing, script, viewer
from foveate.visualize.report.record import Report


def write_report(report: Report, path: str | Path) -> Path:
    """Write the report as one self-contained HTML file and return its path.

    Raises OutputError if the file cannot be written; an older report then stays as it was.
    """
    return write_page(render(report), path)


def render(report: Report) -> str:
    """The report as HTML text."""
    found = (
        sections.training(report), learning(report), *report.part.sections, listing(report), sections.again(report)
    )  # fmt: skip
    parts = [part for part in found if part]
    body = (sections.opening(report, parts), sections.notes(report), [part.content for part in parts], viewer())
    style = stylesheet("report") + report.part.style
    return document(f"{report.title} – Foveate report", style, *body, sound=report.part.sound, script=script())
