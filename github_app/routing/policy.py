"""Which repositories, and whose code, may use the runners. Pure; the same is checked again inside the sandbox.

A public repository is served only when it is named in full: anyone can open a pull request there and run code (docs:
"Secure use reference", self-hosted runners). The code of a fork is served only where a route says so.
"""

import re
from dataclasses import dataclass

from github_app.routing.globs import matches

# To the author of a workflow; `{repository}` is the name of his repository.
NOT_NAMED = "The repository {repository} may not use these runners; ALLOWED_REPOS does not name it."
PUBLIC = (
    "The repository {repository} is public; a public repository uses these runners only when ALLOWED_REPOS or a route "
    "names it in full."
)
UNKNOWN = (
    "This job's event does not say whether the repository {repository} is public, and this runner was made for "
    "another; run it again, or have ALLOWED_REPOS name the repository in full."
)
UNSEEN_SECRETS = (
    "This sandbox was made for another job, and which of its variables are secret cannot be told; run this job again."
)
# What may stand in a pattern: a name's characters and the three wildcards that a shell's `case` knows too.
PATTERN = re.compile(r"[A-Za-z0-9._*?\[\]-]+/[A-Za-z0-9._*?\[\]-]+")
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Policy:
    """`allowed` are globs over `owner/repo`, without regard to case; none allows all private repositories.

    `named` are full names beyond these: repositories that a route names.
    """

    allowed: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        """Every glob and name, in lower case."""
        return tuple(pattern.lower() for pattern in (*(self.allowed or ("*/*",)), *self.named))

    def refusal(self, repository: str, *, private: bool) -> str | None:
        """Return a sentence for the workflow's author, or None when the repository may use the runners."""
        name = repository.lower()
        if name in self.patterns:
            return None
        if not any(matches(name, pattern) for pattern in self.patterns):
            return NOT_NAMED.format(repository=repository)
        return None if private else PUBLIC.format(repository=repository)


FORK_REFUSED = (
    "The code of this pull request comes from a fork; forks use these runners only where a route says forks = true."
)


def is_full_name(pattern: str) -> bool:
    """Tell a repository's full name from a glob."""
    return not _WILD.search(pattern)
