"""The dashboard: what runs, what waits and why, for those whom GitHub lets see it.

It may read records and ask GitHub as the person who looks; it changes nothing but what an owner asks for.
"""

from github_app.dashboard.acting import Acts
from github_app.dashboard.application import SignInSettings, dashboard

__all__ = ["Acts", "SignInSettings", "dashboard"]
