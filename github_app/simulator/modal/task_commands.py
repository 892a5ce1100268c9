"""Commands run inside a sandbox, and its output: the service that the SDK finds on a sandbox's machine."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping

from grpclib import GRPCError, Status
from modal_proto import api_pb2
from modal_proto import task_command_router_pb2 as router_pb2

from github_app.simulator.modal.output import STDERR, STDOUT, Output
from github_app.simulator.modal.processes import Process
from github_app.simulator.modal.rpcs import rpc
from github_app.simulator.modal.sandbox import Sandbox
from github_app.simulator.modal.secrets import Secrets
from github_app.simulator.modal.tokens import unsigned_jwt
from github_app.simulator.modal.workspace import Workspace

_TOKEN_LIFETIME = 3600
_EXEC_OUTPUT_LIMIT = 16 << 20
# `nsenter` is of a session outside the namespace; a shell's own begins inside, and takes the terminal.
_TERMINAL = ("/usr/bin/setsid", "--ctty", "--wait")
# The shell enters the directory: nsenter's own --wd would resolve it outside the mount namespace.
_ENTER = ("/bin/sh", "-c", 'cd "$0" && exec "$@"')


class Access:
    """Tells clients where a sandbox's commands are served: at this same address."""

    def __init__(self, workspace: Workspace) -> None:
        self.url = ""
        self._workspace = workspace
        self._tokens: dict[str, str] = {}

    def authenticate(self, metadata: Mapping[str, str | bytes], task_id: str) -> None:
        """Raise UNAUTHENTICATED unless the token is the one given out for the task."""
        token = self._tokens.get(task_id)
        if token is None or metadata.get("authorization") != f"Bearer {token}":
            raise GRPCError(Status.UNAUTHENTICATED, "Invalid task token.")

    @rpc
    async def sandbox_get_command_router_access(
        self, request: api_pb2.SandboxGetCommandRouterAccessRequest
    ) -> api_pb2.SandboxGetCommandRouterAccessResponse:
        """Serve a V2 sandbox's first exec or read of output."""
        by_id = bool(request.sandbox_id)
        workspace = self._workspace
        sandbox = workspace.find(request.sandbox_id) if by_id else workspace.find_task(request.task_id)
        token = self._token(sandbox)
        return api_pb2.SandboxGetCommandRouterAccessResponse(url=self.url, jwt=token)

    @rpc
    async def task_get_command_router_access(
        self, request: api_pb2.TaskGetCommandRouterAccessRequest
    ) -> api_pb2.TaskGetCommandRouterAccessResponse:
        """Serve a V1 sandbox's first exec."""
        token = self._token(self._workspace.find_task(request.task_id))
        return api_pb2.TaskGetCommandRouterAccessResponse(url=self.url, jwt=token)

    def first(self, sandbox: Sandbox) -> api_pb2.CommandRouterAccess:
        """Return the access that comes with the answer to a V2 creation."""
        return api_pb2.CommandRouterAccess(url=self.url, jwt=self._token(sandbox))

    def _token(self, sandbox: Sandbox) -> str:
        if sandbox.result is not None:
            raise GRPCError(Status.FAILED_PRECONDITION, f"Sandbox '{sandbox.id}' has already finished.")
        if sandbox.task_id not in self._tokens:
            self._tokens[sandbox.task_id] = unsigned_jwt(sandbox.task_id, time.time() + _TOKEN_LIFETIME)
        return self._tokens[sandbox.task_id]


class _Exec:
    """One command, running or ended."""

    def __init__(self) -> None:
        self.output = Output(_EXEC_OUTPUT_LIMIT)
        self.ended = asyncio.Event()
        self.code = 0
        self._process: Process | None = None
        self._timeout: asyncio.TimerHandle | None = None

    async def start(self, sandbox: Sandbox, request: router_pb2.TaskExecStartRequest, given: Mapping[str, str]) -> None:
        join = await sandbox.join_command()
        if not join:
            raise GRPCError(Status.NOT_FOUND, f"Task '{sandbox.task_id}' is not running.")
        directory = sandbox.directory(request.workdir)
        terminal = request.pty_info if request.HasField("pty_info") else None
        self._process = Process(
            [*join, *(_TERMINAL if terminal else ()), *_ENTER, str(directory), *request.command_args],
            environment={**sandbox.environment, **_variables(request.pty_info), **given},
            directory=directory,
            output=self.output,
            on_exit=self._exited,
            listens=True,
            size=(terminal.winsz_rows, terminal.winsz_cols) if terminal else None,
        )
        if request.timeout_secs:
            loop = asyncio.get_running_loop()
            self._timeout = loop.call_later(request.timeout_secs, self._process.kill_group)

    async def write(self, request: router_pb2.TaskExecStdinWriteRequest) -> None:
        process = self._process
        if process is None or process.input is None:
            raise GRPCError(Status.FAILED_PRECONDITION, "the command has not started")
        try:
            await process.input.write(request.data, request.offset, eof=request.eof)
        except OSError:
            raise GRPCError(Status.FAILED_PRECONDITION, "the command does not read its input any more") from None
        except ValueError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from None

    def _exited(self, code: int) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
        self.code = code
        self.ended.set()

    @property
    def status(self) -> dict[str, int]:
        """The field of an answer that holds the end: none while running, a signal, or a code."""
        if not self.ended.is_set():
            return {}
        if self.code == 128 + signal.SIGKILL:
            return {"signal": signal.SIGKILL}
        return {"code": self.code}


class TaskCommands:
    """Runs commands in the PID namespace, directory and environment of a sandbox."""

    def __init__(self, workspace: Workspace, secrets: Secrets) -> None:
        self._workspace = workspace
        self._secrets = secrets
        self._execs: dict[str, _Exec] = {}

    async def wait_all(self) -> None:
        """Wait until the commands have ended, as they do with their sandboxes."""
        for command in self._execs.values():
            await command.ended.wait()

    @rpc
    async def task_exec_start(self, request: router_pb2.TaskExecStartRequest) -> router_pb2.TaskExecStartResponse:
        """Start a command; the id is the client's, so a repeated call starts nothing."""
        sandbox = self._workspace.find_task(request.task_id)
        if sandbox.result is not None:
            raise GRPCError(Status.NOT_FOUND, f"Task '{request.task_id}' is not running.")
        if request.exec_id not in self._execs:
            given = self._secrets.variables(request.secret_sources)
            command = self._execs[request.exec_id] = _Exec()
            try:
                await command.start(sandbox, request, given)
            except BaseException:
                del self._execs[request.exec_id]
                raise
        return router_pb2.TaskExecStartResponse()

    @rpc
    async def task_exec_poll(self, request: router_pb2.TaskExecPollRequest) -> router_pb2.TaskExecPollResponse:
        """Serve `poll` of a command."""
        return router_pb2.TaskExecPollResponse(**self._find(request.exec_id).status)

    @rpc
    async def task_exec_wait(self, request: router_pb2.TaskExecWaitRequest) -> router_pb2.TaskExecWaitResponse:
        """Serve `wait` of a command."""
        command = self._find(request.exec_id)
        await command.ended.wait()
        return router_pb2.TaskExecWaitResponse(**command.status)

    @rpc
    async def task_exec_stdin_write(
        self, request: router_pb2.TaskExecStdinWriteRequest
    ) -> router_pb2.TaskExecStdinWriteResponse:
        """Serve `drain` of a command's standard input, which stays open until its end is written."""
        await self._find(request.exec_id).write(request)
        return router_pb2.TaskExecStdinWriteResponse()

    @rpc
    async def task_exec_stdio_read(
        self, request: router_pb2.TaskExecStdioReadRequest
    ) -> AsyncIterator[router_pb2.TaskExecStdioReadResponse]:
        """Follow the output of a command."""
        output = self._find(request.exec_id).output
        is_stderr = request.file_descriptor == router_pb2.TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDERR
        async for _, data in output.follow(STDERR if is_stderr else STDOUT, request.offset):
            yield router_pb2.TaskExecStdioReadResponse(data=data)

    @rpc
    async def sandbox_stdio_read_v2(
        self, request: router_pb2.SandboxStdioReadV2Request
    ) -> AsyncIterator[router_pb2.SandboxStdioReadV2Response]:
        """Follow the output of a V2 sandbox's entrypoint."""
        output = self._workspace.find_task(request.task_id).output
        is_stderr = request.file_descriptor == router_pb2.SANDBOX_STDIO_FILE_DESCRIPTOR_STDERR
        async for end, data in output.follow(STDERR if is_stderr else STDOUT, request.offset):
            yield router_pb2.SandboxStdioReadV2Response(data=data, starting_offset=end - len(data))

    @rpc
    async def task_reload_volumes(
        self, _request: router_pb2.TaskReloadVolumesRequest
    ) -> router_pb2.TaskReloadVolumesResponse:
        """Serve `reload_volumes`; a Volume's directory is always up to date."""
        return router_pb2.TaskReloadVolumesResponse()

    def _find(self, exec_id: str) -> _Exec:
        try:
            return self._execs[exec_id]
        except KeyError:
            raise GRPCError(Status.NOT_FOUND, f"Exec '{exec_id}' not found.") from None


def _variables(terminal: api_pb2.PTYInfo) -> dict[str, str]:
    told = {"TERM": terminal.env_term, "COLORTERM": terminal.env_colorterm, "TERM_PROGRAM": terminal.env_term_program}
    return {name: value for name, value in told.items() if value}
