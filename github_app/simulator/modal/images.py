"""modal.Image, and the uploads that an image takes files from.

Nothing is built; but a builder's version has to be one that there is, and a line that calls python, or pip, needs a
line before it that brings one where the base image has none.
"""

import hashlib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from github_app.simulator.modal.limits import Limits
from github_app.simulator.modal.naming import environment_of, fresh_id
from github_app.simulator.modal.rpcs import rpc

# Images that bring no python.
_BARE = ("ubuntu:", "debian:", "nvidia/cuda:")


class Images:
    """Images by definition and by published name."""

    def __init__(self, limits: Limits) -> None:
        self._builders = limits.builders
        self._ids: dict[bytes, str] = {}
        self._definitions: dict[str, api_pb2.Image] = {}
        self._tags: dict[str, str] = {}
        self._uploads: dict[str, bytes] = {}
        self._mounts: dict[str, list[api_pb2.MountFile]] = {}

    def require(self, image_id: str) -> None:
        """Raise NOT_FOUND for an image that was never built."""
        if image_id not in self._definitions:
            raise GRPCError(Status.NOT_FOUND, f"Image '{image_id}' not found.")

    def variables(self, image_id: str) -> dict[str, str]:
        """The variables that an image's ENV lines set, those of its bases first."""
        definition = self._definitions.get(image_id)
        if definition is None:
            return {}
        found: dict[str, str] = {}
        for base in definition.base_images:
            found |= self.variables(base.image_id)
        for line in definition.dockerfile_commands:
            if line.startswith("ENV "):
                found |= dict(part.partition("=")[::2] for part in shlex.split(line.removeprefix("ENV ")))
        return found

    def write(self, mount_ids: Iterable[str], root: Path) -> None:
        """Lay the files of mounts below `root`."""
        for mount_id in mount_ids:
            for file in self._mounts.get(mount_id, ()):
                path = root / file.filename.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._uploads[file.sha256_hex])

    @rpc
    async def image_get_or_create(self, request: api_pb2.ImageGetOrCreateRequest) -> api_pb2.ImageGetOrCreateResponse:
        """Build, that is: give equal definitions equal ids unless the build is forced."""
        if request.builder_version not in self._builders:
            message = f"Image builder version '{request.builder_version}' is not available."
            raise GRPCError(Status.INVALID_ARGUMENT, message)
        if broken := _broken(request.image.dockerfile_commands):
            failure = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_FAILURE, exception=broken)
            return api_pb2.ImageGetOrCreateResponse(image_id=fresh_id("im"), result=failure)
        definition = hashlib.sha256(request.image.SerializeToString(deterministic=True)).digest()
        if request.force_build or definition not in self._ids:
            self._ids[definition] = fresh_id("im")
        image_id = self._ids[definition]
        self._definitions[image_id] = request.image
        return api_pb2.ImageGetOrCreateResponse(
            image_id=image_id,
            result=api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS),
            metadata=api_pb2.ImageMetadata(image_builder_version=request.builder_version),
        )

    @rpc
    async def image_publish(self, request: api_pb2.ImagePublishRequest) -> api_pb2.ImagePublishResponse:
        """Serve `Image.publish`; a name published again points to the newer image."""
        self.require(request.image_id)
        self._tags[_full_name(request.tag, request.environment_name)] = request.image_id
        return api_pb2.ImagePublishResponse(image_id=request.image_id, revision_id=fresh_id("ir"))

    @rpc
    async def image_get_by_tag(self, request: api_pb2.ImageGetByTagRequest) -> api_pb2.ImageGetByTagResponse:
        """Serve `Image.from_name`."""
        name = _full_name(request.tag, request.environment_name)
        if name not in self._tags:
            raise GRPCError(Status.NOT_FOUND, f"Image '{name}' not found.")
        return api_pb2.ImageGetByTagResponse(image_id=self._tags[name])

    @rpc
    async def image_from_id(self, request: api_pb2.ImageFromIdRequest) -> api_pb2.ImageFromIdResponse:
        """Serve `Image.from_id`."""
        self.require(request.image_id)
        return api_pb2.ImageFromIdResponse(image_id=request.image_id)

    @rpc
    async def mount_batched_check_existence(
        self, request: api_pb2.MountBatchedCheckExistenceRequest
    ) -> api_pb2.MountBatchedCheckExistenceResponse:
        """Say which files of `add_local_file(copy=True)` are to be uploaded."""
        missing = [sha256 for sha256 in request.sha256_hex_hashes if sha256 not in self._uploads]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing, checked_at=_now())

    @rpc
    async def mount_put_file(self, request: api_pb2.MountPutFileRequest) -> api_pb2.MountPutFileResponse:
        """Take an upload; one without content asks whether it is there."""
        if request.data or hashlib.sha256(b"").hexdigest() == request.sha256_hex:
            self._uploads[request.sha256_hex] = request.data
        elif request.sha256_hex not in self._uploads:
            return api_pb2.MountPutFileResponse(exists=False)
        return api_pb2.MountPutFileResponse(exists=True, checked_at=_now())

    @rpc
    async def mount_get_or_create(self, request: api_pb2.MountGetOrCreateRequest) -> api_pb2.MountGetOrCreateResponse:
        """Bundle uploads into the mount that a build copies from."""
        content = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        self._mounts[f"mo-{content[:22]}"] = list(request.files)
        return api_pb2.MountGetOrCreateResponse(
            mount_id=f"mo-{content[:22]}",
            handle_metadata=api_pb2.MountHandleMetadata(content_checksum_sha256_hex=content),
        )


def _broken(commands: Iterable[str]) -> str | None:
    """Say which line of a Dockerfile fails, of those that call python in an image without one, or with Debian's pip."""
    has: set[str] = {"python", "pip"}
    debians = False
    for command in commands:
        if command.startswith("FROM "):
            bare = command.split()[1].startswith(_BARE)
            has = set() if bare else {"python", "pip"}
        words = set(re.findall(r"[a-z0-9.-]+", command))
        if words & {"python-is-python3", "python-build-standalone"} or "/python/." in command:
            has |= {"python"}
        if words & {"python3-pip", "python-build-standalone"} or "/python/." in command:
            has |= {"pip"}
        # Ubuntu's own pip cannot be replaced, from 24.04 on; one beside it can.
        debians |= "python3-pip" in words
        debians &= not ("--ignore-installed" in command and "pip" in words)
        if debians and re.match(r"RUN python -m pip install --upgrade [^&]*\bpip\b", command):
            return "Cannot uninstall pip 24.0, RECORD file not found. Hint: The package was installed by debian."
        if command.startswith("RUN python -m pip") and has < {"python", "pip"}:
            return f"{command.split(' && ')[0][:80]}: /bin/sh: 1: python: not found"
    return None


def _full_name(tag: str, environment: str) -> str:
    # The SDK puts the environment before the name only when one is configured.
    return tag if "/" in tag else f"{environment_of(environment)}/{tag}"


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
