"""A job as a person names it on the command line: by its id, or by the address of its page at GitHub; or a runner."""

import re

from github_app.errors import InputError
from github_app.model import RUNNER_NAME

_PAGE = re.compile(r"https?://[^/]+/([^/]+/[^/]+)/actions/runs/\d+/job/(\d+)([?#].*)?")


def job_page(text: str) -> bool:
    """Tell whether a text is the address of a job's page."""
    return _PAGE.fullmatch(text) is not None


def job_id_of(text: str) -> int:
    """Read a job's id, or the address of its page.

    Raises:
        InputError: it is neither.
    """
    page = _PAGE.fullmatch(text)
    digits = page[2] if page else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise InputError(
            f"{text!r}: give a job's id, or its page: https://github.com/OWNER/REPO/actions/runs/RUN/job/JOB"
        )
    return int(digits)


def job_or_runner(text: str) -> str:
    """Read a job's id or the address of its page, as the id's digits, or a runner's name.

    Raises:
        InputError: it is none of them.
    """
    if job_page(text):
        return str(job_id_of(text))
    if not text.isascii() or not (text.isdigit() or RUNNER_NAME.fullmatch(text)):
        raise InputError(f"{text!r}: give a job's id or page, or a runner's name like modal-41230001-1")
    return text


def repository_of(text: str) -> str | None:
    """The repository that an address of a job's page names."""
    page = _PAGE.fullmatch(text)
    return page[1] if page else None
