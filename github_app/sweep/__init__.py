"""The sweep: every minute, what GitHub and Modal say is compared with what we believe, and repaired.

It may touch everything that jobs and runners touch, and repairs by their own steps.
"""

from github_app.sweep.report import SweepReport
from github_app.sweep.sweep import Sweep

__all__ = ["Sweep", "SweepReport"]
