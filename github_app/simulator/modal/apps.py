"""What a client asks first: greeting, token, environment, App."""

import time
from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from github_app.simulator.modal.limits import Limits
from github_app.simulator.modal.naming import NamedObjects, environment_of, fresh_id
from github_app.simulator.modal.rpcs import rpc
from github_app.simulator.modal.tokens import unsigned_jwt

_TOKEN_LIFETIME = 3600
WORKSPACE = "simulated"


@dataclass(frozen=True)
class App:
    """An App without functions, as `App.lookup(create_if_missing=True)` makes it."""

    name: str
    environment: str


class Apps:
    """Greets clients and keeps the Apps."""

    def __init__(self, limits: Limits) -> None:
        self._builder = limits.builder
        self.apps: NamedObjects[App] = NamedObjects("App", "ap")
        self._environments: dict[str, str] = {}

    @rpc
    async def client_hello(self, _request: Empty) -> api_pb2.ClientHelloResponse:
        """Greet."""
        return api_pb2.ClientHelloResponse(image_builder_version=self._builder)

    @rpc
    async def auth_token_get(self, _request: api_pb2.AuthTokenGetRequest) -> api_pb2.AuthTokenGetResponse:
        """Issue the token that V2 sandbox calls carry; the SDK reads nothing of it but `exp`."""
        return api_pb2.AuthTokenGetResponse(token=unsigned_jwt("client", time.time() + _TOKEN_LIFETIME))

    @rpc
    async def workspace_name_lookup(self, _request: Empty) -> api_pb2.WorkspaceNameLookupResponse:
        """Serve `Workspace.from_context`."""
        return api_pb2.WorkspaceNameLookupResponse(workspace_name=WORKSPACE, username=WORKSPACE)

    @rpc
    async def environment_get_or_create(
        self, request: api_pb2.EnvironmentGetOrCreateRequest
    ) -> api_pb2.EnvironmentGetOrCreateResponse:
        """Name the image builder's version, without which the SDK builds no image."""
        name = environment_of(request.deployment_name)
        settings = api_pb2.EnvironmentSettings(image_builder_version=self._builder)
        return api_pb2.EnvironmentGetOrCreateResponse(
            environment_id=self._environments.setdefault(name, fresh_id("en")),
            metadata=api_pb2.EnvironmentMetadata(name=name, settings=settings),
        )

    @rpc
    async def app_get_or_create(self, request: api_pb2.AppGetOrCreateRequest) -> api_pb2.AppGetOrCreateResponse:
        """Serve `App.lookup`."""
        app = App(request.app_name, environment_of(request.environment_name))
        app_id = self.apps.get_or_create(app.name, app.environment, request.object_creation_type, app)
        return api_pb2.AppGetOrCreateResponse(
            app_id=app_id,
            handle_metadata=api_pb2.AppHandleMetadata(
                app_id=app_id, description=app.name, environment_name=app.environment
            ),
        )
