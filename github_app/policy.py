"""Which repositories may use the runners. Pure; the same patterns are checked again inside the sandbox.

Once ALLOWED_REPOS is set, a public repository is served only when it is named in full: anyone can open a pull request
there and run code (docs: "Secure use reference", self-hosted runners).
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

# What may stand in a pattern: a name's characters and the three wildcards that a shell's `case` knows too.
PATTERN = re.compile(r"[A-Za-z0-9._*?\[\]-]+/[A-Za-z0-9._*?\[\]-]+")


@dataclass(frozen=True)
class Policy:
    """`allowed` are globs over `owner/repo`, without regard to case; none allows what the runner group admits."""

    allowed: tuple[str, ...] = ()

    def refusal(self, repository: str, *, private: bool) -> str | None:
        """Return a sentence for the workflow's author, or None when the repository may use the runners."""
        name = repository.lower()
        if not self.allowed or name in {pattern.lower() for pattern in self.allowed}:
            return None
        if not any(fnmatchcase(name, pattern.lower()) for pattern in self.allowed):
            return f"The repository {repository} may not use these runners; ALLOWED_REPOS does not name it."
        if not private:
            return (
                f"The repository {repository} is public; a public repository uses these runners only when "
                "ALLOWED_REPOS names it in full."
            )
        return None
