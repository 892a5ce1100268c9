"""Sizes, times and machines as people write them, in labels, in the administrator's file and in what is shown."""

import re

_SIZE = re.compile(r"(\d{1,7})(m|mb|mib|g|gb|gib|t|tb|tib)?", re.ASCII)
_MEBIBYTES = {"m": 1, "g": 1024, "t": 1024 * 1024}
_TIME = re.compile(r"(\d{1,5})(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def mebibytes(text: str) -> int | None:
    """Read `32g`, `32gib`, `512m` or `1t`; a bare number is GiB. None for anything else, zero included."""
    found = _SIZE.fullmatch(text.lower())
    if found is None:
        return None
    return int(found[1]) * _MEBIBYTES[(found[2] or "g")[0]] or None


def seconds(text: str) -> int | None:
    """Read `90m`, `2h`, `45s` or `1d`. None for anything else, zero included."""
    found = _TIME.fullmatch(text.lower())
    return int(found[1]) * _SECONDS[found[2]] or None if found else None


def as_size(mib: int) -> str:
    """Write MiB as people do."""
    return f"{mib // 1024}g" if mib % 1024 == 0 else f"{mib}m"


def as_machine(gpu: str | None, vcpu: float, memory_mib: int, region: str | None) -> str:
    """Write a machine as people do: `H100:2, 8 vCPU, 32g, us-east`."""
    parts = [gpu, f"{vcpu:g} vCPU", as_size(memory_mib), region]
    return ", ".join(part for part in parts if part)


def as_time(duration_s: int) -> str:
    """Write seconds as people do."""
    if duration_s % 60:
        return f"{duration_s}s"
    hours, minutes = divmod(duration_s // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")


def as_span(duration_s: float) -> str:
    """Write how long ago something was, or how long it takes: to the second within two minutes, else to the minute."""
    whole = max(0, round(duration_s))
    return f"{whole}s" if whole < 120 else as_time(whole - whole % 60)


def as_money(usd: float) -> str:
    """Write dollars as people do; what is less than a cent is said to be."""
    return f"${usd:.2f}" if usd >= 0.01 else "less than $0.01"


def number_of(count: int, thing: str) -> str:
    """Write a number of things as people do: `1 job`, `2 jobs`, `3 deliveries`, `0 sandboxes`."""
    if count == 1:
        return f"1 {thing}"
    if re.search(r"[^aeiou]y$", thing):
        return f"{count} {thing[:-1]}ies"
    return f"{count} {thing}{'es' if thing.endswith(('s', 'x', 'ch', 'sh')) else 's'}"
