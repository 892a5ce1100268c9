"""From a job to the machine it gets, or to the reason why it gets none. Pure.

What counts: the labels say what the job asks for; the first route that fits says which profile it gets; defaults fill
in the rest; limits bound what a label (not an administrator) may ask for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import msgspec

from github_app.model import RUNNER_NAME, JobEvent, MadeFor, Network, Shape
from github_app.routing import labels, units
from github_app.routing.caches import Caches
from github_app.routing.catalog import LONGEST_S, gpu_key
from github_app.routing.globs import matches
from github_app.routing.labels import Wanted
from github_app.routing.network import GITHUB_ONLY, OPEN
from github_app.routing.policy import FORK_REFUSED, Policy
from github_app.routing.profiles import Limits, Profile, Route

_HOURS = 3600
# GitHub re-queues an assigned job that is not picked up at once; a runner that waits this long waits for nobody.
PICKUP_DEADLINE_S = 300
# To report and to end.
_ENDING_S = 600
_LONGEST_JOB_S = LONGEST_S - PICKUP_DEADLINE_S - _ENDING_S
# The job's own limit where nothing is said, as on GitHub's runners.
JOB_TIMEOUT_S = 6 * _HOURS
# Two vCPU are one physical core of Modal's. Modal bills the larger of request and use, so the limit may be generous.
PLAIN_CPU = (1.0, 8.0)
PLAIN_MEMORY_MIB = (2048, 32768)
# In Modal's VM runtime memory is fixed at the request (modal.com/docs/guide/sandbox-vm).
DOCKER_MEMORY_MIB = (8192, 8192)
CACHE_PATH = "/cache"
_NOTHING_SAID = Profile()
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

    labels: tuple[str, ...] = ("modal",)
    policy: Policy = field(default_factory=Policy)
    defaults: Profile = _NOTHING_SAID
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=lambda: {OPEN: Network()})
    images: frozenset[str] = frozenset()
    routes: tuple[Route, ...] = ()
    limits: Limits = _MODALS_OWN
    caches: Caches = field(default_factory=Caches)
    # Globs of labels that say nothing to us, whatever they read like; and those that alone may stand beside ours.
    passes: tuple[str, ...] = ()
    beside: tuple[str, ...] | None = None


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
    named = rules.profiles.get(shape.profile or "", _NOTHING_SAID)
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
        return Refuse("profile", _unknown("profile", name, rules.profiles))
    profile = rules.profiles[name] if name is not None else _NOTHING_SAID
    if profile.private and not (found and found.profile):
        return Refuse("profile", f"The label 'profile:{name}' cannot be asked for: only a route leads to that profile.")
    personal = event.scope.repo is not None
    bare = profile.needs_boundary and not has_boundary(profile, rules.defaults, in_repository=personal)
    merged = _filled(profile.model_copy(update={"volumes": {}}) if bare else profile, rules.defaults)
    refusal = _beyond(wanted, merged, rules)
    if refusal is not None:
        return refusal
    if found is not None and found.forks:
        # What a fork's code writes into a cache, the repository's own jobs would run.
        merged = merged.model_copy(update={"cache": None})
    shape = _shape(event, wanted, merged, rules)
    if wanted.cache is not None and found is not None and found.forks:
        return Refuse("cache", f"The label 'cache:{wanted.cache}' is not for jobs of a route that lets forks run.")
    if found is not None:
        shape = msgspec.structs.replace(
            shape,
            made_for=_made_for(event, found, shape.made_for) if profile.gives_own else shape.made_for,
            forks=_repositories(event, found) if found.forks else (),
        )
    shape = msgspec.structs.replace(shape, profile=name, bare=bare)
    return Admit(shape, found.name if found else None, name, wanted.cache)


def _filled(profile: Profile, defaults: Profile) -> Profile:
    """What a profile leaves open is as in the defaults."""
    said = {
        name: getattr(profile, name) for name in Profile.model_fields if getattr(profile, name) not in (None, {}, ())
    }
    return defaults.model_copy(update=said)


def _beyond(wanted: Wanted, profile: Profile, rules: Rules) -> Refuse | None:
    """Say what a label asks for that the administrator does not allow."""
    if (beyond := _machine_beyond(wanted, rules.limits)) is not None:
        return Refuse("limit", beyond)
    if wanted.image is not None and wanted.image not in rules.images:
        return Refuse("image", _unknown("image", wanted.image, rules.images))
    if (refused := _not_allowed(wanted, rules.limits)) is not None:
        return Refuse("limit", refused)
    return _network_beyond(wanted.network, profile.network or OPEN, rules)


def _machine_beyond(wanted: Wanted, limits: Limits) -> str | None:
    longest = min(limits.timeout, _LONGEST_JOB_S)
    if wanted.vcpu is not None and wanted.vcpu > limits.cpu:
        return _more(f"cpu:{wanted.vcpu:g}", f"{limits.cpu:g} vCPUs")
    if wanted.memory_mib is not None and wanted.memory_mib > limits.memory:
        return _more(f"memory:{units.as_size(wanted.memory_mib)}", units.as_size(limits.memory))
    if wanted.timeout_s is not None and wanted.timeout_s > longest:
        return _more(f"timeout:{units.as_time(wanted.timeout_s)}", units.as_time(longest))
    gpu, gpus, regions = wanted.gpu, limits.gpus, limits.regions
    if gpu is not None and gpus is not None and not any(g.type == gpu.type and g.count >= gpu.count for g in gpus):
        these = ", ".join(f"gpu:{gpu_key(each)}:{each.count}" for each in gpus) or "none"
        return f"The GPU {gpu} is not allowed here; allowed are at most: {these}."
    if wanted.region is not None and regions is not None and wanted.region not in regions:
        return f"The region {wanted.region} is not allowed here; allowed: {', '.join(regions) or 'none'}."
    return None


def _not_allowed(wanted: Wanted, limits: Limits) -> str | None:
    if wanted.docker and not limits.docker:
        return "The label 'docker' is not allowed here."
    for kind, asked, allowed in (("image", wanted.image, limits.images), ("cache", wanted.cache, limits.caches)):
        if asked is not None and allowed is not None and asked not in allowed:
            return f"The label '{kind}:{asked}' is not allowed here; allowed: {', '.join(allowed) or 'none'}."
    return None


def _more(label: str, most: str) -> str:
    return f"The label {label!r} is more than the {most} allowed here."


def _network_beyond(asked: str | None, given: str, rules: Rules) -> Refuse | None:
    """A label may make the network narrower; wider only where the administrator says so."""
    if asked is None:
        return None
    if asked not in rules.networks:
        return Refuse("network", _unknown("network", asked, rules.networks))
    if rules.limits.networks is not None:
        allowed = {given, GITHUB_ONLY, *rules.limits.networks}
    else:
        allowed = set(rules.networks) if given == OPEN else {given, GITHUB_ONLY}
    if asked in allowed:
        return None
    return Refuse("network", f"The label 'network:{asked}' is not allowed here; allowed: {', '.join(sorted(allowed))}.")


def _unknown(kind: str, name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    nearest = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    hint = f" Nearest: '{kind}:{nearest[0]}'." if nearest else " None is set up."
    return f"The label '{kind}:{name}' names no {kind} of this runner's administrator.{hint}"


def _shape(event: JobEvent, wanted: Wanted, profile: Profile, rules: Rules) -> Shape:
    docker = bool(wanted.docker if wanted.docker is not None else profile.docker)
    gpu = wanted.gpu or profile.gpu
    vcpu = wanted.vcpu or profile.cpu
    memory = wanted.memory_mib or profile.memory
    limits = rules.limits
    plain_cpu = (min(PLAIN_CPU[0], limits.cpu / 2), min(PLAIN_CPU[1], limits.cpu / 2))
    most, least = DOCKER_MEMORY_MIB if docker and gpu is None else PLAIN_MEMORY_MIB
    plain_memory = (min(most, limits.memory), min(least, limits.memory))
    job_s = wanted.timeout_s or profile.timeout or min(JOB_TIMEOUT_S, limits.timeout)
    volumes = dict(profile.volumes)
    cache, made_for = wanted.cache or profile.cache, None
    if cache is not None:
        volumes[CACHE_PATH], made_for = rules.caches.of(cache, event)
    return Shape(
        cpu=plain_cpu if vcpu is None else (vcpu / 2, vcpu / 2),
        memory_mib=plain_memory if memory is None else (memory, memory),
        timeout_s=min(LONGEST_S, job_s + PICKUP_DEADLINE_S + _ENDING_S),
        gpu=gpu,
        region=wanted.region or profile.region,
        image=wanted.image or profile.image or "default",
        network=rules.networks[wanted.network or profile.network or OPEN],
        volumes=tuple(sorted(volumes.items())),
        docker=docker,
        runner_group=profile.runner_group,
        made_for=made_for,
    )


def _made_for(event: JobEvent, found: Route, cached_for: MadeFor | None) -> MadeFor:
    """The jobs that a route means, and of these no more than a cache is for."""
    narrower = cached_for or MadeFor(_repositories(event, found))
    return msgspec.structs.replace(narrower, branch=found.branch, workflow=found.workflow, events=found.events)


def _repositories(event: JobEvent, found: Route) -> tuple[str, ...]:
    # Labels cannot be seen inside a sandbox, so where they decide, the repository alone narrows it.
    alone = not found.repositories or found.labels
    return (event.repository.lower(),) if alone else tuple(glob.lower() for glob in found.repositories)
