"""The machine of an admitted job: the labels' words first, then the profile's, then what is plain."""

import msgspec

from github_app.model import JobEvent, MadeFor, Shape
from github_app.routing.catalog import LONGEST_S
from github_app.routing.labels import Wanted
from github_app.routing.network import OPEN
from github_app.routing.profiles import Profile, Route
from github_app.routing.rules import Rules

_HOURS = 3600
# GitHub re-queues an assigned job that is not picked up at once; a runner that waits this long waits for nobody.
PICKUP_DEADLINE_S = 300
# To report and to end.
ENDING_S = 600
LONGEST_JOB_S = LONGEST_S - PICKUP_DEADLINE_S - ENDING_S
# The job's own limit where nothing is said, as on GitHub's runners.
JOB_TIMEOUT_S = 6 * _HOURS
# Two vCPU are one physical core of Modal's. Modal bills the larger of request and use, so the limit may be generous.
PLAIN_CPU = (1.0, 8.0)
PLAIN_MEMORY_MIB = (2048, 32768)
# In Modal's VM runtime memory is fixed at the request (modal.com/docs/guide/sandbox-vm).
DOCKER_MEMORY_MIB = (8192, 8192)
CACHE_PATH = "/cache"


def filled(profile: Profile, defaults: Profile) -> Profile:
    """What a profile leaves open is as in the defaults."""
    said = {
        name: getattr(profile, name) for name in Profile.model_fields if getattr(profile, name) not in (None, {}, ())
    }
    return defaults.model_copy(update=said)


def shape_of(event: JobEvent, wanted: Wanted, profile: Profile, rules: Rules) -> Shape:
    """The machine for a job, from its labels, and from its profile where these say nothing."""
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
    cache, narrowed = wanted.cache or profile.cache, None
    debug_s = wanted.debug_s or 0
    if cache is not None:
        volumes[CACHE_PATH], narrowed = rules.caches.of(cache, event)
    return Shape(
        cpu=plain_cpu if vcpu is None else (vcpu / 2, vcpu / 2),
        memory_mib=plain_memory if memory is None else (memory, memory),
        timeout_s=min(LONGEST_S, job_s + PICKUP_DEADLINE_S + ENDING_S + debug_s),
        gpu=gpu,
        region=wanted.region or profile.region,
        image=wanted.image or profile.image or "default",
        network=rules.networks[wanted.network or profile.network or OPEN],
        volumes=tuple(sorted(volumes.items())),
        docker=docker,
        runner_group=profile.runner_group,
        proxy=profile.proxy,
        made_for=narrowed,
        debug_s=debug_s,
    )


def made_for(event: JobEvent, found: Route, cached_for: MadeFor | None) -> MadeFor:
    """The jobs that a route means, and of these no more than a cache is for."""
    narrower = cached_for or MadeFor(repositories(event, found))
    return msgspec.structs.replace(narrower, branch=found.branch, workflow=found.workflow, events=found.events)


def repositories(event: JobEvent, found: Route) -> tuple[str, ...]:
    """Globs of those that may have what a route gives."""
    # Labels cannot be seen inside a sandbox, so where they decide, the repository alone narrows it.
    alone = not found.repositories or found.labels
    return (event.repository.lower(),) if alone else tuple(glob.lower() for glob in found.repositories)
