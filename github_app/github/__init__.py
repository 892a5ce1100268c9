"""GitHub, through githubkit: tokens, runners, jobs, the App's own deliveries, and the table of its errors."""

from github_app.github.app import AppOnGitHub, FailedDelivery, Installation
from github_app.github.checks import Checks
from github_app.github.connection import Connection
from github_app.github.jobs import Jobs
from github_app.github.runners import Runners

__all__ = ["AppOnGitHub", "Checks", "Connection", "FailedDelivery", "Installation", "Jobs", "Runners"]
