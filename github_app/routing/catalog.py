"""What Modal offers, and what it costs: GPUs, regions, prices. And what GitHub takes for runners of its own.

Sources: modal.com/docs/guide/gpu, modal.com/docs/guide/region-selection, modal.com/pricing (read in October 2026).
Prices are list prices for Sandboxes; `Workspace.billing.rates()` tells an account's own.
"""

import math
from dataclasses import dataclass

from github_app.model import Gpu, Shape


@dataclass(frozen=True)
class GpuType:
    """A GPU: Modal's name, how many one container may have, and its price in USD a second."""

    name: str
    most: int
    usd_per_s: float


@dataclass(frozen=True)
class GitHubRunner:
    """A runner that GitHub hosts: vCPUs, memory, its price in USD a minute, and its GPU by Modal's name."""

    vcpu: int
    memory_mib: int
    usd_per_minute: float
    gpu: str | None = None


# When Modal's prices were read.
PRICES_OF = "October 2026"
GPUS: dict[str, GpuType] = {
    "t4": GpuType("T4", 8, 0.000164),
    "l4": GpuType("L4", 8, 0.000222),
    "a10": GpuType("A10", 4, 0.000306),
    "l40s": GpuType("L40S", 8, 0.000542),
    "a100": GpuType("A100-40GB", 8, 0.000583),
    "a100-40gb": GpuType("A100-40GB", 8, 0.000583),
    "a100-80gb": GpuType("A100-80GB", 8, 0.000694),
    "h100": GpuType("H100", 8, 0.001097),
    "h200": GpuType("H200", 8, 0.001261),
    "b200": GpuType("B200", 8, 0.001736),
    "b300": GpuType("B300", 8, 0.001972),
    # Modal does not state a limit for this one.
    "rtx-pro-6000": GpuType("RTX-PRO-6000", 1, 0.000842),
}
BROAD_REGIONS = ("us", "eu", "ap", "uk", "ca", "me", "sa", "af", "mx")
NARROW_REGIONS = (
    *("us-east", "us-central", "us-south", "us-west", "eu-west", "eu-north", "eu-south"),
    *("ap-northeast", "ap-southeast", "ap-south", "ap-melbourne", "jp", "au"),
)
REGIONS = (*BROAD_REGIONS, *NARROW_REGIONS)
# The quota of a container; there is no parameter for it.
DISK_GIB = 512
# A sandbox lives at most so long.
LONGEST_S = 24 * 3600
# What a pinned region multiplies the price by.
_BROAD_FACTOR, _NARROW_FACTOR = 1.5, 1.75
_CORE_USD_PER_S = 0.00003942
_GIB_USD_PER_S = 0.00000667
# GitHub's larger runners, Linux on x64, the cheapest first: docs.github.com/en/billing/reference/actions-runner-pricing
# and docs.github.com/en/actions/reference/runners/larger-runners (read in November 2026; prices since January 2026).
GITHUB_RUNNERS = (
    GitHubRunner(2, 8 * 1024, 0.006),
    GitHubRunner(4, 16 * 1024, 0.012),
    GitHubRunner(8, 32 * 1024, 0.022),
    GitHubRunner(16, 64 * 1024, 0.042),
    GitHubRunner(4, 28 * 1024, 0.052, "T4"),
    GitHubRunner(32, 128 * 1024, 0.082),
    GitHubRunner(64, 256 * 1024, 0.162),
    GitHubRunner(96, 384 * 1024, 0.252),
)


def gpu_key(gpu: Gpu) -> str:
    """The name of a GPU in labels."""
    return next(key for key, each in reversed(GPUS.items()) if each.name == gpu.type)


def requested(shape: Shape) -> tuple[float, int, str | None]:
    """What a machine has at least: vCPUs, memory in MiB, and its GPUs."""
    return shape.cpu[0] * 2, shape.memory_mib[0], str(shape.gpu) if shape.gpu else None


def usd_per_minute(shape: Shape) -> float:
    """What a machine costs at least; Modal bills the larger of what is requested and what is used."""
    return round(60 * _usd_per_s(shape, shape.cpu[0], shape.memory_mib[0]), 6)


def most_usd(shape: Shape) -> float:
    """What a machine costs that uses all it may until its time-out ends it."""
    return round(shape.timeout_s * _usd_per_s(shape, max(shape.cpu), max(shape.memory_mib)), 2)


def github_runner(vcpu: float, memory_mib: int, gpu: str | None = None) -> GitHubRunner | None:
    """The cheapest runner of GitHub's own that has as much, and the same GPU (`T4`, `H100:2`); None: it has none."""
    return next(
        (each for each in GITHUB_RUNNERS if each.gpu == gpu and each.vcpu >= vcpu and each.memory_mib >= memory_mib),
        None,
    )


def github_usd(duration_s: float, vcpu: float, memory_mib: int, gpu: str | None = None) -> float | None:
    """What a job of so many seconds costs there; None: nowhere. GitHub bills each minute that has begun."""
    runner = github_runner(vcpu, memory_mib, gpu)
    return None if runner is None else round(max(1, math.ceil(duration_s / 60)) * runner.usd_per_minute, 6)


def _usd_per_s(shape: Shape, cores: float, memory_mib: int) -> float:
    per_second = cores * _CORE_USD_PER_S + memory_mib / 1024 * _GIB_USD_PER_S
    if shape.gpu is not None:
        per_second += shape.gpu.count * GPUS[gpu_key(shape.gpu)].usd_per_s
    if shape.region is not None:
        per_second *= _BROAD_FACTOR if shape.region in BROAD_REGIONS else _NARROW_FACTOR
    return per_second


# The version of actions/runner where the settings name none; `setup` and `redeploy` ask GitHub for the newest.
RUNNER_VERSION = "2.336.0"
# Of its linux-x64 archive, as its release notes have it.
RUNNER_SHA256 = "04cf0be1aff4c3ec3554466c39124ca250e3effd8873bb7e8d68535aa9505d5d"
