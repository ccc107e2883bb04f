"""The protocol of Content.Write: a stream of requests over one open ingest, each answered once.

    STAT     tells how far the ingest is
    WRITE    appends
    COMMIT   appends, checks, makes the blob; the stream is over

An offset of 0 drops what is there, another one must be where the ingest is, a negative one appends. *expected* and
*total* hold until they are sent again. The times and the total come with every answer after a STAT, not before.
"""

from __future__ import annotations

from pycontainerd.api.containerd.services.content import v1_pb2 as pb
from pycontainerd.content.store import ContentStore
from pycontainerd.content.writer import Writer
from pycontainerd.errors import AlreadyExists, OutOfRange
from pycontainerd.metadata.times import to_timestamp
from pycontainerd.rpc.parted import Parted


class WriteStream:
    """One call of Write. *ended* is true when the blob is committed."""

    __slots__ = ("_answered", "_expected", "_namespace", "_store", "_total", "_writer", "ended")

    def __init__(self, store: ContentStore, namespace: str, writer: Writer) -> None:
        self._store = store
        self._namespace = namespace
        self._writer = writer
        self._expected = ""
        self._total = 0
        self._answered = pb.WriteContentResponse()
        self.ended = False

    async def answer(self, parted: Parted[pb.WriteContentRequest]) -> pb.WriteContentResponse:
        """Does what a request asks. Raises AlreadyExists when what the writer expects has come by another way."""
        request = parted.message
        self._expected = request.expected or self._expected
        self._total = request.total or self._total
        await self._check_still_needed()
        answer = pb.WriteContentResponse(action=request.action)
        if request.action == pb.STAT:
            self._answered.started_at.CopyFrom(to_timestamp(self._writer.started_ns))
            self._answered.updated_at.CopyFrom(to_timestamp(self._writer.updated_ns))
            self._answered.total = self._total
        elif request.action in {pb.WRITE, pb.COMMIT}:
            await self._append(request.offset, parted.data)
        answer.MergeFrom(self._answered)
        answer.offset = self._writer.offset
        if request.action == pb.COMMIT:
            digest = await self._writer.commit(self._total, self._expected, request.labels)
            self.ended = True
            answer.digest = str(digest)
        elif request.action in {pb.STAT, pb.WRITE}:
            answer.digest = self._writer.digest
        return answer

    async def _check_still_needed(self) -> None:
        if self._expected and self._store.has(self._namespace, self._expected):
            await self._writer.abort()
            raise AlreadyExists(f"blob with expected digest {self._expected} exists", bare=True)

    async def _append(self, at: int, data: bytes | memoryview) -> None:
        offset = self._writer.offset
        if at > 0 and at != offset:
            raise OutOfRange(f"write @{at} must occur at current offset {offset}", bare=True)
        if at == 0 and offset > 0:
            await self._writer.truncate()
        await self._writer.write(data)
