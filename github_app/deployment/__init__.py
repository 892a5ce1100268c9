"""The App itself on Modal: its Secret, functions and objects, how a deploy brings them up to date, and how they start.

It may touch Modal and the `modal` command; `rollout` also asks GitHub, by what `compose` builds.
"""

from github_app.deployment.functions import Functions
from github_app.deployment.removal import stop_app
from github_app.deployment.secret import SettingsSecret
from github_app.deployment.workspace import Workspace, look_up_workspace

__all__ = ["Functions", "SettingsSecret", "Workspace", "look_up_workspace", "stop_app"]
