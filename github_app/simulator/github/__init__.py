"""A simulated GitHub: accounts, Apps, runners, runs and webhooks, over HTTP."""

from github_app.simulator.github.server import SimulatedGitHub

__all__ = ["SimulatedGitHub"]
