"""The report of a run: one HTML file that holds everything it shows.

`Report` is the frame that all families share; a family fills in its `ReportPart`, whose sections come from `section`.

write_report(Report(title="First run", ..., part=ReportPart(ReportText(...))), "runs/first/report.html")
"""

from __future__ import annotations

from foveate.visualize.report.page import write_report
from foveate.visualize.report.parts import section
from foveate.visualize.report.record import Picture, Report, ReportPart, ReportText, Section

__all__ = ["Picture", "Report", "ReportPart", "ReportText", "Section", "section", "write_report"]
