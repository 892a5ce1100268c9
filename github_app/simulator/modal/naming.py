"""Ids, and objects that are found by name within an environment."""

import secrets
import string
from typing import Generic, TypeVar

from grpclib import GRPCError, Status
from modal_proto import api_pb2

_ALPHANUMERIC = string.ascii_letters + string.digits
_UNNAMED = (api_pb2.OBJECT_CREATION_TYPE_ANONYMOUS_OWNED_BY_APP, api_pb2.OBJECT_CREATION_TYPE_EPHEMERAL)

T = TypeVar("T")


def fresh_id(prefix: str, *, length: int = 22, alphabet: str = _ALPHANUMERIC) -> str:
    """Make an id of Modal's shape, such as `ap-` and 22 letters or digits."""
    return f"{prefix}-" + "".join(secrets.choice(alphabet) for _ in range(length))


def environment_of(name: str) -> str:
    """Return the environment meant; a client without a configured one sends the empty name."""
    return name or "main"


class NamedObjects(Generic[T]):
    """All objects of one kind, by id, and by name for those that have one."""

    def __init__(self, kind: str, prefix: str) -> None:
        self._kind = kind
        self._prefix = prefix
        self._by_id: dict[str, T] = {}
        self._ids: dict[tuple[str, str], str] = {}

    def get_or_create(self, name: str, environment: str, creation_type: int, new: T) -> str:
        """Return the id found or made, as the creation type of a `…GetOrCreate` request says."""
        if creation_type in _UNNAMED:
            return self._add(new)
        key = (environment_of(environment), name)
        found = self._ids.get(key)
        if found is None:
            if creation_type == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
                message = f"{self._kind} '{name}' not found in environment '{key[0]}'."
                raise GRPCError(Status.NOT_FOUND, message)
            self._ids[key] = found = self._add(new)
        elif creation_type == api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS:
            raise GRPCError(Status.ALREADY_EXISTS, f"{self._kind} '{name}' already exists.")
        elif creation_type == api_pb2.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS:
            self._by_id[found] = new
        return found

    def __getitem__(self, object_id: str) -> T:
        try:
            return self._by_id[object_id]
        except KeyError:
            raise GRPCError(Status.NOT_FOUND, f"{self._kind} '{object_id}' not found.") from None

    def name_of(self, object_id: str) -> str:
        """Return the name of an object, empty for one that has none."""
        return next((name for (_, name), found in self._ids.items() if found == object_id), "")

    def find(self, name: str, environment: str) -> str | None:
        """Return the id of a named object, or None."""
        return self._ids.get((environment_of(environment), name))

    def named(self, environment: str) -> list[tuple[str, str]]:
        """Return the name and id of each named object of an environment, oldest first."""
        return [(name, found) for (env, name), found in self._ids.items() if env == environment_of(environment)]

    def delete(self, object_id: str) -> None:
        """Forget an object and its name."""
        self[object_id]
        del self._by_id[object_id]
        self._ids = {key: found for key, found in self._ids.items() if found != object_id}

    def _add(self, new: T) -> str:
        object_id = fresh_id(self._prefix)
        self._by_id[object_id] = new
        return object_id
