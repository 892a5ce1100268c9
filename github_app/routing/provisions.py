"""What a sandbox is given beside its machine, and what that rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from github_app.model import Shape
from github_app.routing.profiles import Profile
from github_app.routing.rules import NOTHING_SAID, Rules


@dataclass(frozen=True)
class Provisions:
    """What a sandbox is given beside its machine.

    `own` names the variables that are not for everyone, `secret` those of them that are marked as secret.
    `kept_back`: the profile has secrets that are not given, for they rest on nothing.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    kept_back: str | None = None


def given(shape: Shape, rules: Rules) -> Provisions:
    """What a sandbox of a profile is given, the defaults included."""
    named = rules.profiles.get(shape.profile or "", NOTHING_SAID)
    common = rules.defaults.env
    if shape.bare:
        return Provisions({**common, **named.env}, rules.defaults.secrets, tuple(named.env), kept_back=shape.profile)
    own = {**named.env, **named.secret_env}
    return Provisions({**common, **own}, (*rules.defaults.secrets, *named.secrets), tuple(own), tuple(named.secret_env))


def has_boundary(profile: Profile, defaults: Profile, *, in_repository: bool = False) -> bool:
    """Tell whether something else than labels keeps the jobs of other repositories from a profile's runners.

    `in_repository`: the runners are registered for one repository, as on a personal account.
    """
    grouped = profile.runner_group or defaults.runner_group
    return bool(grouped or profile.trust == "labels" or in_repository)
