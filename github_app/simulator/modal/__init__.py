"""A Modal on this machine for the real SDK; its sandboxes are local processes."""

from github_app.simulator.modal.limits import Limits
from github_app.simulator.modal.sandbox import RunnerImage, SandboxView
from github_app.simulator.modal.server import SimulatedModal

__all__ = ["Limits", "RunnerImage", "SandboxView", "SimulatedModal"]
