"""What `modal deploy` asks for: an App, its functions, and that they are live."""

import time
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal.apps import WORKSPACE, App, Apps
from github_app.simulator.modal.hosting import Hosting
from github_app.simulator.modal.naming import environment_of, fresh_id
from github_app.simulator.modal.rpcs import rpc
from github_app.simulator.modal.workspace import Workspace


@dataclass
class Deployment:
    """An App with functions. `definitions` are what FunctionCreate carried, by the functions' names."""

    app_id: str
    version: int = 0
    function_ids: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, api_pb2.Function] = field(default_factory=dict)


class Deployments:
    """Every App that was deployed."""

    def __init__(self, apps: Apps, hosting: Hosting, workspace: Workspace) -> None:
        self._apps = apps
        self._hosting = hosting
        self._workspace = workspace
        self._by_app: dict[str, Deployment] = {}
        self._functions: dict[str, tuple[str, str]] = {}

    def find(self, name: str) -> Deployment:
        """The deployment of an App by name, as it was published last."""
        return next(each for each in self._by_app.values() if self._apps.apps.name_of(each.app_id) == name)

    async def run(self, name: str, function: str) -> int:
        """Run a function of an App in a container, as its schedule does; return the exit code."""
        return await self._hosting.run(self.find(name).definitions[function])

    @rpc
    async def app_get_by_deployment_name(
        self, request: api_pb2.AppGetByDeploymentNameRequest
    ) -> api_pb2.AppGetByDeploymentNameResponse:
        """Serve the first question of a deploy: is there such an App?"""
        found = self._apps.apps.find(request.name, request.environment_name)
        state = api_pb2.APP_STATE_DEPLOYED if found else api_pb2.APP_STATE_UNSPECIFIED
        return api_pb2.AppGetByDeploymentNameResponse(
            app_id=found or "", lifecycle=api_pb2.AppLifecycle(app_state=state)
        )

    @rpc
    async def app_create(self, request: api_pb2.AppCreateRequest) -> api_pb2.AppCreateResponse:
        """Make an App that has no functions yet."""
        app = App(request.description, environment_of(request.environment_name))
        created = api_pb2.OBJECT_CREATION_TYPE_CREATE_IF_MISSING
        app_id = self._apps.apps.get_or_create(app.name, app.environment, created, app)
        return api_pb2.AppCreateResponse(app_id=app_id, app_page_url=f"https://modal.com/apps/{app_id}")

    @rpc
    async def app_get_layout(self, request: api_pb2.AppGetLayoutRequest) -> api_pb2.AppGetLayoutResponse:
        """Tell the functions of an App that is deployed again."""
        deployment = self._of(request.app_id)
        return api_pb2.AppGetLayoutResponse(app_layout=api_pb2.AppLayout(function_ids=deployment.function_ids))

    @rpc
    async def function_precreate(self, request: api_pb2.FunctionPrecreateRequest) -> api_pb2.FunctionPrecreateResponse:
        """Give a function its id, and its URL if it is a web function."""
        function_id = request.existing_function_id or self._new_function(request.app_id, request.function_name)
        handle = self._handle(function_id, web=bool(request.webhook_config.type))
        return api_pb2.FunctionPrecreateResponse(function_id=function_id, handle_metadata=handle)

    @rpc
    async def function_create(self, request: api_pb2.FunctionCreateRequest) -> api_pb2.FunctionCreateResponse:
        """Take a function's definition; one for GPUs of several types comes ranked."""
        given = request.function_data.ranked_functions
        definition = given[0].function if given else request.function
        ranked = [api_pb2.FunctionData.RankedFunction(rank=0, function=definition)]
        function_id = request.existing_function_id or self._new_function(request.app_id, definition.function_name)
        app_id, name = self._functions[function_id]
        self._of(app_id).definitions[name] = definition
        handle = self._handle(function_id, web=bool(definition.webhook_config.type))
        return api_pb2.FunctionCreateResponse(
            function_id=function_id,
            handle_metadata=handle,
            function=definition,
            function_data=api_pb2.FunctionData(ranked_functions=ranked),
        )

    @rpc
    async def app_publish(self, request: api_pb2.AppPublishRequest) -> api_pb2.AppPublishResponse:
        """Make it live."""
        deployment = self._of(request.app_id)
        deployment.function_ids = dict(request.function_ids)
        deployment.definitions = {
            name: each for name, each in deployment.definitions.items() if name in request.function_ids
        }
        deployment.version += 1
        await self._hosting.roll(self._apps.apps[request.app_id].name, deployment.definitions)
        return api_pb2.AppPublishResponse(url=f"https://modal.com/apps/{request.app_id}", deployed_at=time.time())

    @rpc
    async def app_rollover(self, request: api_pb2.AppRolloverRequest) -> api_pb2.AppRolloverResponse:
        """Replace the containers by new ones of the same version."""
        await self._hosting.roll(self._apps.apps[request.app_id].name, self._of(request.app_id).definitions)
        return api_pb2.AppRolloverResponse(url=f"https://modal.com/apps/{request.app_id}", deployed_at=time.time())

    @rpc
    async def app_stop(self, request: api_pb2.AppStopRequest) -> Empty:
        """End an App for good, with its containers and sandboxes."""
        app = self._apps.apps[request.app_id]
        await self._hosting.stop(app.name, self._of(request.app_id).function_ids)
        for sandbox in list(self._workspace.newest_first(include_ended=False)):
            if sandbox.app == app:
                sandbox.end("terminated")
        self._apps.apps.delete(request.app_id)
        return Empty()

    @rpc
    async def app_heartbeat(self, _request: api_pb2.AppHeartbeatRequest) -> Empty:
        """Hear that the deployer is still there."""
        return Empty()

    @rpc
    async def app_client_disconnect(self, _request: api_pb2.AppClientDisconnectRequest) -> Empty:
        """Say goodbye."""
        return Empty()

    @rpc
    async def function_get(self, request: api_pb2.FunctionGetRequest) -> api_pb2.FunctionGetResponse:
        """Serve `Function.from_name`."""
        app_id = self._apps.apps.find(request.app_name, request.environment_name)
        function_id = self._of(app_id).function_ids.get(request.object_tag) if app_id else None
        if app_id is None or function_id is None:
            raise GRPCError(Status.NOT_FOUND, f"Function {request.object_tag!r} not found.")
        definition = self._of(app_id).definitions[request.object_tag]
        ranked = [api_pb2.FunctionData.RankedFunction(rank=0, function=definition)]
        return api_pb2.FunctionGetResponse(
            function_id=function_id,
            handle_metadata=self._handle(function_id, web=bool(definition.webhook_config.type)),
            function=api_pb2.FunctionData(ranked_functions=ranked),
        )

    def _of(self, app_id: str) -> Deployment:
        return self._by_app.setdefault(app_id, Deployment(app_id))

    def _new_function(self, app_id: str, name: str) -> str:
        function_id = self._of(app_id).function_ids.get(name) or fresh_id("fu")
        self._functions[function_id] = (app_id, name)
        self._of(app_id).function_ids[name] = function_id
        return function_id

    def _handle(self, function_id: str, *, web: bool) -> api_pb2.FunctionHandleMetadata:
        app_id, name = self._functions[function_id]
        app = self._apps.apps[app_id].name
        url = (self._hosting.url(f"{app}-{name}") or f"https://{WORKSPACE}--{app}-{name}.modal.run") if web else ""
        return api_pb2.FunctionHandleMetadata(
            function_name=name,
            function_type=api_pb2.Function.FUNCTION_TYPE_FUNCTION,
            web_url=url,
            definition_id=fresh_id("de"),
        )
