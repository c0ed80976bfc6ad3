"""Pictures and pages from predictions: overlays, contact sheets, error maps, curves, the HTML report."""

from __future__ import annotations

from foveate.visualize.overlay import error_map, index_png, overlay
from foveate.visualize.report import ExamplePicture, Report, write_report
from foveate.visualize.sheets import contact_sheet, with_legend

__all__ = [
    "ExamplePicture",
    "Report",
    "contact_sheet",
    "error_map",
    "index_png",
    "overlay",
    "with_legend",
    "write_report",
]
