"""GitHub, through githubkit: tokens, runners, and the table of its errors."""

from github_app.github.connection import Connection
from github_app.github.runners import Runners

__all__ = ["Connection", "Runners"]
