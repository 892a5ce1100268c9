"""Why a job waits: the whole chain from its delivery to its runner, and the first link that is not as it should be."""

from github_app.operations.why.chain import Answer, Link, answer
from github_app.operations.why.facts import AtGitHub, Facts, gather

__all__ = ["Answer", "AtGitHub", "Facts", "Link", "answer", "gather"]
