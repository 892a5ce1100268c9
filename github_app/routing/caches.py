"""Which Modal Volume is a job's cache, and which jobs may have it. Pure.

As with GitHub's own caches, what one branch writes is not run by the default branch (docs: "Dependency caching
reference", restrictions for accessing a cache): its jobs have a volume of their own, those of all other branches, pull
requests and tags together another one.
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256

from github_app.model import JobEvent, MadeFor
from github_app.routing.globs import matches_exactly

# Of a Modal Volume.
_LONGEST_NAME = 64
# 128 bits: names of repositories and labels are chosen by strangers, who can try as many as they like.
_DIGITS = 32


@dataclass(frozen=True)
class Caches:
    """The administrator's rules. `branches` are globs of those that share the default branch's volume."""

    volume: str = "modal-runner-cache"
    shared: bool = False
    branches: tuple[str, ...] = ()

    def of(self, cache: str, event: JobEvent) -> tuple[str, MadeFor | None]:
        """The volume of a job's cache of this name, and for which jobs alone it is."""
        name = cache if cache == self.volume else f"{self.volume}-{cache}"
        if self.shared:
            return name, None
        repository = event.repository.lower()
        if event.default_branch is None:
            # Recorded by a version that did not ask, or not told: neither of the two may be taken for it.
            return _volume(name, cache, repository, "unknown"), MadeFor((repository,))
        trusted = (event.default_branch, *self.branches)
        of_pull_request = event.run is not None and event.run.event.startswith("pull_request")
        of_trusted = event.branch is not None and any(matches_exactly(event.branch, glob) for glob in trusted)
        if of_trusted and not of_pull_request:
            return _volume(name, cache, repository, "default"), MadeFor((repository,), only_branches=trusted)
        return _volume(name, cache, repository, "others"), MadeFor((repository,), not_branches=trusted)


def _volume(name: str, cache: str, repository: str, branches: str) -> str:
    """A name that can be read, and a hash of its parts: names that are joined or cut could be another's."""
    digest = sha256(json.dumps([name, cache, repository, branches]).encode()).hexdigest()[:_DIGITS]
    slug = re.sub(r"[^A-Za-z0-9._-]", ".", repository)
    return f"{f'{name}-{slug}'[: _LONGEST_NAME - _DIGITS - 1]}-{digest}"
