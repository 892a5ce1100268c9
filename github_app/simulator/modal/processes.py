"""One local process whose output and end are reported by the event loop, without a thread or a poll."""

import asyncio
import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from github_app.simulator.modal.input import Input
from github_app.simulator.modal.output import STDERR, STDOUT, Output

_PIPE_SIZE = 65_536
# A terminal gives 4 KiB a read.
_LAST_READS = _PIPE_SIZE // 4096


class Process:
    """A program in a session of its own; `on_exit` is given its exit code, 128 + n after signal n.

    With `listens` it can be written to. `size` (rows, columns) gives it a terminal for all three streams; whoever wants
    it to be the controlling one has the command take it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        output: Output,
        on_exit: Callable[[int], None],
        listens: bool = False,
        size: tuple[int, int] | None = None,
    ) -> None:
        ours, theirs = _terminal(*size) if size else (-1, subprocess.PIPE)
        self._popen = subprocess.Popen(  # noqa: S603
            command,
            env=dict(environment),
            cwd=directory,
            stdin=theirs if listens else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        written: IO[bytes] | None = self._popen.stdin
        if size:
            os.close(theirs)
            self._pipes: dict[int, IO[bytes]] = {STDOUT: os.fdopen(ours, "rb", 0)}
            written = os.fdopen(os.dup(ours), "wb", 0)
        else:
            assert self._popen.stdout is not None  # noqa: S101
            assert self._popen.stderr is not None  # noqa: S101
            self._pipes = {STDOUT: self._popen.stdout, STDERR: self._popen.stderr}
        self.input = Input(written) if written else None
        self.pid = self._popen.pid
        self._output = output
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        for file_descriptor, pipe in self._pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._read, file_descriptor)
        # A pidfd is readable once the process has ended: no thread waits, as asyncio's own would.
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._exited)

    def mute(self) -> None:
        """Take what was printed so far and read no more."""
        for file_descriptor in tuple(self._pipes):
            # So much empties a pipe, and a program that never pauses cannot hold us here.
            for _ in range(_LAST_READS):
                self._read(file_descriptor)
            self._close(file_descriptor)

    def kill_group(self) -> None:
        """Kill the program and those of its descendants that stayed in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _read(self, file_descriptor: int) -> None:
        pipe = self._pipes.get(file_descriptor)
        if pipe is None:
            return
        try:
            data = os.read(pipe.fileno(), _PIPE_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            # So a terminal says that nobody has it open any more.
            if error.errno != errno.EIO:
                raise
            data = b""
        if data:
            self._output.append(file_descriptor, data)
        else:
            self._close(file_descriptor)

    def _close(self, file_descriptor: int) -> None:
        if pipe := self._pipes.pop(file_descriptor, None):
            self._loop.remove_reader(pipe.fileno())
            pipe.close()

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self.input is not None:
            self.input.close()
        self.mute()
        self._output.close()
        code = self._popen.wait()
        self._on_exit(code if code >= 0 else 128 - code)


def _terminal(rows: int, columns: int) -> tuple[int, int]:
    """Open a terminal of this size, and return our end and theirs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    return ours, theirs
