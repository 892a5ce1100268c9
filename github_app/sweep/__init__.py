"""The sweep: every minute, what GitHub and Modal say is compared with what we believe, and repaired."""

from github_app.sweep.report import SweepReport
from github_app.sweep.sweep import Sweep

__all__ = ["Sweep", "SweepReport"]
