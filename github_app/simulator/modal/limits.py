"""The answers of a workspace that is at one of its limits."""

import time
from dataclasses import dataclass
from typing import Literal

from grpclib import GRPCError, Status
from modal_proto import api_pb2


@dataclass(frozen=True)
class Limits:
    """A workspace's limits; None is no limit. A new workspace has 100, 10 and 5.0.

    `setuid`: whether setuid programs have an effect under gVisor, which nobody has told of Modal's. `builder` is the
    environment's version of the image builder, `builders` are those that it takes. `docker`, `gpu_works`: virtual
    machines run containers, and GPUs are seen. `threads`: what the thread variables are derived from. `sees_processes`:
    a command in a sandbox sees those of its entrypoint. `open_to_all`: closed networks are none. `deep_wildcards`: a
    pattern of a domain means every depth below. `docker_pulls`: Docker Hub lets images be loaded.
    """

    containers: int | None = None
    gpus: int | None = None
    creates_per_second: float | None = None
    burst: int = 150
    setuid: bool = True
    builder: str = "2025.06"
    docker: bool = False
    docker_pulls: bool = True
    gpu_works: bool = True
    threads: Literal["request", "limit"] = "request"
    sees_processes: bool = True
    open_to_all: bool = False
    deep_wildcards: bool = True
    # Proxies that someone has made in the dashboard.
    proxies: frozenset[str] = frozenset({"office"})
    builders: frozenset[str] = frozenset({"2023.12", "2024.04", "2024.10", "2025.06", "2026.10"})


class CreationRate:
    """A bucket of `burst` creations that fills at the workspace's rate."""

    def __init__(self, limits: Limits) -> None:
        self._rate = limits.creates_per_second
        self._burst = limits.burst
        self._left = float(limits.burst)
        self._counted_at = time.monotonic()

    def take(self) -> None:
        """Count one creation, or refuse it with the time after which to try again."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._rate)
        self._counted_at = now
        if self._left < 1:
            raise self._throttled((1 - self._left) / self._rate)
        self._left -= 1

    def _throttled(self, retry_after: float) -> GRPCError:
        # The SDK retries at the server's pace, without end, only if the error carries this detail.
        policy = api_pb2.RPCRetryPolicy(retry_after_secs=retry_after)
        message = f"Sandbox creation rate limit ({self._rate:g}/s) exceeded"
        return GRPCError(Status.RESOURCE_EXHAUSTED, message, [policy])
