"""Modal's Dicts in this process: the operations that the store uses, on the simulated Modal's own state and rules."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import modal
from modal_proto import api_pb2

from github_app.simulate.outcome import Outcomes
from github_app.simulator.modal.dicts import Dicts
from github_app.store import ModalDictStore

T = TypeVar("T")
# The world's steps are no container's.
_WORLD = contextvars.Context()


@dataclass(frozen=True)
class _Operation:
    """One operation as the SDK offers it: `operation.aio(...)`."""

    aio: Callable[..., Any]


class DictInProcess:
    """What the store uses of one modal.Dict.

    An operation takes effect in the world, some time after it was asked for and some time before it is answered.
    """

    def __init__(self, dicts: Dicts, name: str, outcomes: Outcomes) -> None:
        self._dicts = dicts
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
        return await self._call(call, lambda: _at_once(self._dicts.dict_update(request)).created)

    async def _get(self, key: str) -> bytes | None:
        request = api_pb2.DictGetRequest(dict_id=self._id, key=key.encode())
        answer = await self._call("get", lambda: _at_once(self._dicts.dict_get(request)))
        return bytes(answer.value) if answer.found else None

    async def _pop(self, key: str, default: None) -> bytes | None:
        request = api_pb2.DictPopRequest(dict_id=self._id, key=key.encode())
        answer = await self._call("pop", lambda: _at_once(self._dicts.dict_pop(request)))
        return bytes(answer.value) if answer.found else default

    async def _items(self) -> AsyncIterator[tuple[str, bytes]]:
        request = api_pb2.DictContentsRequest(dict_id=self._id, keys=True, values=True)

        async def all_of_them() -> list[tuple[str, bytes]]:
            return [(entry.key.decode(), entry.value) async for entry in self._dicts.dict_contents(request)]

        for pair in await self._call("items", lambda: _at_once(all_of_them())):
            yield pair

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

    def __init__(self, app_name: str, dicts: Dicts, outcomes: Outcomes) -> None:
        self._here = dicts
        self._outcomes = outcomes
        super().__init__(app_name)

    def open(self, name: str, *, create: bool) -> modal.Dict:
        """Open a Dict here."""
        del create
        return DictInProcess(self._here, name, self._outcomes)  # type: ignore[return-value]  # what is used of one
