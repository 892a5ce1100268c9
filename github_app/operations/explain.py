"""What becomes of a job, in words and numbers: what `modal-runner explain` prints."""

from collections.abc import Iterator
from typing import Any

import msgspec

from github_app.model import JobEvent, Shape
from github_app.routing.catalog import DISK_GIB, github_runner, most_usd, requested, usd_per_minute
from github_app.routing.labels import meaningless
from github_app.routing.machine import ENDING_S, PICKUP_DEADLINE_S
from github_app.routing.route import route
from github_app.routing.rules import Admit, Ignore, Refuse, Rules
from github_app.routing.units import as_machine, as_size, as_time, number_of

_VM = "in Modal's VM runtime, as on any Linux machine; memory is fixed at the request"
_GVISOR = "under gVisor, for a GPU: `docker run` needs --network host; services: with ports and container: do not work"
_ANOTHER_GROUP = (
    "the job asks for the runner group {asked}; its runner is registered in {given}. GitHub gives the job to no other "
    "group's runners, so these have to be the same (runner_group of a profile or of the defaults, RUNNER_GROUP_ID)"
)
_RENAMED = "; where the organisation has named its default group so, it runs"
_NO_GROUPS = "a personal account's repositories have only 'Default'"


class Explanation(msgspec.Struct, frozen=True):
    """The fields are what `--json` prints. `decision`: run, refuse, ignore, or wait where its runner would be made and
    GitHub would not give it the job: `reason` says why.

    `price_usd_per_minute` and `_hour` are what the machine costs at least; `most_usd` what the job can cost until its
    time-out. `passes_through` are labels that say nothing about the machine. `notes` may change what is to be done.
    `github_runner` is the cheapest of GitHub's own that has as much, `github_usd_per_minute` its price. `caps` are the
    settings that say how many runners there may be at once, over which the job waits.
    """

    decision: str
    reason: str | None = None
    route: str | None = None
    profile: str | None = None
    sandbox: dict[str, Any] | None = None
    price_usd_per_minute: float | None = None
    price_usd_per_hour: float | None = None
    most_usd: float | None = None
    passes_through: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    github_runner: str | None = None
    github_usd_per_minute: float | None = None
    caps: dict[str, int] = {}


def explain(event: JobEvent, rules: Rules, *, group: str | None = None) -> Explanation:
    """Say what the rules make of a job; `group` is the runner group that its workflow asks for."""
    others = tuple(meaningless(event.labels, rules.labels))
    match route(event, rules):
        case Ignore(reason):
            return Explanation("ignore", reason)
        case Refuse(_, sentence, written):
            return Explanation("refuse", sentence, written)
        case Admit(shape, written, profile):
            minute, theirs = usd_per_minute(shape), github_runner(*requested(shape))
            barrier = _barrier(event, shape, group)
            return Explanation(
                "wait" if barrier else "run",
                barrier,
                route=written,
                profile=profile,
                sandbox=_sandbox(shape),
                price_usd_per_minute=minute,
                price_usd_per_hour=round(minute * 60, 4),
                most_usd=most_usd(shape),
                passes_through=others,
                notes=_notes(event, shape, group),
                github_runner=as_machine(theirs.gpu, theirs.vcpu, theirs.memory_mib, None) if theirs else None,
                github_usd_per_minute=theirs.usd_per_minute if theirs else None,
            )


def _barrier(event: JobEvent, shape: Shape, group: str | None) -> str | None:
    """The runner group that keeps GitHub from giving the job its runner."""
    if event.scope.repo is not None:
        if _is_another(shape, group):
            return f"the job asks for the runner group {group!r}; {_NO_GROUPS}"
        if shape.runner_group is not None:
            return f"its runner is to be in the runner group of id {shape.runner_group}; {_NO_GROUPS}"
    elif shape.runner_group is None and _is_another(shape, group):
        return _ANOTHER_GROUP.format(asked=repr(group), given="the organisation's default group") + _RENAMED
    return None


def _notes(event: JobEvent, shape: Shape, group: str | None) -> tuple[str, ...]:
    # Names are GitHub's to tell.
    if event.scope.repo is None and shape.runner_group is not None and group is not None:
        return (_ANOTHER_GROUP.format(asked=repr(group), given=f"the group of id {shape.runner_group}"),)
    return ()


def _is_another(shape: Shape, group: str | None) -> bool:
    """Tell whether a job asks for another group than the default one, by its name unless someone has changed it."""
    return group is not None and not (group.lower() == "default" and shape.runner_group is None)


def _sandbox(shape: Shape) -> dict[str, Any]:
    runtime = "vm" if shape.docker and shape.gpu is None else "gvisor"
    return {
        "gpu": {"type": shape.gpu.type, "count": shape.gpu.count} if shape.gpu else None,
        "cpu": shape.cpu[0] * 2,
        "memory_mib": shape.memory_mib[0],
        "timeout_s": shape.timeout_s,
        "region": shape.region,
        "image": shape.image,
        "network": {
            "mode": shape.network.mode,
            "domains": list(shape.network.domains),
            "cidrs": list(shape.network.cidrs),
        },
        "volumes": dict(shape.volumes),
        "docker": shape.docker,
        "runtime": runtime,
        "cpu_limit": shape.cpu[1] * 2,
        "memory_limit_mib": shape.memory_mib[1],
        "disk_gib": DISK_GIB,
        "job_timeout_s": shape.timeout_s - PICKUP_DEADLINE_S - ENDING_S - shape.debug_s,
        "runner_group": shape.runner_group,
        "proxy": shape.proxy,
        "docker_limits": {"vm": _VM, "gvisor": _GVISOR}[runtime] if shape.docker else None,
        "debug_s": shape.debug_s,
    }


def in_words(found: Explanation) -> str:
    """The same for a person, a line for each fact."""
    return "\n".join(_lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    if found.sandbox is None:
        yield f"{found.decision}: {found.reason}"
    else:
        yield "run" if found.reason is None else f"{found.decision}: {found.reason}"
        yield from (f"note: {each}" for each in found.notes)
        yield from (f"  {name:<8} {value}" for name, value in _facts(found, found.sandbox).items())
    if found.passes_through:
        yield f"say nothing about the machine, and are registered as they are: {', '.join(found.passes_through)}"


def _facts(found: Explanation, box: dict[str, Any]) -> dict[str, str]:
    gpu, network = box["gpu"], box["network"]
    reach = f"{number_of(len(network['domains']), 'domain')}, {number_of(len(network['cidrs']), 'range')}"
    job = as_time(box["job_timeout_s"])
    return {
        "route": found.route or "none",
        "profile": found.profile or "none",
        "gpu": f"{gpu['type']} x{gpu['count']}" if gpu else "none",
        "cpu": _up_to(f"{box['cpu']:g} vCPU", f"{box['cpu_limit']:g}"),
        "memory": _up_to(as_size(box["memory_mib"]), as_size(box["memory_limit_mib"])),
        "disk": f"{box['disk_gib']} GiB at most, which cannot be chosen",
        "timeout": f"{job} for the job, and 15 minutes to be picked up and to end",
        **({"debug": f"a failed job's sandbox is kept for {as_time(box['debug_s'])}"} if box["debug_s"] else {}),
        "region": box["region"] or "any",
        "image": box["image"],
        "network": network["mode"] + ("" if network["mode"] == "open" else f" ({reach})"),
        "proxy": box["proxy"] or "none",
        "volumes": ", ".join(f"{path}: {name}" for path, name in box["volumes"].items()) or "none",
        "docker": f"yes, {box['docker_limits']}" if box["docker"] else "no",
        "runtime": box["runtime"],
        "group": "the default one" if box["runner_group"] is None else f"id {box['runner_group']}",
        "caps": ", ".join(f"{name} {most}" for name, most in found.caps.items()) or "none",
        "price": f"${found.price_usd_per_hour:.2f} an hour, ${found.price_usd_per_minute:.4f} a minute at list prices, "
        "and more for what is used beyond the request",
        "at most": f"${found.most_usd:.2f}, if it uses all that it may until its time-out",
        "github": _at_github(found),
    }


def _at_github(found: Explanation) -> str:
    if found.github_runner is None:
        return "has no runner of its own like this one"
    return f"${found.github_usd_per_minute:.3f} for each minute begun on a runner of its own, {found.github_runner}"


def _up_to(request: str, limit: str) -> str:
    return request if request.split()[0] == limit else f"{request}, billed when used up to {limit}"
