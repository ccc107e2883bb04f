"""The Content service: wire in, store call, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Final

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.content import v1_pb2 as pb
from pycontainerd.content import codec
from pycontainerd.content.model import Digest, IngestStatus, InvalidDigest
from pycontainerd.content.store import ContentStore
from pycontainerd.content.write_stream import WriteStream
from pycontainerd.errors import InvalidArgument, OutOfRange, Unknown
from pycontainerd.metadata.joining import joined
from pycontainerd.metadata.times import to_timestamp
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.parted import Parted, parted
from pycontainerd.rpc.service import Service

READ_BYTES: Final = 1 << 20
"""Data in one message of Read."""

_DATA: Final = pb.ReadContentResponse.DATA_FIELD_NUMBER


class ContentService(Service):
    """`containerd.services.content.v1.Content`"""

    contract: ClassVar = pb.DESCRIPTOR.services_by_name["Content"]

    def __init__(self, store: ContentStore) -> None:
        self._store = store

    async def info(self, request: pb.InfoRequest, call: Call) -> bytes:
        return joined([self._store.info_wire(call.namespace, _validated(request.digest))])

    async def update(self, request: pb.UpdateRequest, call: Call) -> bytes:
        if not request.HasField("info"):
            raise InvalidArgument("update content: info must be set")
        digest = _validated(request.info.digest)
        info = await self._store.update(call.namespace, digest, request.info.labels, request.update_mask.paths)
        return joined([codec.encode(info)])

    async def list(self, request: pb.ListContentRequest, call: Call) -> AsyncIterator[bytes]:
        async for wires in self._store.list_wire(call.namespace, request.filters):
            yield joined(wires)

    async def delete(self, request: pb.DeleteContentRequest, call: Call) -> Empty:
        await self._store.delete(call.namespace, _parsed(request.digest), call.lease)
        return Empty()

    async def read(self, request: pb.ReadContentRequest, call: Call) -> AsyncIterator[Encoded]:
        digest = _parsed(request.digest, context=f"{request.digest}: ")
        with self._store.reader(call.namespace, digest) as blob:
            begin = max(request.offset, 0)
            if begin > blob.size:
                raise OutOfRange(f"read past object length {blob.size} bytes", bare=True)
            end = min(begin + request.size, blob.size) if request.size > 0 else blob.size
            offset = begin
            while offset < end:
                data = await blob.read(offset, min(READ_BYTES, end - offset))
                if not data:
                    return
                yield Encoded(pb.ReadContentResponse(offset=offset - begin), _DATA, data)
                offset += len(data)

    async def status(self, request: pb.StatusRequest, call: Call) -> pb.StatusResponse:
        return pb.StatusResponse(status=_status(await self._store.status(call.namespace, request.ref)))

    async def list_statuses(self, request: pb.ListStatusesRequest, call: Call) -> pb.ListStatusesResponse:
        found = await self._store.list_statuses(call.namespace, request.filters)
        return pb.ListStatusesResponse(statuses=map(_status, found))

    async def abort(self, request: pb.AbortRequest, call: Call) -> Empty:
        await self._store.abort(call.namespace, request.ref, call.lease)
        return Empty()

    @parted(pb.WriteContentRequest, field=pb.WriteContentRequest.DATA_FIELD_NUMBER)
    async def write(
        self, requests: AsyncIterator[Parted[pb.WriteContentRequest]], call: Call
    ) -> AsyncIterator[pb.WriteContentResponse]:
        first = await anext(requests, None)
        if first is None:
            raise Unknown("EOF")
        said = first.message
        if not said.ref:
            raise InvalidArgument("first message must have a reference", bare=True)
        async with self._store.ingest(
            call.namespace, said.ref, total=said.total, expected=said.expected, lease=call.lease
        ) as writer:
            stream = WriteStream(self._store, call.namespace, writer)
            yield await stream.answer(first)
            while not stream.ended and (request := await anext(requests, None)) is not None:
                yield await stream.answer(request)


def _validated(text: str) -> Digest:
    """The digest of a call that tells no more than that it is none."""
    try:
        return Digest.parse(text)
    except InvalidDigest:
        raise InvalidArgument(f"{quote(text)} failed validation", bare=True) from None


def _parsed(text: str, *, context: str = "") -> Digest:
    """The digest of a call that tells what is wrong with it."""
    try:
        return Digest.parse(text)
    except InvalidDigest as error:
        raise InvalidArgument(context + error.message, bare=True) from None


def _status(status: IngestStatus) -> pb.Status:
    return pb.Status(
        started_at=to_timestamp(status.started_ns),
        updated_at=to_timestamp(status.updated_ns),
        ref=status.ref,
        offset=status.offset,
        total=status.total,
        expected=status.expected,
    )
