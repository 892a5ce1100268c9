"""What stands on Modal of the App itself, seen from the operator's machine: its Secret, its functions, its objects."""

from github_app.deployment.functions import Functions
from github_app.deployment.removal import stop_app
from github_app.deployment.secret import SettingsSecret
from github_app.deployment.workspace import Workspace, look_up_workspace

__all__ = ["Functions", "SettingsSecret", "Workspace", "look_up_workspace", "stop_app"]
