"""The Transfer service: finds out what is to be moved from where to where, and has it done."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.transfer import v1_pb2 as pb
from pycontainerd.api.containerd.types import transfer_pb2 as wire
from pycontainerd.errors import Unimplemented, Unknown
from pycontainerd.oci.image import Platform
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.streaming.known_types import is_known
from pycontainerd.streaming.manager import Stream, Streams
from pycontainerd.transfer.destination import Destination, Reference, UnpackRequest
from pycontainerd.transfer.operations import Archive, Operations

End = Archive | Stream | wire.ImageStore | None
"""One end of a transfer: an archive that comes, a stream that takes one, the image store; None for any other."""


class TransferService(Service):
    """`containerd.services.transfer.v1.Transfer`"""

    contract: ClassVar = pb.DESCRIPTOR.services_by_name["Transfer"]

    def __init__(self, operations: Operations, streams: Streams) -> None:
        self._operations = operations
        self._streams = streams

    async def transfer(self, request: pb.TransferRequest, call: Call) -> Empty:
        source = self._end(request.source, call)
        destination = self._end(request.destination, call)
        listener = None
        if request.options.progress_stream:
            listener = self._streams.get(call.namespace_or_empty, request.options.progress_stream)
        try:
            match source, destination:
                case Archive(), wire.ImageStore():
                    target = _destination(destination)
                    await self._operations.import_archive(call.namespace, call.lease, source, target, listener)
                case wire.ImageStore(), wire.ImageStore():
                    target = _destination(destination)
                    await self._operations.tag(call.namespace, call.lease, source.name, target)
                case Archive(), Stream():
                    await self._operations.echo(source.stream, destination)
                case _:
                    raise Unimplemented(
                        "method Transfer not implemented for"
                        f" {request.source.type_url} to {request.destination.type_url}",
                        bare=True,
                    )
        finally:
            for stream in (listener, *(_streams(source)), *(_streams(destination))):
                if stream is not None:
                    stream.close()
        return Empty()

    def _end(self, named: Any, call: Call) -> End:
        """What *named* means. Raises NotFound for a stream that is not open, Unknown for a type that nobody knows."""
        if not is_known(named.type_url):
            raise Unknown(f"type with url {named.type_url}: not found")
        read = _ENDS.get(named.type_url)
        try:
            return None if read is None else read(self._streams, call.namespace_or_empty, named.value)
        except DecodeError:
            raise Unknown("proto: cannot parse invalid wire-format data") from None


def _import_stream(streams: Streams, namespace: str, value: bytes) -> Archive:
    said = wire.ImageImportStream.FromString(value)
    return Archive(streams.get(namespace, said.stream), said.media_type, said.force_compress)


def _export_stream(streams: Streams, namespace: str, value: bytes) -> Stream:
    return streams.get(namespace, wire.ImageExportStream.FromString(value).stream)


def _image_store(streams: Streams, namespace: str, value: bytes) -> wire.ImageStore:
    return wire.ImageStore.FromString(value)


_ENDS: Final[dict[str, Callable[[Streams, str, bytes], End]]] = {
    wire.ImageImportStream.DESCRIPTOR.full_name: _import_stream,
    wire.ImageExportStream.DESCRIPTOR.full_name: _export_stream,
    wire.ImageStore.DESCRIPTOR.full_name: _image_store,
}


def _streams(end: End) -> tuple[Stream, ...]:
    match end:
        case Archive(stream):
            return (stream,)
        case Stream():
            return (end,)
        case _:
            return ()


def _destination(said: wire.ImageStore) -> Destination:
    return Destination(
        said.name,
        dict(said.labels),
        tuple(map(_platform, said.platforms)),
        said.all_metadata,
        said.manifest_limit,
        tuple(
            Reference(each.name, each.is_prefix, each.allow_overwrite, each.add_digest, each.skip_named_digest)
            for each in said.extra_references
        ),
        tuple(
            UnpackRequest(_platform(each.platform) if each.HasField("platform") else None, each.snapshotter)
            for each in said.unpacks
        ),
    )


def _platform(said: types_pb2.Platform) -> Platform:
    return Platform(said.architecture, said.os, said.os_version, tuple(said.os_features), said.variant)
