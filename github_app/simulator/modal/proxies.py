"""modal.Proxy: made in the dashboard alone, and looked up by name."""

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal.rpcs import rpc


class Proxies:
    """Those that the workspace has; `names` is what someone has made in the dashboard."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    @rpc
    async def proxy_get(self, request: api_pb2.ProxyGetRequest) -> api_pb2.ProxyGetResponse:
        """Serve `Proxy.from_name`."""
        if request.name not in self._names:
            raise GRPCError(Status.NOT_FOUND, f"Proxy '{request.name}' not found.")
        return api_pb2.ProxyGetResponse(proxy=api_pb2.Proxy(name=request.name, proxy_id=f"pr-{request.name}"))
