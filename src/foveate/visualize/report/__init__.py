"""The report of a run: one HTML file that holds everything it shows.

write_report(Report(title="First run", ...), "runs/first/report.html")
"""

from __future__ import annotations

from foveate.visualize.report.page import write_report
from foveate.visualize.report.record import Canonical, ExampleFind, ExampleGuess, ExamplePicture, Report

__all__ = ["Canonical", "ExampleFind", "ExampleGuess", "ExamplePicture", "Report", "write_report"]
