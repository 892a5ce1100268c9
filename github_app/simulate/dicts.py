"""Modal's Dicts in this process: the operations that the store uses, on the simulated Modal's own state and rules."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import modal
from modal_proto import api_pb2

from github_app.simulate.outcome import LONGEST_READ_LAG_S, Outcomes
from github_app.simulator.modal.dicts import Dicts
from github_app.store import ModalDictStore

T = TypeVar("T")
# The world's steps are no container's.
_WORLD = contextvars.Context()


@dataclass(frozen=True)
class _Operation:
    """One operation as the SDK offers it: `operation.aio(...)`."""

    aio: Callable[..., Any]


class Writes:
    """What was written lately, so that a read may show what was before."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # By Dict, by key: when, by which container, and the value that was there before.
        self._lately: defaultdict[str, dict[bytes, list[tuple[float, str, bytes | None]]]] = defaultdict(dict)

    def note(self, dict_name: str, key: bytes, container: str, before: bytes | None) -> None:
        """A write is about to take effect."""
        self._lately[dict_name].setdefault(key, []).append((self._now(), container, before))

    def as_seen(self, dict_name: str, key: bytes, value: bytes | None, container: str, lag: float) -> bytes | None:
        """The value as a container sees it whose reads lag: what it has written itself it sees at once."""
        for at, writer, before in reversed(self._lately[dict_name].get(key, ())):
            if writer == container or at <= self._now() - lag:
                break
            value = before
        return value

    def keys(self, dict_name: str) -> list[bytes]:
        """The keys in a Dict that were written lately; what is older is forgotten."""
        lately, oldest = self._lately[dict_name], self._now() - LONGEST_READ_LAG_S
        for key in [key for key, writes in lately.items() if writes[-1][0] < oldest]:
            del lately[key]
        return list(lately)


class DictInProcess:
    """What the store uses of one modal.Dict, as a container sees it.

    An operation takes effect in the world, some time after it was asked for and some time before it is answered. What
    writes is atomic; a read may lag behind the writes of other containers (Modal promises no consistency of them).
    """

    def __init__(self, dicts: Dicts, writes: Writes, name: str, container: str, outcomes: Outcomes) -> None:
        self._dicts = dicts
        self._writes = writes
        self._name = name
        self._container = container
        self._outcomes = outcomes
        kind = api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING
        request = api_pb2.DictGetOrCreateRequest(deployment_name=name, object_creation_type=kind)
        self._id = _at_once(dicts.dict_get_or_create(request)).dict_id
        self.put = _Operation(self._put)
        self.get = _Operation(self._get)
        self.pop = _Operation(self._pop)
        self.items = _Operation(self._items)

    async def _put(self, key: str, value: bytes, *, skip_if_exists: bool = False) -> bool:
        entry = api_pb2.DictEntry(key=key.encode(), value=value)
        request = api_pb2.DictUpdateRequest(dict_id=self._id, updates=[entry], if_not_exists=skip_if_exists)
        call = "put-if-absent" if skip_if_exists else "put"

        def put() -> bool:
            before = self._now_at(key)
            if not (skip_if_exists and before is not None):
                self._writes.note(self._name, key.encode(), self._container, before)
            return bool(_at_once(self._dicts.dict_update(request)).created)

        return await self._call(call, put)

    async def _get(self, key: str) -> bytes | None:
        def get() -> bytes | None:
            lag = self._outcomes.read_lag()
            return self._writes.as_seen(self._name, key.encode(), self._now_at(key), self._container, lag)

        return await self._call("get", get)

    def _now_at(self, key: str) -> bytes | None:
        answer = _at_once(self._dicts.dict_get(api_pb2.DictGetRequest(dict_id=self._id, key=key.encode())))
        return bytes(answer.value) if answer.found else None

    async def _pop(self, key: str, default: None) -> bytes | None:
        request = api_pb2.DictPopRequest(dict_id=self._id, key=key.encode())

        def pop() -> bytes | None:
            answer = _at_once(self._dicts.dict_pop(request))
            if not answer.found:
                return default
            self._writes.note(self._name, key.encode(), self._container, bytes(answer.value))
            return bytes(answer.value)

        return await self._call("pop", pop)

    async def _items(self) -> AsyncIterator[tuple[str, bytes]]:
        request = api_pb2.DictContentsRequest(dict_id=self._id, keys=True, values=True)

        async def all_of_them() -> dict[bytes, bytes | None]:
            return {entry.key: entry.value async for entry in self._dicts.dict_contents(request)}

        def items() -> dict[bytes, bytes | None]:
            seen, lag = _at_once(all_of_them()), self._outcomes.read_lag()
            for key in self._writes.keys(self._name):
                seen[key] = self._writes.as_seen(self._name, key, seen.get(key), self._container, lag)
            return seen

        for key, value in (await self._call("items", items)).items():
            if value is not None:
                yield key.decode(), value

    def _call(self, call: str, work: Callable[[], T]) -> "asyncio.Future[T]":
        loop, outcomes = asyncio.get_running_loop(), self._outcomes
        answered: asyncio.Future[T] = loop.create_future()

        def effect() -> None:
            error = outcomes.fails_dict(call)
            answer = None
            if error is None:
                answer = work()
                while outcomes.loses_answer(call):
                    # The SDK repeats the call, and finds what the first has done.
                    answer = work()
            loop.call_later(outcomes.latency(f"dict {call}") / 2, tell, error, answer, context=_WORLD)

        def tell(error: Exception | None, answer: Any) -> None:
            if answered.done():
                # Whoever asked has given up.
                return
            if error is None:
                answered.set_result(answer)
            else:
                answered.set_exception(error)

        loop.call_later(outcomes.latency(f"dict {call}") / 2, effect, context=_WORLD)
        return answered


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """What an operation of the simulated Modal's answers: it awaits nothing, and is atomic for that."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    raise RuntimeError("an operation of a Dict has waited")


class StoreInProcess(ModalDictStore):
    """The store, whose Dicts are here."""

    def __init__(self, app_name: str, dicts: Dicts, writes: Writes, container: str, outcomes: Outcomes) -> None:
        self._here = dicts
        self._writes = writes
        self._container = container
        self._outcomes = outcomes
        super().__init__(app_name)

    def open(self, name: str, *, create: bool) -> modal.Dict:
        """Open a Dict here."""
        del create
        return DictInProcess(self._here, self._writes, name, self._container, self._outcomes)  # type: ignore[return-value]  # what is used of one
