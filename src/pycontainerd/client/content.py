"""Content: blobs by digest, and the ingests that become blobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.client.session import Api, received
from pycontainerd.errors import DataLoss, ResourceExhausted
from pycontainerd.rpc.client import ClientStream
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(content_pb2.DESCRIPTOR.services_by_name["Content"])

CHUNK: Final = 1 << 20
"""Bytes of one message that writes."""


class Content(Api):
    """The content of a namespace."""

    __slots__ = ()

    async def info(self, digest: str) -> content_pb2.Info:
        """Raises NotFound."""
        request = content_pb2.InfoRequest(digest=digest)
        reply: content_pb2.InfoResponse = await self._session.unary(_METHODS["info"], request)
        return reply.info

    async def list(self, *filters: str) -> list[content_pb2.Info]:
        """The blobs that one of *filters* matches, all without a filter."""
        blobs: list[content_pb2.Info] = []
        async with self._session.stream(_METHODS["list"]) as stream:
            async for part in await received(stream, content_pb2.ListContentRequest(filters=filters)):
                blobs.extend(part.info)
        return blobs

    async def update(self, info: content_pb2.Info, paths: Iterable[str] = ()) -> content_pb2.Info:
        """Changes labels: those that *paths* name (`labels.<key>`), all without paths. Raises NotFound."""
        request = content_pb2.UpdateRequest(info=info)
        request.update_mask.paths.extend(paths)
        reply: content_pb2.UpdateResponse = await self._session.unary(_METHODS["update"], request)
        return reply.info

    async def delete(self, digest: str) -> None:
        """Raises NotFound."""
        await self._session.unary(_METHODS["delete"], content_pb2.DeleteContentRequest(digest=digest))

    async def read(self, digest: str, offset: int = 0, size: int = 0) -> AsyncIterator[bytes]:
        """The bytes of a blob from *offset* on, *size* of them or all. Raises NotFound."""
        request = content_pb2.ReadContentRequest(digest=digest, offset=offset, size=size)
        async with self._session.stream(_METHODS["read"]) as stream:
            async for part in await received(stream, request):
                yield part.data

    async def read_all(self, digest: str, *, limit: int) -> bytes:
        """A whole blob of at most *limit* bytes. Raises NotFound; ResourceExhausted for a longer one."""
        parts, size = [], 0
        async for data in self.read(digest):
            size += len(data)
            if size > limit:
                raise ResourceExhausted(f"{digest} is longer than {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    async def statuses(self, *filters: str) -> Sequence[content_pb2.Status]:
        """The ingests that one of *filters* matches, all without a filter."""
        request = content_pb2.ListStatusesRequest(filters=filters)
        reply: content_pb2.ListStatusesResponse = await self._session.unary(_METHODS["list_statuses"], request)
        return list(reply.statuses)

    async def status(self, ref: str) -> content_pb2.Status:
        """Raises NotFound."""
        request = content_pb2.StatusRequest(ref=ref)
        reply: content_pb2.StatusResponse = await self._session.unary(_METHODS["status"], request)
        return reply.status

    async def abort(self, ref: str) -> None:
        """Gives an ingest up. Raises NotFound."""
        await self._session.unary(_METHODS["abort"], content_pb2.AbortRequest(ref=ref))

    @asynccontextmanager
    async def ingest(self, ref: str, *, total: int = 0, expected: str = "") -> AsyncIterator[Ingest]:
        """Opens the ingest *ref*; it is kept, uncommitted, when the block ends without `commit`.

        Raises Unavailable while another one writes to it, AlreadyExists if *expected* is there.
        """
        async with self._session.stream(_METHODS["write"]) as stream:
            request = content_pb2.WriteContentRequest(action=content_pb2.STAT, ref=ref, total=total, expected=expected)
            ingest = Ingest(stream, ref, total, expected)
            ingest.offset = (await ingest.ask(request)).offset
            yield ingest
            if not ingest.over:
                await stream.close_send()


class Ingest:
    """An open ingest."""

    __slots__ = ("_expected", "_stream", "_total", "offset", "over", "ref")

    def __init__(self, stream: ClientStream, ref: str, total: int, expected: str) -> None:
        self._stream = stream
        self._total = total
        self._expected = expected
        self.ref = ref
        self.offset = 0
        self.over = False

    async def ask(self, request: content_pb2.WriteContentRequest) -> content_pb2.WriteContentResponse:
        """Sends *request* and returns its answer. Raises as the daemon answers, and then the ingest is over."""
        self.over = True
        await self._stream.send(request)
        async for reply in self._stream:
            self.over = request.action == content_pb2.COMMIT
            answer: content_pb2.WriteContentResponse = reply
            return answer
        raise DataLoss(f"ingest {self.ref}: the daemon ended the stream without an answer")

    async def write(self, data: bytes | memoryview) -> None:
        """Appends *data*."""
        view = memoryview(data)
        while view:
            part, view = bytes(view[:CHUNK]), view[CHUNK:]
            request = content_pb2.WriteContentRequest(action=content_pb2.WRITE, offset=self.offset, data=part)
            self.offset = (await self.ask(request)).offset

    async def commit(self, *, size: int = 0, expected: str = "", labels: Mapping[str, str] | None = None) -> str:
        """Makes it a blob and returns its digest. Raises FailedPrecondition if size or digest are others."""
        request = content_pb2.WriteContentRequest(
            action=content_pb2.COMMIT,
            total=size or self._total,
            expected=expected or self._expected,
            offset=self.offset,
            labels=labels,
        )
        return (await self.ask(request)).digest
