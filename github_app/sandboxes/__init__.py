"""Sandboxes on Modal: their image, their start script and hooks, their creation, their end.

It may touch Modal's Apps, Sandboxes, Images, Volumes and the names in Secrets, and knows neither store nor GitHub.
"""

from github_app.sandboxes.console import Console
from github_app.sandboxes.image import ImageRecipe, pin_builder, runner_image, unpin_builder
from github_app.sandboxes.modal_sandboxes import ModalSandboxes
from github_app.sandboxes.shell import RemoteShell

__all__ = ["Console", "ImageRecipe", "ModalSandboxes", "RemoteShell", "pin_builder", "runner_image", "unpin_builder"]
