"""What daemon and shim tell each other when a shim starts, and how it is kept (runtime-shim.md §2, §3)."""

from __future__ import annotations

import json
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from msgspec import Struct, field

from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.errors import Unimplemented, Unknown
from pycontainerd.runtime.model import Payload

MAX_VERSION: Final = 3
TTRPC: Final = "ttrpc"
GRPC: Final = "grpc"


class Bootstrap(Struct, frozen=True):
    """Where a shim serves the task API, which version of it, and over what."""

    version: int
    address: str
    protocol: str
    metadata: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """As `bootstrap.json` in the bundle has it: empty values are left out."""
        values: dict[str, Any] = {"version": self.version, "address": self.address, "protocol": self.protocol}
        if self.metadata:
            values["metadata"] = self.metadata
        return json.dumps({key: value for key, value in values.items() if value}, separators=(",", ":")).encode()

    def checked(self) -> Bootstrap:
        """Itself. Raises Unimplemented for a version that we don't speak, Unknown for such a protocol."""
        if self.version > MAX_VERSION:
            raise Unimplemented(f"unsupported shim version ({self.version}): not implemented")
        if self.protocol not in (TTRPC, GRPC):
            raise Unknown(f'unexpected protocol: "{self.protocol}"')
        return self


class Params(Struct, frozen=True):
    """What a daemon tells a shim on its stdin."""

    id: str
    namespace: str
    address: str
    ttrpc_address: str
    binary: str
    version: str
    debug: bool
    socket_dir: str
    options: Payload | None

    def encode(self) -> bytes:
        message = bootstrap_pb2.BootstrapParams(
            instance_id=self.id,
            namespace=self.namespace,
            log_level=bootstrap_pb2.LOG_LEVEL_DEBUG if self.debug else bootstrap_pb2.LOG_LEVEL_INFO,
            containerd_version=self.version,
            containerd_ttrpc_address=self.ttrpc_address,
            containerd_grpc_address=self.address,
            containerd_binary=self.binary,
        )
        if self.options is not None:
            message.extensions.add().value.ParseFromString(encoded(self.options))
        if self.socket_dir:
            message.socket_dir = self.socket_dir
        return message.SerializeToString()


def encoded(options: Payload | None) -> bytes:
    """The options of a runtime as an Any, nothing if there are none; all that the oldest shims are told."""
    if options is None:
        return b""
    return AnyMessage(type_url=options.type_url, value=options.value).SerializeToString()


def parse_answer(answer: bytes) -> Bootstrap:
    """What a shim printed when it started: a protobuf message, JSON, or the bare address of an old shim.

    Raises Unimplemented for a version above 3, Unknown for an unknown protocol.
    """
    return (_from_protobuf(answer) or _from_json(answer) or _from_address(answer)).checked()


def parse_file(content: bytes) -> Bootstrap:
    """What `bootstrap.json` of a bundle says, or the `address` file of an old one."""
    return (_from_json(content) or _from_address(content)).checked()


def _from_protobuf(answer: bytes) -> Bootstrap | None:
    try:
        result = bootstrap_pb2.BootstrapResult.FromString(answer)
    except DecodeError:
        return None
    # Any bytes may happen to parse; an empty answer does. The original trusts the parse, so an empty answer is one
    # with an empty protocol, and text is none since its first letters are no tags of this message.
    if answer and not (result.version and result.address):
        return None
    return Bootstrap(result.version, result.address, result.protocol, dict(result.metadata))


def _from_json(answer: bytes) -> Bootstrap | None:
    try:
        values = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(values, dict) or not isinstance(values.get("version"), int) or values["version"] < 2:
        return None
    metadata = values.get("metadata") or {}
    return Bootstrap(
        values["version"],
        str(values.get("address", "")),
        str(values.get("protocol", "")),
        {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {},
    )


def _from_address(answer: bytes) -> Bootstrap:
    return Bootstrap(2, answer.decode(errors="replace").strip(), TTRPC)
