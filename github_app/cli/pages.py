"""A job as a person names it on the command line: by its id, or by the address of its page at GitHub."""

import re

from github_app.errors import InputError

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


def repository_of(text: str) -> str | None:
    """The repository that an address of a job's page names."""
    page = _PAGE.fullmatch(text)
    return page[1] if page else None
