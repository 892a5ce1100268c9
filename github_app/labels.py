"""What a job's `runs-on` labels ask for. Labels are data from strangers: parsing never raises.

GitHub compares labels without regard to case (docs: "Using labels with self-hosted runners").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from github_app.model import Gpu

# What Modal calls the GPU and how many one container may have (modal.com/docs/guide/gpu).
GPUS: dict[str, tuple[str, int]] = {
    "t4": ("T4", 8),
    "l4": ("L4", 8),
    "a10": ("A10", 4),
    "l40s": ("L40S", 8),
    "a100": ("A100-40GB", 8),
    "a100-40gb": ("A100-40GB", 8),
    "a100-80gb": ("A100-80GB", 8),
    "h100": ("H100", 8),
    "h200": ("H200", 8),
    "b200": ("B200", 8),
    "b300": ("B300", 8),
    # Modal does not state a limit for this one.
    "rtx-pro-6000": ("RTX-PRO-6000", 1),
}
_OTHER_PLATFORMS = frozenset({"arm64", "arm", "windows", "macos"})


@dataclass(frozen=True)
class NotOurs:
    """The job does not ask for us."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """The job asks for us, with a label that cannot be served. `sentence` is for the workflow's author."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Wanted:
    """The job asks for us, and for this."""

    gpu: Gpu | None = None


def parse(labels: Sequence[str], ours: str) -> NotOurs | Rejected | Wanted:
    """Read `labels` as the job wrote them; `ours` is the label that selects us."""
    lowered = [label.strip().lower() for label in labels]
    if ours.lower() not in lowered:
        return NotOurs(f"no label {ours!r}")
    for label in lowered:
        if label in _OTHER_PLATFORMS:
            return Rejected("platform", f"The label {label!r} cannot be served: Modal's machines are Linux on x64.")
    gpus = [_gpu(label) for label in lowered if label.startswith("gpu:")]
    for gpu in gpus:
        if isinstance(gpu, Rejected):
            return gpu
    if len(gpus) > 1:
        return Rejected("conflict", "More than one gpu: label; a job runs on one kind of GPU. Keep one of them.")
    return Wanted(gpu=gpus[0] if gpus and isinstance(gpus[0], Gpu) else None)


def _gpu(label: str) -> Gpu | Rejected:
    """Read `gpu:TYPE`, `gpu:TYPE:N` or `gpu:TYPExN`."""
    asked = label.removeprefix("gpu:")
    kind, count = _kind_and_count(asked)
    if kind not in GPUS:
        nearest = get_close_matches(asked, GPUS, n=1, cutoff=0.0)[0]
        return Rejected(
            "gpu",
            f"The label {label!r} names no GPU of Modal. Nearest: 'gpu:{nearest}'. All: {', '.join(GPUS)}.",
        )
    name, most = GPUS[kind]
    if not 1 <= count <= most:
        return Rejected("gpu-count", f"The label {label!r} asks for {count} GPUs; Modal gives 1 to {most} of {kind}.")
    return Gpu(name, count)


def _kind_and_count(asked: str) -> tuple[str, int]:
    for separator in (":", "x"):
        kind, found, digits = asked.rpartition(separator)
        if found and kind in GPUS and digits.isascii() and digits.isdigit() and len(digits) <= 4:
            return kind, int(digits)
    return asked, 1
