"""Binds plain async methods to Modal's generated gRPC services."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

from google.protobuf.message import Message
from grpclib import GRPCError, Status
from grpclib.const import Handler
from grpclib.server import Stream

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Servable = Mapping[str, Handler]


class Interceptor(Protocol):
    """Sees every unary RPC; may sleep, or raise `grpclib.GRPCError` in the server's stead."""

    async def before(self, rpc: str, request: Message) -> None:
        """Run before the RPC takes effect."""

    async def after(self, rpc: str, request: Message, response: Message) -> None:
        """Run after the effect and before the answer: an error raised here is a lost answer."""


class Gate(Protocol):
    """What every call passes: the count of calls, the caller's credentials, the interceptor in force."""

    calls: Counter[str]
    interceptor: Interceptor | None

    def authenticate(self, rpc: str, metadata: Mapping[str, str | bytes], request: Message) -> None:
        """Raise UNAUTHENTICATED unless the caller may make this call."""


def rpc(method: _Method) -> _Method:
    """Mark `some_rpc_v2` as the implementation of the RPC `SomeRpcV2`."""
    method.__dict__["rpcs"] = [_rpc_name(method)]
    return method


def rpc_and_v2(method: _Method) -> _Method:
    """Mark `some_rpc` as the implementation of `SomeRpc` and of `SomeRpcV2`, which carry the same messages."""
    method.__dict__["rpcs"] = [_rpc_name(method), f"{_rpc_name(method)}V2"]
    return method


def _rpc_name(method: Callable[..., Any]) -> str:
    return "".join(word.capitalize() for word in method.__name__.split("_"))


class Service:
    """One generated servicer base filled from resources; what none of them wrote answers UNIMPLEMENTED."""

    def __init__(self, base: type[Any], resources: Iterable[object], gate: Gate) -> None:
        self._gate = gate
        self._methods = {name: bound for resource in resources for name, bound in _marked(resource).items()}
        # The generated mapping reads one attribute for each RPC, so the abstract ones need a value.
        stubs = dict.fromkeys(base.__abstractmethods__)
        self._declared: _Servable = type(base.__name__, (base,), stubs)().__mapping__()
        names = {path.rpartition("/")[2] for path in self._declared}
        if unknown := self._methods.keys() - names:
            raise TypeError(f"{base.__name__} has no RPC named {', '.join(sorted(unknown))}")

    def __mapping__(self) -> dict[str, Handler]:
        """Answer what `grpclib.server.Server` asks of a servicer."""
        return {path: self._handler(path, declared) for path, declared in self._declared.items()}

    def _handler(self, path: str, declared: Handler) -> Handler:
        name = path.rpartition("/")[2]
        method = self._methods.get(name)
        serve = self._streaming if declared.cardinality.server_streaming else self._unary

        async def answer(stream: Stream[Message, Message]) -> None:
            self._gate.calls[name] += 1
            if method is None:
                raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not simulated")
            request = cast("Message", await stream.recv_message())
            self._gate.authenticate(name, cast("Mapping[str, str | bytes]", stream.metadata), request)
            await serve(name, method, request, stream)

        return declared._replace(func=answer)

    async def _unary(
        self,
        name: str,
        method: Callable[[Message], Awaitable[Message]],
        request: Message,
        stream: Stream[Message, Message],
    ) -> None:
        interceptor = self._gate.interceptor
        if interceptor is not None:
            await interceptor.before(name, request)
        response = await method(request)
        if interceptor is not None:
            await interceptor.after(name, request, response)
        await stream.send_message(response)

    async def _streaming(
        self,
        _name: str,
        method: Callable[[Message], AsyncIterator[Message]],
        request: Message,
        stream: Stream[Message, Message],
    ) -> None:
        async for response in method(request):
            await stream.send_message(response)


def _marked(resource: object) -> dict[str, Callable[..., Any]]:
    members = [getattr(resource, attribute) for attribute in vars(type(resource))]
    return {name: member for member in members for name in getattr(member, "rpcs", ())}
