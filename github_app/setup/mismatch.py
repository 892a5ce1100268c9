"""What an earlier run has stored, against what this run is asked for: a deployment has one App, of one account."""

from github_app.errors import SetupError
from github_app.github import AppRecord


def check_host(stored: str | None, asked: str | None, secret: str) -> None:
    """See that the stored App is on the GitHub that is asked for; None is github.com, or nothing asked.

    Raises:
        SetupError: it is on another.
    """
    if asked is not None and asked != stored:
        raise SetupError(
            f"The Secret {secret} holds an App on {stored or 'github.com'}. {_another(asked, 'other-host')}"
        )


def check_owner(app: AppRecord, asked: str | None, secret: str) -> None:
    """See that the App belongs to the organisation asked for; None is one's own account.

    Raises:
        SetupError: it belongs to another.
    """
    holds = f"The Secret {secret} holds the App {app.name} of {app.owner.login}. "
    if asked is None and app.owner.type == "Organization":
        raise SetupError(holds + _another("your own account", "own"))
    if asked is not None and app.owner.login.lower() != asked.lower():
        raise SetupError(holds + _another(asked, asked.lower()))


def _another(what: str, name: str) -> str:
    # A name of Modal's, with what we put behind it, has an end.
    name = f"modal-runner-{name}"[:40].rstrip("-")
    return f"For {what}, give the deployment another name: MODAL_APP_NAME={name} modal-runner setup ..."
