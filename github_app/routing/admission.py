"""What the job-started hook decides by, once a job is inside a sandbox. Pure.

Any job that the runner group admits can take a runner, whatever was decided about the job that it was started for. So
the same rules are applied there again, to what GitHub tells a job of itself: its repository, event, branch, workflow
and whose code it is. Labels are not among that. A job has none that its runner has not; so a route that asks for
others is none for this sandbox. Of one whose labels the runner has nobody knows whether the job has them too. In the
repository for which the sandbox was made a job is taken to ask for what that job asked for, which was admitted; for any
other such a route refuses, if it refuses, and does not admit.
"""

import json
from collections.abc import Sequence

from pydantic import SecretStr

from github_app.model import MadeFor, SandboxSpec, Shape
from github_app.routing import labels
from github_app.routing.catalog import gpu_key
from github_app.routing.globs import as_regex, matches
from github_app.routing.labels import Wanted
from github_app.routing.policy import FORK_REFUSED, NOT_NAMED, PUBLIC, UNKNOWN, UNSEEN_SECRETS, is_full_name
from github_app.routing.profiles import Route, workflow_file
from github_app.routing.route import asked_for
from github_app.routing.rules import Rules

# Of a variable in a Modal Secret, which is what a sandbox's environment is made of (modal.com/docs/guide/secrets).
LONGEST = 32_768
# Variables that stay in the environment, as patterns of a shell: the runner itself goes by them, or GITHUB_ENV does not
# take them (actions/runner, FileCommandManager.cs).
KEPT = (
    *("PATH", "HOME", "LD_*", "NODE_OPTIONS", "*_NUM_THREADS", "*_proxy", "*_PROXY", "SSL_CERT_*"),
    *("NODE_EXTRA_CA_CERTS", "ACTIONS_RUNNER_*", "GITHUB_ACTIONS_RUNNER_*", "RUNNER_HOME", "RUNNER_ALLOW_RUNASROOT"),
    *("RUNNER_MANUALLY_TRAP_SIG", "RUNNER_TOOL_CACHE"),
)


def hook_rules(spec: SandboxSpec, rules: Rules, *, can_withhold: bool = True) -> str:
    """The rules for one sandbox, as JSON for admission.jq.

    `can_withhold`: which variables are another job's to have is known; else a foreign job is refused.
    """
    shape, patterns = spec.shape, rules.policy.patterns
    told = {
        "named": [pattern for pattern in patterns if is_full_name(pattern)],
        "admitted": [as_regex(pattern) for pattern in patterns if not is_full_name(pattern)],
        "own": spec.repository.lower(),
        # GitHub's own word of the repository that it was made for; some events do not tell.
        "private": [*([spec.repository.lower()] if spec.private else []), *map(str.lower, spec.known_private)],
        "forks": [as_regex(glob) for glob in shape.forks],
        "made_for": None if shape.made_for is None else _made_for(shape.made_for),
        "routes": _routes(spec, rules),
        "can_withhold": can_withhold,
        "sentences": {
            "named": NOT_NAMED,
            "public": PUBLIC,
            "unknown": UNKNOWN,
            "fork": FORK_REFUSED,
            "withhold": UNSEEN_SECRETS,
        },
    }
    return json.dumps(told, separators=(",", ":"))


def hidden_refusal(shape: Shape, wanted: Sequence[str], admitting: str | None, rules: Rules) -> str | None:
    """The route that refuses a job inside a sandbox which was made for no repository, though another admits it before.

    Whether a job has the labels by which that other one goes is not to be seen there.
    """
    names = [route.name for route in rules.routes]
    if admitting is None or not rules.routes[names.index(admitting)].labels:
        return None
    spec = SandboxSpec("", shape, {}, SecretStr(""), labels=tuple(wanted))
    after = rules.routes[names.index(admitting) + 1 :]
    return next((each.name for each in after if each.refuse is not None and _meant(each, spec, rules)[1]), None)


def _made_for(made_for: MadeFor) -> dict[str, object]:
    own = _conditions(made_for.repositories, made_for.branch, made_for.workflow, made_for.events)
    return {
        **own,
        "only": [as_regex(glob) for glob in made_for.only_branches],
        "not": [as_regex(glob) for glob in made_for.not_branches],
    }


def _routes(spec: SandboxSpec, rules: Rules) -> list[dict[str, object]]:
    """Those that may be meant: `home` for the repository that the sandbox was made for, `away` for others."""
    told = []
    for route in rules.routes:
        home, away = _meant(route, spec, rules)
        if home or away:
            owner = None if route.org is None else as_regex(f"{route.org}/*")
            conditions = _conditions(route.repositories, route.branch, route.workflow, route.events)
            told.append({**conditions, "owner": owner, "home": home, "away": away, "refuse": route.refuse})
    return told


def _meant(route: Route, spec: SandboxSpec, rules: Rules) -> tuple[bool, bool]:
    """Whether a route may be meant for jobs of the repository that a sandbox was made for, and for those of others."""
    wanted = labels.parse(spec.labels, rules.labels, rules.passes)
    certain = asked_for(spec.labels, wanted, rules) if isinstance(wanted, Wanted) else list(spec.labels)
    gpu = spec.shape.gpu
    possible = [*certain, f"gpu:{gpu_key(gpu)}:{gpu.count}"] if gpu else certain
    return _means(route, certain), not route.labels or (route.refuse is not None and _means(route, possible))


def _conditions(
    repositories: Sequence[str], branch: str | None, workflow: str | None, events: Sequence[str]
) -> dict[str, object]:
    file = workflow_file(workflow)
    return {
        "repositories": [as_regex(glob) for glob in repositories],
        "branch": None if branch is None else as_regex(branch),
        "workflow": None if workflow is None or file else as_regex(workflow),
        "file": as_regex(file) if file else None,
        "events": list(events),
    }


def _means(route: Route, asks: Sequence[str]) -> bool:
    return all(any(matches(label, glob) for label in asks) for glob in route.labels)
