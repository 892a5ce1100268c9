"""What sandboxes printed: followed while they run, and looked up afterwards."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from modal_proto import api_pb2

from github_app.simulator.modal.output import STDOUT, Entry
from github_app.simulator.modal.rpcs import rpc
from github_app.simulator.modal.sandbox import Sandbox
from github_app.simulator.modal.workspace import Workspace


class _Query(Protocol):
    """What the two look-ups of logs have in common."""

    task_id: str
    sandbox_id: str
    source: "api_pb2.FileDescriptor.ValueType"
    search_text: str

    @property
    def since(self) -> Timestamp: ...
    @property
    def until(self) -> Timestamp: ...


class Logs:
    """The server's logs, which outlive the sandboxes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @rpc
    async def sandbox_get_logs(self, request: api_pb2.SandboxGetLogsRequest) -> AsyncIterator[api_pb2.TaskLogsBatch]:
        """Follow the stdout or stderr of a V1 sandbox; an entry's id is the offset of its end."""
        sandbox = self._workspace.find(request.sandbox_id)
        offset = int(request.last_entry_id or 0)
        async for end, data in sandbox.output.follow(request.file_descriptor or STDOUT, offset):
            offset = end
            item = api_pb2.TaskLogs(data=data.decode(errors="replace"), file_descriptor=request.file_descriptor)
            yield api_pb2.TaskLogsBatch(items=[item], entry_id=str(offset))
        yield api_pb2.TaskLogsBatch(entry_id=str(offset), eof=True)

    @rpc
    async def app_count_logs(self, request: api_pb2.AppCountLogsRequest) -> api_pb2.AppCountLogsResponse:
        """Count lines by time, from which `logs.fetch` makes its intervals."""
        size = request.bucket_secs or 1
        counts: dict[int, Counter[int]] = {}
        for _, line in self._lines(request):
            counts.setdefault(int(line.at) // size * size, Counter())[line.file_descriptor] += 1
        buckets = [
            api_pb2.AppCountLogsResponse.LogBucket(
                bucket_start_at=Timestamp(seconds=start), stdout_logs=count[1], stderr_logs=count[2]
            )
            for start, count in sorted(counts.items())
        ]
        return api_pb2.AppCountLogsResponse(app_id=request.app_id, buckets=buckets)

    @rpc
    async def app_fetch_logs(self, request: api_pb2.AppFetchLogsRequest) -> api_pb2.AppFetchLogsResponse:
        """Return the last lines of an interval, for `logs.fetch` and `logs.tail`."""
        lines = list(self._lines(request))[-request.limit or None :]
        batches = [
            api_pb2.TaskLogsBatch(task_id=sandbox.task_id, sandbox_id=sandbox.id, items=[_item(line)])
            for sandbox, line in lines
        ]
        return api_pb2.AppFetchLogsResponse(batches=batches)

    def _lines(self, query: _Query) -> Iterator[tuple[Sandbox, Entry]]:
        wanted = query.task_id or query.sandbox_id
        sandbox = self._workspace.find_task(wanted) if query.task_id else self._workspace.find(wanted)
        since, until = _seconds(query.since), _seconds(query.until)
        for entry in sandbox.output.entries():
            for data in entry.data.splitlines(keepends=True):
                in_time = since <= entry.at < until
                from_source = query.source in (0, entry.file_descriptor)
                if in_time and from_source and query.search_text.encode() in data:
                    yield sandbox, Entry(entry.at, entry.file_descriptor, data)


def _item(line: Entry) -> api_pb2.TaskLogs:
    return api_pb2.TaskLogs(
        data=line.data.decode(errors="replace"),
        timestamp=line.at,
        timestamp_ns=int(line.at * 1e9),
        file_descriptor=api_pb2.FileDescriptor.Name(line.file_descriptor),
    )


def _seconds(timestamp: Timestamp) -> float:
    return float(timestamp.seconds) + float(timestamp.nanos) / 1e9
