"""What a label (not an administrator) may ask for, and the sentence for what is more."""

from collections.abc import Mapping
from difflib import get_close_matches

from github_app.routing import units
from github_app.routing.catalog import gpu_key
from github_app.routing.labels import Wanted
from github_app.routing.machine import LONGEST_JOB_S
from github_app.routing.network import GITHUB_ONLY, OPEN
from github_app.routing.profiles import Limits, Profile
from github_app.routing.rules import Refuse, Rules


def beyond(wanted: Wanted, profile: Profile, rules: Rules) -> Refuse | None:
    """Say what a label asks for that the administrator does not allow."""
    if (too_much := _machine_beyond(wanted, rules.limits)) is not None:
        return Refuse("limit", too_much)
    if wanted.image is not None and wanted.image not in rules.images:
        return Refuse("image", unknown("image", wanted.image, rules.images))
    if (refused := _not_allowed(wanted, rules.limits)) is not None:
        return Refuse("limit", refused)
    return _network_beyond(wanted.network, profile.network or OPEN, rules)


def _machine_beyond(wanted: Wanted, limits: Limits) -> str | None:
    longest = min(limits.timeout, LONGEST_JOB_S - (wanted.debug_s or 0))
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
    if wanted.debug_s is not None and not limits.debug:
        label = f"debug:{wanted.debug_s // 60}m"
        return f"The label {label!r} is not allowed here. An administrator may allow it: [limits] debug = true."
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
        return Refuse("network", unknown("network", asked, rules.networks))
    if rules.limits.networks is not None:
        allowed = {given, GITHUB_ONLY, *rules.limits.networks}
    else:
        allowed = set(rules.networks) if given == OPEN else {given, GITHUB_ONLY}
    if asked in allowed:
        return None
    return Refuse("network", f"The label 'network:{asked}' is not allowed here; allowed: {', '.join(sorted(allowed))}.")


def unknown(kind: str, name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    """The sentence for a name that a label gives and the file does not have."""
    nearest = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    hint = f" Nearest: '{kind}:{nearest[0]}'." if nearest else ""
    hint = hint or (f" There are: {', '.join(sorted(known))}." if known else " None is set up.")
    return f"The label '{kind}:{name}' names no {kind} of this runner's administrator.{hint}"
