"""GitHub: tokens, runners, jobs, the App itself, its manifest and webhook, what its payloads say, and its errors.

It may touch GitHub, through githubkit, and knows neither store nor sandboxes.
"""

from github_app.github.app import AppOnGitHub, FailedDelivery, Installation
from github_app.github.checks import Checks
from github_app.github.connection import Connection
from github_app.github.groups import RunnerGroup, RunnerGroups, barriers
from github_app.github.hook_config import AppRecord, AppWebhook, Delivery
from github_app.github.jobs import Jobs
from github_app.github.registration import NewApp, convert, newest_public_release
from github_app.github.runners import Runners

__all__ = [
    "AppOnGitHub",
    "AppRecord",
    "AppWebhook",
    "Checks",
    "Connection",
    "Delivery",
    "FailedDelivery",
    "Installation",
    "Jobs",
    "NewApp",
    "RunnerGroup",
    "RunnerGroups",
    "Runners",
    "barriers",
    "convert",
    "newest_public_release",
]
