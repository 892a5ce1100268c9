"""Labels that read like a machine and ask for none: refused, for a job that meant a GPU must not run without one. Pure.

Real workflows write `gpu-h100`, `8xh100`, `ram:64g`, `linux-arm64`. What an administrator has named passes.
"""

import re
from collections.abc import Iterable, Sequence

from github_app.catalog import GPUS
from github_app.globs import matches

# GPUs that Modal has not, or has under a longer name.
_OTHER_GPUS = frozenset(
    {
        *("v100", "p100", "p4", "k80", "m60", "a2", "a10g", "a30", "a40", "l40", "a4000", "a5000", "a6000"),
        *("rtx", "rtx4090", "rtx5090", "gh200", "gb200", "gb300", "mi250", "mi300", "mi300x", "mi325x", "mi355x"),
    }
)
_MAKERS = frozenset({"nvidia", "amd", "radeon", "geforce", "tesla", "cuda", "rocm", "gpu", "gpus"})
_GPU_WORDS = frozenset(GPUS) | _OTHER_GPUS | _MAKERS
_MEMORY_WORDS = frozenset({"ram", "mem"})
_PLATFORM_WORDS = frozenset({"arm", "arm64", "aarch64", "armv7", "windows", "macos", "osx", "win32", "win64"})
_COUNT = re.compile(r"(?:(?P<before>\d{1,2})x)?(?P<name>[a-z]+\d+[a-z]*)(?:x(?P<after>\d{1,2}))?")
_SIZE = re.compile(r"\d{1,5}(m|mb|mib|g|gb|gib)?")


def is_passed(label: str, passes: Iterable[str]) -> bool:
    """Tell whether an administrator has named a label; a glob that names nothing, like `*`, does not."""
    return any(glob.strip("*?") and matches(label, glob) for glob in passes)


def platform(label: str) -> bool:
    """Tell whether a label asks for a processor or system that Modal has not."""
    return not _PLATFORM_WORDS.isdisjoint(_words(label))


def meant_hardware(label: str) -> str | None:
    """The label of ours that one was meant for which reads like hardware; None for any other."""
    words = _words(label)
    if not _MEMORY_WORDS.isdisjoint(words):
        size = next((word for word in words if _SIZE.fullmatch(word)), "32g")
        return f"'memory:{size}'"
    counted = [_COUNT.fullmatch(word) for word in words]
    names = {found["name"] for found in counted if found} | set(words)
    if _GPU_WORDS.isdisjoint(names):
        return None
    known = next((name for name in sorted(GPUS, key=len, reverse=True) if _names(label, name)), None)
    if known is None:
        return f"'gpu:TYPE' with one of {', '.join(GPUS)}"
    count = _count(label, known)
    return f"'gpu:{known}:{count}'" if 1 < count <= GPUS[known].most else f"'gpu:{known}'"


def near_miss(key: str, keys: Iterable[str]) -> str | None:
    """The key of which another is a slip of the pen: one letter too many, too few, wrong, or two in the wrong order."""
    return next((each for each in keys if _is_slip(key, each)), None)


def stray_separator(labels: Sequence[str], selecting: Sequence[str]) -> str | None:
    """Say what keeps a label from being ours that was meant to be: a comma or a colon within it."""
    for label in labels:
        parts = [part.strip() for part in label.split(",")]
        if len(parts) > 1 and any(part.partition("/")[0] in selecting for part in parts):
            listed = ", ".join(f'"{part}"' if ":" in part else part for part in parts)
            return f"the label {label!r} has a comma in it and is one label; write [{listed}]"
        head, colon, value = label.partition(":")
        if colon and head in selecting:
            return (
                f'the label {label!r} has a colon after {head!r}; write [{head}, "gpu:{value}"] or {head}/gpu={value}'
            )
    return None


def _words(label: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", label) if word]


def _names(label: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(\d+x)?{re.escape(name)}(x\d+)?(?![a-z0-9])", label) is not None


def _count(label: str, name: str) -> int:
    found = re.search(rf"(?:(\d{{1,2}})x)?{re.escape(name)}(?:[x:=-](\d{{1,2}})(?![0-9a-z]))?", label)
    return int((found and (found[1] or found[2])) or 1)


def _is_slip(written: str, meant: str) -> bool:
    if written == meant or abs(len(written) - len(meant)) > 1:
        return False
    at = next(
        (n for n, (a, b) in enumerate(zip(written, meant, strict=False)) if a != b), min(len(written), len(meant))
    )
    one, other = written[at:], meant[at:]
    swapped = one[:2] == other[1::-1] and one[2:] == other[2:] and len(one) > 1
    return one[1:] == other[1:] or one[1:] == other or one == other[1:] or swapped
