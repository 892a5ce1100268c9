"""modal.Sandbox on both of Modal's backends: V2 for CPU sandboxes, V1 for those with a GPU.

Creation and the look-up by name apart, an RPC of the one is an RPC of the other under another name.
"""

import asyncio
import string

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal.apps import App
from github_app.simulator.modal.naming import environment_of, fresh_id
from github_app.simulator.modal.rpcs import rpc, rpc_and_v2
from github_app.simulator.modal.sandbox import Sandbox
from github_app.simulator.modal.secrets import CreateRequest
from github_app.simulator.modal.task_commands import Access
from github_app.simulator.modal.workspace import Workspace

_PAGE = 100
_UPPERCASE = string.ascii_uppercase + string.digits


class Sandboxes:
    """Creation, life and end of sandboxes."""

    def __init__(self, workspace: Workspace, access: Access) -> None:
        self._workspace = workspace
        self._access = access

    @rpc
    async def sandbox_create_v2(self, request: api_pb2.SandboxCreateV2Request) -> api_pb2.SandboxCreateV2Response:
        """Start a CPU sandbox; it is placed when the call returns."""
        # Any id but `sb-` and 22 letters or digits is one of V2 to the SDK, and so is a task id's last V.
        sandbox_id = fresh_id("sb", length=26, alphabet=_UPPERCASE)
        sandbox = self._workspace.create(request, sandbox_id, f"{fresh_id('ta', length=25)}V")
        self._workspace.start(sandbox)
        return api_pb2.SandboxCreateV2Response(
            sandbox_id=sandbox.id,
            task_id=sandbox.task_id,
            metadata=_metadata(sandbox),
            command_router_access=self._access.first(sandbox),
        )

    @rpc
    async def sandbox_create(self, request: api_pb2.SandboxCreateRequest) -> api_pb2.SandboxCreateResponse:
        """Queue a GPU sandbox; the SDK then asks for its task until a GPU is free."""
        sandbox = self._workspace.create(request, fresh_id("sb"), f"{fresh_id('ta', length=21)}0")
        self._workspace.queue(sandbox)
        return api_pb2.SandboxCreateResponse(sandbox_id=sandbox.id, metadata=_metadata(sandbox))

    @rpc_and_v2
    async def sandbox_get_task_id(self, request: api_pb2.SandboxGetTaskIdRequest) -> api_pb2.SandboxGetTaskIdResponse:
        """Name the task once the sandbox is placed; a result without a task is an end before the start."""
        sandbox = self._workspace.find(request.sandbox_id)
        placed = sandbox.started_at is not None
        return api_pb2.SandboxGetTaskIdResponse(task_id=sandbox.task_id if placed else None, task_result=sandbox.result)

    @rpc_and_v2
    async def sandbox_wait(self, request: api_pb2.SandboxWaitRequest) -> api_pb2.SandboxWaitResponse:
        """Serve `poll` and `from_id` (timeout 0) and `wait`, which the SDK repeats until the end."""
        sandbox = self._workspace.find(request.sandbox_id)
        if request.timeout > 0:
            ended = asyncio.ensure_future(sandbox.ended.wait())
            await asyncio.wait([ended], timeout=request.timeout)
            ended.cancel()
        return api_pb2.SandboxWaitResponse(result=sandbox.result, metadata=_metadata(sandbox))

    @rpc_and_v2
    async def sandbox_terminate(self, request: api_pb2.SandboxTerminateRequest) -> api_pb2.SandboxTerminateResponse:
        """Kill the sandbox; one that has ended keeps the result it has."""
        sandbox = self._workspace.find(request.sandbox_id)
        existing = sandbox.result
        sandbox.end("terminated")
        await sandbox.ended.wait()
        return api_pb2.SandboxTerminateResponse(existing_result=existing)

    @rpc
    async def sandbox_list_v2(self, request: api_pb2.SandboxListRequest) -> api_pb2.SandboxListResponse:
        """Serve one page of `Sandbox.list`, of both backends and newest first."""
        tags = {tag.tag_name: tag.tag_value for tag in request.tags}.items()
        app = self._workspace.app(request.app_id)
        found = [
            sandbox
            for sandbox in self._workspace.newest_first(include_ended=request.include_finished)
            if sandbox.app == app
            and tags <= sandbox.tags.items()
            and (not request.before_timestamp or sandbox.created_at < request.before_timestamp)
        ]
        return api_pb2.SandboxListResponse(sandboxes=map(_info, found[:_PAGE]))

    @rpc
    async def sandbox_get_from_name(
        self, request: api_pb2.SandboxGetFromNameRequest
    ) -> api_pb2.SandboxGetFromNameResponse:
        """Find the running V1 sandbox that has the name; the SDK asks here when V2 has none."""
        return self._find_named(request, api_pb2.SandboxCreateRequest)

    @rpc
    async def sandbox_get_from_name_v2(
        self, request: api_pb2.SandboxGetFromNameRequest
    ) -> api_pb2.SandboxGetFromNameResponse:
        """Find the V2 sandbox that has the name or, if asked, the last that had it."""
        return self._find_named(request, api_pb2.SandboxCreateV2Request)

    def _find_named(
        self, request: api_pb2.SandboxGetFromNameRequest, made_by: type[CreateRequest]
    ) -> api_pb2.SandboxGetFromNameResponse:
        app = App(request.app_name, environment_of(request.environment_name))
        for include_ended in (False, True)[: 1 + request.include_terminated]:
            for sandbox in self._workspace.newest_first(include_ended=include_ended):
                named = sandbox.app == app and sandbox.definition.name == request.sandbox_name
                if named and isinstance(sandbox.request, made_by):
                    return api_pb2.SandboxGetFromNameResponse(sandbox_id=sandbox.id, metadata=_metadata(sandbox))
        message = f"Sandbox '{request.sandbox_name}' not found in App '{app.name}'."
        raise GRPCError(Status.NOT_FOUND, message)

    @rpc_and_v2
    async def sandbox_tags_get(self, request: api_pb2.SandboxTagsGetRequest) -> api_pb2.SandboxTagsGetResponse:
        """Serve `get_tags`."""
        return api_pb2.SandboxTagsGetResponse(tags=_tags(self._workspace.find(request.sandbox_id)))

    @rpc_and_v2
    async def sandbox_tags_set(self, request: api_pb2.SandboxTagsSetRequest) -> Empty:
        """Serve `set_tags`, which replaces them all."""
        sandbox = self._workspace.find(request.sandbox_id)
        sandbox.tags = {tag.tag_name: tag.tag_value for tag in request.tags}
        return Empty()


def _metadata(sandbox: Sandbox) -> api_pb2.SandboxHandleMetadata:
    return api_pb2.SandboxHandleMetadata(app_id=sandbox.request.app_id, result=sandbox.result)


def _tags(sandbox: Sandbox) -> list[api_pb2.SandboxTag]:
    return [api_pb2.SandboxTag(tag_name=name, tag_value=value) for name, value in sandbox.tags.items()]


def _info(sandbox: Sandbox) -> api_pb2.SandboxInfo:
    return api_pb2.SandboxInfo(
        id=sandbox.id,
        app_id=sandbox.request.app_id,
        name=sandbox.definition.name,
        tags=_tags(sandbox),
        created_at=sandbox.created_at,
        image_id=sandbox.definition.image_id,
        timeout_secs=sandbox.definition.timeout_secs,
        # The SDK reads the result from here to know whether a listed sandbox still runs.
        task_info=api_pb2.TaskInfo(id=sandbox.task_id, started_at=sandbox.started_at or 0, result=sandbox.result),
        metadata=_metadata(sandbox),
    )
