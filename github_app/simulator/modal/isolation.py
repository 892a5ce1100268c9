"""How sandboxes are kept apart: PID namespaces where the kernel allows, else plain process groups."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# A process may fork between being read and being killed, so the plain kill looks again.
_ROUNDS = 20


@dataclass(frozen=True)
class Isolation:
    """The commands that put a program into a namespace of its own, and into that of another process."""

    create: tuple[str, ...]
    join: tuple[str, ...]
    namespaced: bool

    def init_of(self, leader: int) -> int | None:
        """Return the process that is PID 1 in the namespace made by `leader`; None while there is none."""
        if not self.namespaced:
            return leader
        with suppress(OSError, IndexError):
            return int(Path(f"/proc/{leader}/task/{leader}/children").read_text().split()[0])
        return None

    def kill(self, leader: int, marker: str) -> None:
        """Kill a sandbox with all its descendants, also those in sessions of their own.

        When PID 1 of a namespace dies, the kernel kills the rest before `leader` can reap it. Without a
        namespace the sandbox's processes are known by the marker in their environment.
        """
        with suppress(ProcessLookupError):
            os.kill(self.init_of(leader) or leader, signal.SIGKILL)
        if not self.namespaced:
            kill_marked(marker)


def kill_marked(marker: str) -> None:
    """Kill every process whose environment holds the marker."""
    for _ in range(_ROUNDS):
        found = list(_marked(marker.encode()))
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _marked(marker: bytes) -> Iterator[int]:
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with suppress(OSError):
                # The environment of a zombie reads as empty.
                if marker in (directory / "environ").read_bytes().split(b"\0"):
                    yield int(directory.name)


def probe() -> Isolation:
    """Return the first way that works on this machine."""
    unshare, nsenter = shutil.which("unshare"), shutil.which("nsenter")
    if unshare and nsenter:
        # With --kill-child the namespace ends with the process that made it, however that one ends.
        flags = ("--pid", "--fork", "--mount-proc", "--kill-child")
        join = (nsenter, "--pid", "--mount")
        as_root = Isolation((unshare, *flags), join, namespaced=True)
        as_user = Isolation(
            (unshare, "--user", "--map-root-user", *flags),
            (*join, "--user", "--preserve-credentials"),
            namespaced=True,
        )
        for isolation in (as_root, as_user):
            if _works(isolation):
                return isolation
    sys.stderr.write("simulated Modal: no PID namespaces on this machine, sandboxes are process groups\n")
    # `env` answers 127 for a program that does not exist, as a shell does and as `unshare` does.
    return Isolation(("/usr/bin/env",), ("/usr/bin/env",), namespaced=False)


def _works(isolation: Isolation) -> bool:
    test = [*isolation.create, "true"]
    return subprocess.run(test, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603
