"""modal.Volume: a directory that outlives the sandboxes it is mounted in."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from github_app.simulator.modal.naming import NamedObjects, fresh_id
from github_app.simulator.modal.rpcs import rpc


@dataclass(frozen=True)
class _Volume:
    directory: Path
    version: "api_pb2.VolumeFsVersion.ValueType"


class Volumes:
    """Every Volume, each a directory under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._volumes: NamedObjects[_Volume] = NamedObjects("Volume", "vo")

    def require(self, mounts: Iterable[api_pb2.VolumeMount]) -> None:
        """Raise NOT_FOUND for a mount of a Volume that does not exist."""
        for mount in mounts:
            self._volumes[mount.volume_id]

    def mount(self, mounts: Iterable[api_pb2.VolumeMount], root: Path) -> None:
        """Link Volumes to their mount paths below a sandbox's own directory.

        Links, not bind mounts: a mount path is absolute and need not exist on this machine.
        """
        for mount in mounts:
            directory = self._volumes[mount.volume_id].directory / mount.sub_path.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            link = root / mount.mount_path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(directory, target_is_directory=True)

    @rpc
    async def volume_get_or_create(
        self, request: api_pb2.VolumeGetOrCreateRequest
    ) -> api_pb2.VolumeGetOrCreateResponse:
        """Serve `Volume.from_name`; the version is that of the first creation."""
        name = request.deployment_name
        version = request.version or api_pb2.VOLUME_FS_VERSION_V1
        new = _Volume(self._root / fresh_id("data"), version)
        volume_id = self._volumes.get_or_create(name, request.environment_name, request.object_creation_type, new)
        volume = self._volumes[volume_id]
        volume.directory.mkdir(parents=True, exist_ok=True)
        return api_pb2.VolumeGetOrCreateResponse(
            volume_id=volume_id,
            version=volume.version,
            metadata=api_pb2.VolumeMetadata(name=name, version=volume.version),
        )

    @rpc
    async def volume_commit(self, _request: api_pb2.VolumeCommitRequest) -> api_pb2.VolumeCommitResponse:
        """Serve `Volume.commit`; what is written here is there at once."""
        return api_pb2.VolumeCommitResponse()

    @rpc
    async def volume_reload(self, _request: api_pb2.VolumeReloadRequest) -> Empty:
        """Serve `Volume.reload`; what is written here is seen at once."""
        return Empty()

    @rpc
    async def volume_delete(self, request: api_pb2.VolumeDeleteRequest) -> Empty:
        """Serve `Volume.objects.delete`."""
        self._volumes.delete(request.volume_id)
        return Empty()
