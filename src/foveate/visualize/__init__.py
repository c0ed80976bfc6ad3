"""Drawing primitives: overlays, contact sheets, error maps, curves, and the frame of the HTML report.

What a family draws with them is in its folder of `foveate.tasks`.
"""

from __future__ import annotations

from foveate.visualize.overlay import error_map, index_png, overlay
from foveate.visualize.report import Report, ReportPart, ReportText, Section, write_report
from foveate.visualize.sheets import contact_sheet, with_legend

__all__ = [
    "Report",
    "ReportPart",
    "ReportText",
    "Section",
    "contact_sheet",
    "error_map",
    "index_png",
    "overlay",
    "with_legend",
    "write_report",
]
