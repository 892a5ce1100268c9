"""`modal-runner doctor`: each line a check, with what mends it. It reads, and changes nothing."""

from github_app.operations.doctor.check import Check, Report
from github_app.operations.doctor.examination import examine

__all__ = ["Check", "Report", "examine"]
