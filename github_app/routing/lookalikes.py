"""Labels that read like a machine and ask for none: refused, for a job that meant a GPU must not run without one. Pure.

Real workflows write `gpu-h100`, `8xh100`, `a100_80gb`, `cuda12`, `ram:64g`, `8-cores`, `c5.2xlarge`, `linux-arm64`,
`macos14`. What an administrator has named passes. A hint never costs more than what was written.
"""

import re
from collections.abc import Iterable, Sequence

from github_app.routing.catalog import GPUS
from github_app.routing.globs import matches

# A word of one of these says GPU whatever stands around it: families, and models whose name is nothing else.
_FAMILY = (
    r"(?:multi|high|ultra|mega)?(?:gpu|cuda|nvidia|rocm|geforce|radeon|rtx|gtx|dgx|hgx|tpu|blackwell|vram)[a-z0-9]*|amd"
)
_MODEL = (
    r"(?:[abhpv]100|[bh]200|b300|[ah]800|a[456]000|a10g?|a[34]0|l4|l40s?|t4|k80|gh200|gb[23]00|mi[23]\d{2}x?)"
    r"(?:sxm\d?|pcie|nvl|\d{2}gb?)?"
)
# These are also a team's or a product's name: they say GPU where nothing else is said.
_SHORT = r"a2|a16|p4|m60|h20|tesla|titan|quadro|hopper|ampere|ada"
_COUNTED = r"(?:\d{{1,2}}x?)?(?:{names})(?:x\d{{1,2}})?"
_SURE_GPU = re.compile(_COUNTED.format(names=f"{_FAMILY}|{_MODEL}"))
_SHORT_GPU = re.compile(_COUNTED.format(names=_SHORT))
_SURE_MEMORY = re.compile(r"ram(?:\d{1,5})?|(?:ram|mem|memory)\d{1,5}[mg]i?b?|mem|(?:high|hi|big)mem")
_SHORT_MEMORY = re.compile(r"memory|[1-9]\d{0,4}gi?b?")
# "8-cores", "16cpu", "vcpus:8", "e2-standard-4", "16c32g": how many are wished for stands in it, whatever else does.
_CORES = re.compile(
    r"(?<![a-z0-9])(?:"
    r"([1-9]\d{0,3})-?v?(?:cpu|core)s?|v?(?:cpus?|cores)-?([1-9]\d{0,3})"
    r"|[a-z]\d[a-z]?-(?:standard|highmem|highcpu)-([1-9]\d{0,2})|standard-[a-z]{1,2}([1-9]\d{0,2})[a-z]{0,4}-v\d"
    r"|([1-9]\d{0,2})c\d{1,4}g)(?![a-z0-9])"
)
# "core-8" is also a version of something.
_SHORT_CORES = re.compile(r"core-?([1-9]\d{0,3})")
_SHORT_SIZE = re.compile(r"(\d{0,2})(x*)(?:large|l)|x*small|medium|big|huge|metal|(?:high|hi)cpu")
# As Amazon calls its machines: "c5.2xlarge". Those of the families g and p have a GPU, and others what is alike.
_CLOUDS = re.compile(r"(?:[acdgimprtxz]|trn|inf)\d{1,2}[a-z]{0,4}")
_GPU_CLOUDS = re.compile(r"(?:[gp]|trn|inf)\d{1,2}[a-z]{0,4}")
# What other makers and generations call a card of which ours is the nearest in memory and price.
_NEAREST_CARD = {"a10g": "a10", "l40": "l40s"}
_SURE_PLATFORM = re.compile(
    r"(?:arm64|armhf|armv\d|aarch64|windows|macos|osx|darwin|win(?=\d)|ppc64|s390x|riscv)[a-z0-9]*"
)
_SHORT_PLATFORM = re.compile(r"arm|mac|win|apple")
_SYSTEMS = frozenset({"linux", "ubuntu", "debian", "alpine", "runner", "runners"})
_NEUTRAL = re.compile(
    r"\d{1,4}x?|x\d{1,2}|m[1-4]|silicon|\d{0,3}v?(?:cpus?|cores?)|x64|high|low|self|hosted|linux|ubuntu|latest|runners?|machines?|instances?|nodes?|os|arch|platform|type|"
    r"accelerators?|count|with|single|multi|x?small|medium|x?large|xl|\d{2}gb?|sxm\d?|pcie|nvl"
)
# What a card's name may be followed by: its form.
_FORM = r"(?:g(?!b)|-?(?:sxm\d?|pcie|nvl|\d{2}gb))?"
_NONE_OF_IT = frozenset({"no", "non", "not", "without"})
_SIZE = re.compile(r"(?:ram|mem|memory)?(\d{1,5}(?:m|mb|mib|g|gb|gib)?)")


def is_passed(label: str, passes: Iterable[str]) -> bool:
    """Tell whether an administrator has named a label; a glob that names nothing, like `*`, does not."""
    return any(glob.strip("*?") and matches(label, glob) for glob in passes)


def platform(label: str) -> bool:
    """Tell whether a label asks for a processor or system that Modal has not."""
    words = _words(label)
    # "ubuntu-2404-arm", whoever offers it.
    beside_a_system = "arm" in words and not _SYSTEMS.isdisjoint(words)
    return beside_a_system or _says(words, _SURE_PLATFORM, _SHORT_PLATFORM)


def meant_hardware(label: str) -> str | None:
    """The label of ours that one was meant for which reads like hardware; None for any other."""
    words = _words(label)
    gpu = _says(words, _SURE_GPU, _SHORT_GPU)
    if not gpu and _says(words, _SURE_MEMORY, _SHORT_MEMORY):
        asked = next((found[1] for word in words if (found := _SIZE.fullmatch(word))), None)
        size = asked or ("2g" if "low" in words else "32g")
        return f"'memory:{size}'"
    if not gpu and (size := _size(words)) is not None:
        return size
    if not gpu:
        return None
    return _card(words) or f"'gpu:TYPE' with one of {', '.join(GPUS)}"


def nearest_card(kind: str, count: int) -> str | None:
    """The label of ours for a card that there is not: the same by another name, or the cheapest slip of the pen.

    None where it is another card: which of ours serves instead is for its author to say.
    """
    words = _words(kind)
    if (same := _card(words, count)) is not None:
        return same
    if re.fullmatch(f"{_MODEL}|{_FAMILY}|{_SHORT}", kind):
        return None
    slips = [name for name in GPUS if _is_slip(kind, name)]
    return _label_of(min(slips, key=lambda name: GPUS[name].usd_per_s), count) if slips else None


def _card(words: Sequence[str], count: int | None = None) -> str | None:
    """The label of ours for the card that these words name; `count` where it is known already."""
    # As we write it: "a100_80gb", "a10080gb" and "a100-80" are "a100-80gb".
    written = re.sub(r"a100-?([48]0)(?:gb?)?(?![0-9])", r"a100-\1gb", "-".join(words))
    known = next((name for name in sorted(GPUS, key=len, reverse=True) if _names(written, name)), None)
    if known is None and (other := next((name for name in _NEAREST_CARD if _names(written, name)), None)):
        return _label_of(_NEAREST_CARD[other], _count(written, other) if count is None else count)
    return None if known is None else _label_of(known, _count(written, known) if count is None else count)


def _label_of(card: str, count: int) -> str:
    return f"'gpu:{card}:{count}'" if 1 < count <= GPUS[card].most else f"'gpu:{card}'"


def _size(words: Sequence[str]) -> str | None:
    """The label of ours for a size that is no memory: by cores, by a word, or by a cloud's name for its machine."""
    if not _NONE_OF_IT.isdisjoint(words):
        return None
    written = "-".join(words)
    if (cores := _CORES.search(written)) is not None:
        return f"'cpu:{next(filter(None, cores.groups()))}'"
    if (core := _SHORT_CORES.search(written)) and all(word == "core" or _NEUTRAL.fullmatch(word) for word in words):
        return f"'cpu:{core[1]}'"
    sizes = [found for word in words if (found := _SHORT_SIZE.fullmatch(word))]
    others = [word for word in words if not _SHORT_SIZE.fullmatch(word) and not _NEUTRAL.fullmatch(word)]
    if not sizes or not all(_CLOUDS.fullmatch(word) for word in others):
        return None
    if any(_GPU_CLOUDS.fullmatch(word) for word in others):
        return f"'gpu:TYPE' with one of {', '.join(GPUS)}"
    return f"'cpu:{_vcpus(sizes[0])}'"


def _vcpus(size: re.Match[str]) -> int:
    """How many a size has at the largest cloud, where `large` is two and `4xlarge` sixteen."""
    return 4 * max(1, int(size[1] or len(size[2]))) if size[2] else 2


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
        value = value.removeprefix("gpu:")
        if colon and head in selecting:
            return (
                f'the label {label!r} has a colon after {head!r}; write [{head}, "gpu:{value}"] or {head}/gpu={value}'
            )
    return None


def _words(label: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", label) if word]


def _says(words: Sequence[str], sure: re.Pattern[str], short: re.Pattern[str]) -> bool:
    """Tell whether one word says it for sure, or a short one beside which nothing else is said."""
    if not _NONE_OF_IT.isdisjoint(words):
        return False
    if any(sure.fullmatch(word) for word in words):
        return True
    others = [word for word in words if not short.fullmatch(word)]
    return len(others) < len(words) and all(_NEUTRAL.fullmatch(word) for word in others)


def _names(written: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(\d+x)?{re.escape(name)}{_FORM}(x\d+)?(?![a-z0-9])", written) is not None


def _count(written: str, name: str) -> int:
    found = re.search(rf"(?:(\d{{1,2}})x-?)?{re.escape(name)}{_FORM}(?:[x-](\d{{1,2}})(?![0-9a-z]))?", written)
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
