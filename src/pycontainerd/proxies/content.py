"""A content store in another process, reached over the same service that we offer.

Names of ingests begin with their namespace, and each call is made in it; so is what concerns a blob, in the namespace
that asks for it. The other side hashes: what it says of a digest is believed.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Final, Self

from pycontainerd.api.containerd.services.content import v1_pb2 as pb
from pycontainerd.content.model import CANONICAL, Digest, IngestStatus, is_digest
from pycontainerd.errors import AlreadyExists, Error, NotFound, Unavailable, Unimplemented
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.times import from_timestamp
from pycontainerd.proxies.namespaces import namespaces_of
from pycontainerd.proxies.remote import Remote
from pycontainerd.rpc.client import ClientStream
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(pb.DESCRIPTOR.services_by_name["Content"])
_PIECE: Final = 8 << 20
_NO_DIGEST: Final = Digest(CANONICAL, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""That of no bytes."""


class ProxyBlob:
    """A blob over there; read as it is asked for."""

    __slots__ = ("_digest", "_namespace", "_remote", "size")

    def __init__(self, remote: Remote, namespace: str, digest: Digest, size: int) -> None:
        self._remote = remote
        self._namespace = namespace
        self._digest = digest
        self.size = size

    async def read(self, offset: int, count: int) -> bytes:
        """Up to *count* bytes from *offset*; fewer at the end. Raises NotFound if it went."""
        if offset >= self.size:
            return b""
        return b"".join([data async for data in self._pieces(offset, count)])

    async def read_all(self, limit: int) -> bytes:
        """All bytes of a small blob. Raises NotFound if there are more than *limit*."""
        if self.size > limit:
            raise NotFound(f"blob of {self.size} bytes is longer than {limit}")
        return await self.read(0, self.size)

    @asynccontextmanager
    async def descriptor(self) -> AsyncIterator[int]:
        """A descriptor that reads all bytes from the first; they are fetched before."""
        with tempfile.TemporaryFile() as file:
            async for data in self._pieces(0, self.size):
                file.write(data)
            file.flush()
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            yield file.fileno()

    async def _pieces(self, offset: int, count: int) -> AsyncIterator[bytes]:
        request = pb.ReadContentRequest(digest=str(self._digest), offset=offset, size=count)
        async for reply in self._remote.replies(_METHODS["read"], request, self._namespace):
            yield reply.data

    def close(self) -> None:
        """Nothing is open between reads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ProxyContent:
    """A backend of the content store that another process serves; see `backend.Backend`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.doubtful: set[str] | None = None
        self._committing: Counter[Digest] = Counter()
        self._database: Database | None = None
        self._found_in: dict[str, list[str]] = {}

    def bind(self, database: Database) -> None:
        self._database = database

    def open(self, digest: Digest, namespace: str, size: int) -> ProxyBlob:
        return ProxyBlob(self._remote, namespace, digest, size)

    async def begin(self, name: str, total: int) -> ProxyWriting:
        return await ProxyWriting.begun(self._remote, name, total)

    async def copy_into(self, name: str, digest: Digest, total: int = 0) -> ProxyWriting:
        """A new ingest *name* that begins with the bytes of *digest*. Raises NotFound."""
        namespace = _namespace(name)
        request = pb.InfoRequest(digest=str(digest))
        info: pb.InfoResponse = await self._remote.unary(_METHODS["info"], request, namespace)
        writing = await self.begin(name, total)
        try:
            await writing.truncate()
            blob = self.open(digest, namespace, info.info.size)
            while data := await blob.read(writing.offset, _PIECE):
                await writing.write(data)
        except BaseException:
            await writing.discard()
            raise
        return writing

    async def status(self, name: str, ref: str) -> IngestStatus:
        """How far the ingest *name* is, told as *ref*. Raises NotFound."""
        request = pb.StatusRequest(ref=name)
        status = (await self._remote.unary(_METHODS["status"], request, _namespace(name))).status
        started_ns, updated_ns = from_timestamp(status.started_at), from_timestamp(status.updated_at)
        return IngestStatus(ref, status.offset, status.total, started_ns, updated_ns)

    async def statuses(self, names: Sequence[tuple[str, str]]) -> list[IngestStatus]:
        found: list[IngestStatus] = []
        for name, ref in names:
            with suppress(NotFound):
                found.append(await self.status(name, ref))
        return found

    async def discard(self, name: str) -> None:
        """Drops the ingest *name*, if it exists."""
        with suppress(NotFound):
            await self._remote.unary(_METHODS["abort"], pb.AbortRequest(ref=name), _namespace(name))

    @asynccontextmanager
    async def committing(self, digest: Digest) -> AsyncIterator[None]:
        self._committing[digest] += 1
        try:
            yield
        finally:
            self._committing[digest] -= 1
            if not self._committing[digest]:
                del self._committing[digest]

    async def list_blobs(self) -> list[str]:
        found: dict[str, list[str]] = {}
        for namespace in await self._places():
            async for batch in self._remote.replies(_METHODS["list"], pb.ListContentRequest(), namespace):
                for info in batch.info:
                    if is_digest(info.digest):
                        found.setdefault(info.digest, []).append(namespace)
        self._found_in = found
        return list(found)

    async def _places(self) -> Sequence[str]:
        """The namespaces to look in: none, if the other side knows none, else all of ours."""
        try:
            async for _ in self._remote.replies(_METHODS["list"], pb.ListContentRequest(), ""):
                break
        except Unavailable:
            raise
        except Error:
            return await namespaces_of(self._database) if self._database is not None else ()
        return [""]

    async def remove_unless(self, digest: Digest, used: Callable[[], bool]) -> bool:
        if digest in self._committing or used():
            return False
        for namespace in self._found_in.pop(str(digest), ()):
            with suppress(NotFound):
                request = pb.DeleteContentRequest(digest=str(digest))
                await self._remote.unary(_METHODS["delete"], request, namespace)
        return True

    async def remove_other_ingests(self, names: Callable[[], Awaitable[Iterable[str]]]) -> None:
        found: list[str] = []
        for namespace in await self._places():
            listed = await self._remote.unary(_METHODS["list_statuses"], pb.ListStatusesRequest(), namespace)
            found += [status.ref for status in listed.statuses if not namespace or _namespace(status.ref) == namespace]
        if found:
            known = set(await names())
            for name in found:
                if name not in known:
                    await self.discard(name)


class ProxyWriting:
    """An open ingest over there: one stream, on which each request is answered."""

    def __init__(self, remote: Remote, name: str, total: int) -> None:
        self._remote = remote
        self._name = name
        self._stack = AsyncExitStack()
        self._stream: ClientStream | None = None
        self.total = total
        self.offset = 0
        self.digest = _NO_DIGEST
        self.started_ns = 0
        self.updated_ns = 0

    @classmethod
    async def begun(cls, remote: Remote, name: str, total: int) -> Self:
        """Resumes or begins the ingest *name*. Raises what the other side answers."""
        writing = cls(remote, name, total)
        await writing._open()
        return writing

    async def _open(self) -> None:
        self._stream = await self._stack.enter_async_context(
            self._remote.streaming(_METHODS["write"], _namespace(self._name))
        )
        try:
            await self._ask(pb.WriteContentRequest(action=pb.STAT, ref=self._name, total=self.total))
        except BaseException:
            await self._end()
            raise

    async def _ask(self, request: pb.WriteContentRequest) -> pb.WriteContentResponse:
        if self._stream is None:
            raise Unavailable(f"the ingest {self._name} is closed")
        await self._stream.send(request)
        reply: pb.WriteContentResponse = await anext(self._stream)
        self.offset = reply.offset
        if reply.digest:
            self.digest = Digest.parse(reply.digest)
        if reply.HasField("started_at"):
            self.started_ns = from_timestamp(reply.started_at)
        if reply.HasField("updated_at"):
            self.updated_ns = from_timestamp(reply.updated_at)
        return reply

    async def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            piece = bytes(view[start : start + _PIECE])
            await self._ask(pb.WriteContentRequest(action=pb.WRITE, offset=self.offset, data=piece))

    async def truncate(self) -> None:
        if self.offset:
            await self._ask(pb.WriteContentRequest(action=pb.WRITE, offset=0))
            self.digest = _NO_DIGEST

    async def digest_by(self, algorithm: str) -> Digest:
        if algorithm != CANONICAL:
            raise Unimplemented(f"a digest by {algorithm} of what another process stores")
        return self.digest

    async def publish(self, digest: Digest) -> None:
        request = pb.WriteContentRequest(action=pb.COMMIT, offset=self.offset, total=self.offset, expected=str(digest))
        with suppress(AlreadyExists):
            await self._ask(request)
        await self._end()

    @property
    def is_open(self) -> bool:
        return self._stream is not None

    async def close(self) -> None:
        """Keeps the ingest for a resume."""
        await self._end()

    async def discard(self) -> None:
        if self.is_open:
            await self._end()
            with suppress(NotFound):
                await self._remote.unary(_METHODS["abort"], pb.AbortRequest(ref=self._name), _namespace(self._name))

    async def _end(self) -> None:
        """Ends the stream and waits for the other side to let go of the ingest."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            with suppress(Error):
                await stream.close_send()
                async for _ in stream:
                    pass
        finally:
            await self._stack.aclose()


def _namespace(name: str) -> str:
    return name.partition("/")[0]
