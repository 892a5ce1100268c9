"""Sandboxes on Modal: their image, their start script, their creation."""

from github_app.sandboxes.image import ImageRecipe, pin_builder, runner_image, unpin_builder
from github_app.sandboxes.modal_sandboxes import ModalSandboxes

__all__ = ["ImageRecipe", "ModalSandboxes", "pin_builder", "runner_image", "unpin_builder"]
