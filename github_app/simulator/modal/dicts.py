"""modal.Dict: in memory, one operation at a time."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal.naming import NamedObjects
from github_app.simulator.modal.rpcs import rpc

_MAX_UPDATE = 10_000


@dataclass
class _Dict:
    entries: dict[bytes, bytes]
    created_at: float = field(default_factory=time.time)


class Dicts:
    """Every Dict. No method awaits between reading and writing, which is what makes each of them atomic."""

    def __init__(self) -> None:
        self._dicts: NamedObjects[_Dict] = NamedObjects("Dict", "di")

    def entries(self, name: str) -> dict[bytes, bytes]:
        """What a named Dict holds."""
        dict_id = self._dicts.find(name, "")
        return {} if dict_id is None else dict(self._dicts[dict_id].entries)

    def forget(self, name: str) -> None:
        """Lose what a named Dict holds, as Modal does with entries that are not used for seven days."""
        dict_id = self._dicts.find(name, "")
        if dict_id is not None:
            self._dicts[dict_id].entries.clear()

    @rpc
    async def dict_get_or_create(self, request: api_pb2.DictGetOrCreateRequest) -> api_pb2.DictGetOrCreateResponse:
        """Serve `Dict.from_name`, `.ephemeral` and `.objects.create`."""
        name = request.deployment_name
        new = _Dict({entry.key: entry.value for entry in request.data})
        dict_id = self._dicts.get_or_create(name, request.environment_name, request.object_creation_type, new)
        return api_pb2.DictGetOrCreateResponse(dict_id=dict_id, metadata=self._metadata(name, dict_id))

    @rpc
    async def dict_heartbeat(self, _request: api_pb2.DictHeartbeatRequest) -> Empty:
        """Keep an ephemeral Dict; here they all live as long as the server."""
        return Empty()

    @rpc
    async def dict_list(self, request: api_pb2.DictListRequest) -> api_pb2.DictListResponse:
        """Serve one page of `Dict.objects.list`, newest first."""
        pagination = request.pagination
        infos = [
            api_pb2.DictListResponse.DictInfo(
                name=name,
                dict_id=dict_id,
                created_at=self._dicts[dict_id].created_at,
                metadata=self._metadata(name, dict_id),
            )
            for name, dict_id in reversed(self._dicts.named(request.environment_name))
        ]
        older = [i for i in infos if not pagination.created_before or i.created_at < pagination.created_before]
        return api_pb2.DictListResponse(dicts=older[: pagination.max_objects or None])

    @rpc
    async def dict_delete(self, request: api_pb2.DictDeleteRequest) -> Empty:
        """Serve `Dict.objects.delete`."""
        self._dicts.delete(request.dict_id)
        return Empty()

    @rpc
    async def dict_update(self, request: api_pb2.DictUpdateRequest) -> api_pb2.DictUpdateResponse:
        """Serve `put` and `update`; with `if_not_exists` a key that is there keeps its value."""
        if len(request.updates) > _MAX_UPDATE:
            raise GRPCError(Status.INVALID_ARGUMENT, f"Dict update has more than {_MAX_UPDATE} entries.")
        entries = self._dicts[request.dict_id].entries
        created = all(update.key not in entries for update in request.updates)
        for update in request.updates:
            if not (request.if_not_exists and update.key in entries):
                entries[update.key] = update.value
        return api_pb2.DictUpdateResponse(created=created)

    @rpc
    async def dict_get(self, request: api_pb2.DictGetRequest) -> api_pb2.DictGetResponse:
        """Serve `get`."""
        value = self._dicts[request.dict_id].entries.get(request.key)
        return api_pb2.DictGetResponse(found=value is not None, value=value)

    @rpc
    async def dict_contains(self, request: api_pb2.DictContainsRequest) -> api_pb2.DictContainsResponse:
        """Serve `contains`."""
        return api_pb2.DictContainsResponse(found=request.key in self._dicts[request.dict_id].entries)

    @rpc
    async def dict_pop(self, request: api_pb2.DictPopRequest) -> api_pb2.DictPopResponse:
        """Serve `pop`: of many callers one is given the value."""
        value = self._dicts[request.dict_id].entries.pop(request.key, None)
        return api_pb2.DictPopResponse(found=value is not None, value=value)

    @rpc
    async def dict_len(self, request: api_pb2.DictLenRequest) -> api_pb2.DictLenResponse:
        """Serve `len`."""
        return api_pb2.DictLenResponse(len=len(self._dicts[request.dict_id].entries))

    @rpc
    async def dict_clear(self, request: api_pb2.DictClearRequest) -> Empty:
        """Serve `clear`."""
        self._dicts[request.dict_id].entries.clear()
        return Empty()

    @rpc
    async def dict_contents(self, request: api_pb2.DictContentsRequest) -> AsyncIterator[api_pb2.DictEntry]:
        """Stream what there was when the stream was opened, for `keys`, `values` and `items`."""
        for key, value in list(self._dicts[request.dict_id].entries.items()):
            yield api_pb2.DictEntry(key=key if request.keys else b"", value=value if request.values else b"")

    def _metadata(self, name: str, dict_id: str) -> api_pb2.DictMetadata:
        created = api_pb2.CreationInfo(created_at=self._dicts[dict_id].created_at)
        return api_pb2.DictMetadata(name=name, creation_info=created)
