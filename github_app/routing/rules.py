"""What decides about jobs, and the three things that it can say."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from github_app.model import Network, Shape
from github_app.routing.caches import Caches
from github_app.routing.network import OPEN
from github_app.routing.policy import Policy
from github_app.routing.profiles import Limits, Profile, Route

NOTHING_SAID = Profile()
_MODALS_OWN = Limits()


@dataclass(frozen=True)
class Ignore:
    """Not a job of ours: costs no store access and no call. `meant`: its labels look as if it was to be."""

    reason: str
    meant: bool = False


@dataclass(frozen=True)
class Refuse:
    """A job of ours that is not served. `sentence` tells its author what to change."""

    code: str
    sentence: str
    route: str | None = None


@dataclass(frozen=True)
class Admit:
    """A job of ours, the machine that it gets, by which route and profile, and which cache its label names."""

    shape: Shape
    route: str | None = None
    profile: str | None = None
    cache: str | None = None


@dataclass(frozen=True)
class Rules:
    """What decides: the settings and the administrator's file together. `networks` are complete, by name."""

    # The deployment's own, among others of one organisation.
    deployment: str = ""
    labels: tuple[str, ...] = ("modal",)
    policy: Policy = field(default_factory=Policy)
    defaults: Profile = NOTHING_SAID
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=lambda: {OPEN: Network()})
    images: frozenset[str] = frozenset()
    routes: tuple[Route, ...] = ()
    limits: Limits = _MODALS_OWN
    caches: Caches = field(default_factory=Caches)
    # Globs of labels that say nothing to us, whatever they read like; and those that alone may stand beside ours.
    passes: tuple[str, ...] = ()
    beside: tuple[str, ...] | None = None
