"""From a job to the machine it gets, or to the reason why it gets none. Pure.

What counts: the labels say what the job asks for; the first route that fits says which profile it gets; defaults fill
in the rest; limits bound what a label (not an administrator) may ask for.
"""

from collections.abc import Sequence

import msgspec

from github_app.model import RUNNER_NAME, JobEvent
from github_app.routing import labels
from github_app.routing.catalog import gpu_key
from github_app.routing.globs import matches
from github_app.routing.labels import Wanted
from github_app.routing.limits import beyond, unknown
from github_app.routing.machine import filled, made_for, repositories, shape_of
from github_app.routing.policy import FORK_REFUSED
from github_app.routing.profiles import Route
from github_app.routing.provisions import has_boundary
from github_app.routing.rules import NOTHING_SAID, Admit, Ignore, Refuse, Rules


def route(event: JobEvent, rules: Rules) -> Ignore | Refuse | Admit:
    """Decide on a job. Where `needs_run` says so, its `run` has to be filled in before."""
    match labels.parse(event.labels, rules.labels, rules.passes):
        case labels.NotOurs(reason, meant):
            return Ignore(reason, meant)
        case labels.Rejected(code, sentence):
            return Refuse(code, sentence)
        case Wanted() as wanted:
            found = _route_of(event, wanted, rules)
            refusal = _refusal(event, rules, found) or _stray_label(event, rules)
            return refusal or _machine(event, wanted, found, rules)


def needs_run(event: JobEvent, rules: Rules) -> bool:
    """Tell whether the decision needs what only GitHub's record of the run tells: its event, and whose code it is."""
    wanted = labels.parse(event.labels, rules.labels, rules.passes)
    if not isinstance(wanted, Wanted) or rules.policy.refusal(event.repository, private=event.private):
        return False
    asks = asked_for(event.labels, wanted, rules)
    for each in rules.routes:
        if each.fits(event, asks):
            if each.needs_run:
                return True
            return not each.forks and _may_be_a_forks(event)
    return _may_be_a_forks(event)


def took_our_runner(event: JobEvent) -> bool:
    """Tell whether a runner of ours runs the job, whatever the job asked for."""
    return bool(event.runner_name and RUNNER_NAME.fullmatch(event.runner_name))


def _may_be_a_forks(event: JobEvent) -> bool:
    return event.forked or not event.private


def asked_for(written: Sequence[str], wanted: Wanted, rules: Rules) -> list[str]:
    """What a job asks for, as labels: also by the one-label form, by the profile that it names and by the defaults."""
    asks = labels.spelled_out(written, rules.labels)
    profile = rules.profiles.get(wanted.profile or "")
    if wanted.gpu is None and (gpu := (profile and profile.gpu) or rules.defaults.gpu):
        asks.append(f"gpu:{gpu_key(gpu)}:{gpu.count}")
    return asks


def _route_of(event: JobEvent, wanted: Wanted, rules: Rules) -> Route | None:
    asks = asked_for(event.labels, wanted, rules)
    for each in rules.routes:
        if each.fits(event, asks) and each.fits_run(event.run):
            return each
    return None


def _refusal(event: JobEvent, rules: Rules, found: Route | None) -> Refuse | None:
    if sentence := rules.policy.refusal(event.repository, private=event.private):
        return Refuse("repository", sentence)
    if found is not None and found.refuse is not None:
        return Refuse("route", found.refuse, found.name)
    if event.run is not None and event.run.from_fork and not (found and found.forks):
        return Refuse("fork", FORK_REFUSED)
    return None


def _stray_label(event: JobEvent, rules: Rules) -> Refuse | None:
    """A runner has its job's labels, and takes any job that asks for some of them: another system's too."""
    if rules.beside is None:
        return None
    known = (*rules.passes, *rules.beside)
    stray = [
        each for each in labels.meaningless(event.labels, rules.labels) if not any(matches(each, g) for g in known)
    ]
    if not stray:
        return None
    return Refuse("label", f"The label {stray[0]!r} may not stand beside ours; allowed: {', '.join(known) or 'none'}.")


def _machine(event: JobEvent, wanted: Wanted, found: Route | None, rules: Rules) -> Refuse | Admit:
    name = (found.profile if found else None) or wanted.profile
    if wanted.profile not in {None, name}:
        return Refuse("profile", f"The label 'profile:{wanted.profile}' is not for this job; its route gives {name!r}.")
    if name is not None and name not in rules.profiles:
        return Refuse("profile", unknown("profile", name, rules.profiles))
    profile = rules.profiles[name] if name is not None else NOTHING_SAID
    if profile.private and not (found and found.profile):
        return Refuse("profile", f"The label 'profile:{name}' cannot be asked for: only a route leads to that profile.")
    personal = event.scope.repo is not None
    grouped = found is not None and found.runner_group is not None
    bare = profile.needs_boundary and not (grouped or has_boundary(profile, rules.defaults, in_repository=personal))
    merged = filled(profile.model_copy(update={"volumes": {}, "proxy": None}) if bare else profile, rules.defaults)
    refusal = beyond(wanted, merged, rules)
    if refusal is not None:
        return refusal
    if found is not None and found.forks:
        # What a fork's code writes into a cache, the repository's own jobs would run.
        merged = merged.model_copy(update={"cache": None})
    shape = shape_of(event, wanted, merged, rules)
    if wanted.cache is not None and found is not None and found.forks:
        return Refuse("cache", f"The label 'cache:{wanted.cache}' is not for jobs of a route that lets forks run.")
    if found is not None:
        shape = msgspec.structs.replace(
            shape,
            made_for=made_for(event, found, shape.made_for) if profile.gives_own else shape.made_for,
            forks=repositories(event, found) if found.forks else (),
        )
        if found.runner_group is not None:
            shape = msgspec.structs.replace(shape, runner_group=found.runner_group)
    shape = msgspec.structs.replace(shape, profile=name, bare=bare)
    return Admit(shape, found.name if found else None, name, wanted.cache)
