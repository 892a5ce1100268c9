"""modal.Secret: variables for a sandbox's environment."""

from collections.abc import Iterable, Mapping

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal.naming import NamedObjects
from github_app.simulator.modal.rpcs import rpc

CreateRequest = api_pb2.SandboxCreateRequest | api_pb2.SandboxCreateV2Request

# https://modal.com/docs/guide/secrets: the longest value that a Secret takes.
_LONGEST_VALUE = 32_768


class Secrets:
    """Named Secrets, and the nameless ones that `Secret.from_dict` makes."""

    def __init__(self) -> None:
        self._secrets: NamedObjects[dict[str, str]] = NamedObjects("Secret", "st")

    def of_sandbox(self, request: CreateRequest) -> dict[str, str]:
        """Return the variables given at creation: V1 names Secrets by id, V2 has them in `secret_sources`."""
        sources = [api_pb2.SecretSource(secret_id=one) for one in request.definition.secret_ids]
        if isinstance(request, api_pb2.SandboxCreateV2Request) and request.secret_sources:
            sources = list(request.secret_sources)
        return self.variables(sources)

    def variables(self, sources: Iterable[api_pb2.SecretSource]) -> dict[str, str]:
        """Return the variables of Secrets named by id and of those sent inline; a later one wins."""
        variables: dict[str, str] = {}
        for source in sources:
            inline = source.env.contents
            variables.update(self._secrets[source.secret_id] if source.secret_id else inline)
        return variables

    def named(self, name: str) -> dict[str, str] | None:
        """Return what a named Secret of the default environment holds, if there is one."""
        found = self._secrets.find(name, "")
        return None if found is None else dict(self._secrets[found])

    @rpc
    async def secret_get_or_create(
        self, request: api_pb2.SecretGetOrCreateRequest
    ) -> api_pb2.SecretGetOrCreateResponse:
        """Serve `Secret.from_name`, `.from_dict` and `.objects.create`."""
        _check(request.env_dict)
        name, environment = request.deployment_name, request.environment_name
        new = dict(request.env_dict)
        secret_id = self._secrets.get_or_create(name, environment, request.object_creation_type, new)
        keys = self._secrets[secret_id].keys()
        if missing := set(request.required_keys) - keys:
            message = f"Secret is missing key(s): {', '.join(sorted(missing))}"
            raise GRPCError(Status.FAILED_PRECONDITION, message)
        return api_pb2.SecretGetOrCreateResponse(
            secret_id=secret_id, metadata=api_pb2.SecretMetadata(name=name, keys=keys)
        )

    @rpc
    async def secret_update(self, request: api_pb2.SecretUpdateRequest) -> Empty:
        """Serve `Secret.update`, which leaves what it does not name."""
        new = {update.key: update.value for update in request.updates}
        _check(new)
        self._secrets[request.secret_id].update(new)
        return Empty()

    @rpc
    async def secret_delete(self, request: api_pb2.SecretDeleteRequest) -> Empty:
        """Serve `Secret.objects.delete`."""
        self._secrets.delete(request.secret_id)
        return Empty()


def _check(variables: Mapping[str, str]) -> None:
    if any(len(value) > _LONGEST_VALUE for value in variables.values()):
        raise GRPCError(Status.INVALID_ARGUMENT, f"Secret value exceeds {_LONGEST_VALUE} characters.")
