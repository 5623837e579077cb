"""`harness report`: everything that the records say, as one page that works from a disk.

`write_report` makes the file from records; `report_html` is the pure part, from boards and verdicts to text.
"""

from __future__ import annotations

from harness.report.files import write_report
from harness.report.pages import report_html
from harness.report.rules import explanations_in

__all__ = ["explanations_in", "report_html", "write_report"]
