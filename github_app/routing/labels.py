"""What a job's `runs-on` labels ask for. Labels are data from strangers: parsing never raises.

GitHub compares labels without regard to case (docs: "Using labels with self-hosted runners").
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from github_app.model import Gpu
from github_app.routing import lookalikes, units
from github_app.routing.catalog import GPUS, REGIONS

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
# Modal gives no less than an eighth of a core and 128 MiB (modal.com/docs/guide/resources).
_LEAST_VCPU, _MOST_VCPU = 0.25, 9999.0
LEAST_MEMORY_MIB = 128
LONGEST_DEBUG_S = 120 * 60


@dataclass(frozen=True)
class NotOurs:
    """The job does not ask for us. `meant`: one of its labels looks as if it was to."""

    reason: str
    meant: bool = False


@dataclass(frozen=True)
class Rejected:
    """The job asks for us, with a label that cannot be served. `sentence` is for the workflow's author."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Wanted:
    """The job asks for us, and for this; None is what it does not say. `timeout_s` is the job's.

    `debug_s`: for so long its sandbox is kept if it fails.
    """

    gpu: Gpu | None = None
    vcpu: float | None = None
    memory_mib: int | None = None
    timeout_s: int | None = None
    region: str | None = None
    image: str | None = None
    cache: str | None = None
    network: str | None = None
    profile: str | None = None
    docker: bool | None = None
    debug_s: int | None = None


@dataclass(frozen=True)
class Key:
    """What may stand before the colon of a label: how its value is read, and how to write it."""

    read: Callable[[str], object | Rejected]
    example: str
    meaning: str

    @property
    def plainest(self) -> str:
        """How to write it where what is meant is not known: with the cheapest card, for a hint costs nobody more."""
        return f"gpu:{min(GPUS, key=lambda name: GPUS[name].usd_per_s)}" if self.read is _gpu else self.example


def parse(labels: Sequence[str], ours: Sequence[str], passes: Sequence[str] = ()) -> NotOurs | Rejected | Wanted:
    """Read `labels` as the job wrote them; each of `ours` selects us, alone or before `/key=value` parts.

    Labels that match a glob of `passes` say nothing, whatever they read like.
    """
    return _parse(tuple(labels), tuple(ours), tuple(passes))


# Every round of balance reads the labels of every job that is alive, and most jobs of a team have the same few.
@lru_cache(maxsize=256)
def _parse(labels: Sequence[str], ours: Sequence[str], passes: Sequence[str]) -> NotOurs | Rejected | Wanted:
    lowered = [label.strip().lower() for label in labels]
    selecting = [name.lower() for name in ours]
    if not any(label.partition("/")[0] in selecting for label in lowered):
        stray = lookalikes.stray_separator(lowered, selecting)
        return NotOurs(stray or f"no label {' or '.join(repr(name) for name in ours)}", meant=stray is not None)
    asked: dict[str, object] = {}
    for label, key, value in _parts(lowered, selecting):
        if label in selecting or (key not in KEYS and lookalikes.is_passed(label, passes)):
            continue
        read = _read(label, key, value, one_label=label.partition("/")[0] in selecting)
        if isinstance(read, Rejected):
            return read
        field = _FIELDS.get(key, key)
        if read is not None and asked.setdefault(field, read) != read:
            return Rejected("conflict", f"The label {label!r} contradicts another label for {key}. Keep one of them.")
    return Wanted(**asked)  # type: ignore[arg-type]  # each reader makes what its field holds


def spelled_out(labels: Sequence[str], ours: Sequence[str]) -> list[str]:
    """The labels in lower case, and what the one-label form says as labels of its own."""
    lowered = [label.strip().lower() for label in labels]
    selecting = [name.lower() for name in ours]
    parts = [f"{key}:{value}" if value is not None else key for label, key, value in _parts(lowered, selecting)]
    return list(dict.fromkeys([*lowered, *parts]))


def asks_to_debug(labels: Sequence[str]) -> bool:
    """Tell whether a job asks that its sandbox is kept if it fails, of one whose runner's labels ask for that."""
    return any(label.startswith("debug:") or "/debug=" in label for label in (each.strip().lower() for each in labels))


def meaningless(labels: Sequence[str], ours: Sequence[str]) -> list[str]:
    """The labels that say nothing about the machine, and are registered with the runner as they are."""
    known = {*(name.lower() for name in ours), "self-hosted", "linux", "x64", "docker"}
    return [
        label
        for label in labels
        if label.strip().lower() not in known
        and label.strip().lower().partition(":")[0] not in KEYS
        and label.strip().lower().partition("/")[0] not in known
    ]


def _parts(lowered: Sequence[str], selecting: Sequence[str]) -> Iterator[tuple[str, str, str | None]]:
    """Take labels apart: (the label as it is quoted, its key, its value); a bare word has no value."""
    for label in lowered:
        head, *parts = label.split("/")
        if head in selecting:
            for part in parts:
                key, found, value = part.partition("=")
                yield label, key if found or key == "docker" else f"{key}=", value if found else None
        else:
            key, found, value = label.partition(":")
            yield label, key, value if found else None


def _read(label: str, key: str, value: str | None, *, one_label: bool) -> object | Rejected | None:
    if value is None:
        return _read_word(label, key)
    if key not in KEYS:
        return _read_unknown(label, key, value, one_label=one_label)
    read = KEYS[key].read(value)
    return Rejected(read.code, f"The label {label!r} {read.sentence}") if isinstance(read, Rejected) else read


def _read_unknown(label: str, key: str, value: str, *, one_label: bool) -> Rejected | None:
    if key == "run" and one_label:
        # Only makes the label one that no other job has.
        return None
    if key == "disk":
        return Rejected("disk", f"The label {label!r} cannot be served: disk cannot be chosen on Modal.")
    if key == "docker":
        return Rejected("docker", f"The label {label!r} says too much; write 'docker'.")
    near = lookalikes.near_miss(key, KEYS)
    if near or one_label:
        meant = near or get_close_matches(key, KEYS, n=1, cutoff=0.0)[0]
        readable = not isinstance(KEYS[meant].read(value), Rejected)
        nearest = f"{meant}:{value}" if readable else KEYS[meant].plainest
        return Rejected("label", f"The label {label!r} asks for {key!r}, which there is not. Nearest: {nearest!r}.")
    # Another system's label, unless it reads like a machine; the runner is registered with it.
    return _read_lookalike(label)


def _read_word(label: str, word: str) -> object | Rejected | None:
    if word == "docker":
        return True
    if word.endswith("="):
        return Rejected("label", f"The label {label!r} has a part {word[:-1]!r} without a value; write key=value.")
    if word.partition("=")[0] in KEYS and "=" in word:
        return Rejected("label", f"The label {label!r} has to be written with a colon: {word.replace('=', ':', 1)!r}.")
    return _read_lookalike(label)


def _read_lookalike(label: str) -> Rejected | None:
    if lookalikes.platform(label):
        return Rejected("platform", f"The label {label!r} cannot be served: Modal's machines are Linux on x64.")
    if meant := lookalikes.meant_hardware(label):
        return Rejected(
            "hardware",
            f"The label {label!r} reads like hardware and asks for none. Write {meant}; an administrator may let it "
            "pass: [labels] pass in modal-runner.toml.",
        )
    return None


def _gpu(asked: str) -> Gpu | Rejected:
    """Read `TYPE`, `TYPE:N` or `TYPExN`."""
    kind, count = _kind_and_count(asked)
    if kind not in GPUS:
        nearest = lookalikes.nearest_card(kind, count)
        hint = "" if nearest is None else f"Nearest: {nearest}. "
        prices = ", ".join(f"{name} ${gpu.usd_per_s * 3600:.2f}" for name, gpu in GPUS.items())
        return Rejected("gpu", f"names no GPU of Modal. {hint}All, with the price an hour: {prices}.")
    if not 1 <= count <= GPUS[kind].most:
        return Rejected("gpu-count", f"asks for {count} GPUs; Modal gives 1 to {GPUS[kind].most} of {kind}.")
    return Gpu(GPUS[kind].name, count)


def _kind_and_count(asked: str) -> tuple[str, int]:
    for separator in (":", "x"):
        kind, found, digits = asked.rpartition(separator)
        # Of a name that there is not, an `x` may be a part.
        counts = found and (kind in GPUS or separator == ":")
        if counts and digits.isascii() and digits.isdigit() and len(digits) <= 4:
            return kind, int(digits)
    return asked, 1


def _vcpu(asked: str) -> float | Rejected:
    if re.fullmatch(r"\d{1,4}(\.\d{1,3})?", asked, re.ASCII) and _LEAST_VCPU <= float(asked) <= _MOST_VCPU:
        return float(asked)
    return Rejected("cpu", "is no number of vCPUs; write for example 'cpu:8'.")


def _memory(asked: str) -> int | Rejected:
    found = units.mebibytes(asked)
    if found is None or found < LEAST_MEMORY_MIB:
        return Rejected("memory", f"is no size of at least {LEAST_MEMORY_MIB} MiB; write for example 'memory:32g'.")
    return found


def _timeout(asked: str) -> int | Rejected:
    return units.seconds(asked) or Rejected("timeout", "is no time; write for example 'timeout:2h' or 'timeout:90m'.")


def _debug(asked: str) -> int | Rejected:
    found = units.seconds(asked)
    if found is None or not 60 <= found <= LONGEST_DEBUG_S:
        return Rejected("debug", f"is no time from 1m to {LONGEST_DEBUG_S // 60}m; write for example 'debug:30m'.")
    return found


def _region(asked: str) -> str | Rejected:
    if asked in REGIONS:
        return asked
    nearest = get_close_matches(asked, REGIONS, n=1, cutoff=0.5)
    hint = f"Nearest: 'region:{nearest[0]}'. " if nearest else ""
    return Rejected("region", f"names no region of Modal. {hint}All: {', '.join(REGIONS)}.")


def _name(asked: str) -> str | Rejected:
    if NAME.fullmatch(asked):
        return asked
    if not asked:
        return Rejected("name", "has no name after it.")
    return Rejected(
        "name", "has what is no name after it; use up to 40 of a-z, 0-9, '.', '_' and '-', a letter or digit first."
    )


KEYS: dict[str, Key] = {
    "gpu": Key(_gpu, "gpu:h100:2", "a GPU type, and how many (1 if not said)"),
    "cpu": Key(_vcpu, "cpu:8", "vCPUs, as GitHub counts them (Modal counts physical cores of two)"),
    "memory": Key(_memory, "memory:32g", "memory; `g` or `m`, a bare number is GiB"),
    "timeout": Key(_timeout, "timeout:2h", "how long the job may take; `h`, `m` or `s`"),
    "region": Key(_region, "region:us-east", "where it runs; a pinned region costs more"),
    "image": Key(_name, "image:cuda", "an image of the administrator's file"),
    "cache": Key(_name, "cache:models", "a volume of this name at /cache, one for each repository"),
    "network": Key(_name, "network:github-only", "`open`, `github-only`, or a policy of the administrator's file"),
    "profile": Key(_name, "profile:train", "a profile of the administrator's file"),
    "debug": Key(_debug, "debug:30m", "keeps its sandbox so long if it fails, to look into; where that is allowed"),
}
# The fields of Wanted that are not called as their key.
_FIELDS = {"cpu": "vcpu", "memory": "memory_mib", "timeout": "timeout_s", "debug": "debug_s"}
