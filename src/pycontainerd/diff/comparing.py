"""The daemon's side of making a layer: a worker compares two trees, and what it writes becomes a blob."""

from __future__ import annotations

import base64
import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from pycontainerd.clock import Clock
from pycontainerd.content.model import BlobInfo, Digest
from pycontainerd.content.writer import Writer
from pycontainerd.diff import media
from pycontainerd.diff.compare_messages import (
    SIZE_LIMIT,
    Begun,
    Compared,
    CompareFailed,
    CompareRequest,
    Reply,
    decode_reply,
    encode,
)
from pycontainerd.diff.layer_output import GZIP, ZSTD
from pycontainerd.errors import AlreadyExists, Error, Unimplemented, Unknown
from pycontainerd.log import fields
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor
from pycontainerd.spawner.aio import Spawner, Worker, readable
from pycontainerd.spawner.messages import Setting
from pycontainerd.system.pipes import pipe

ROLE: Final = "compare"
LABEL_UNCOMPRESSED: Final = "containerd.io/uncompressed"

DEFAULT: Final = f"{media.PLAIN}+gzip"
_COMPRESSIONS: Final[Mapping[str, str]] = {media.PLAIN: "", DEFAULT: GZIP, f"{media.PLAIN}+zstd": ZSTD}
_PIPE: Final = 1 << 20
_NONE: Final[Mapping[str, str]] = MappingProxyType({})

_LOG: Final = logging.getLogger(__name__)


class Content(Protocol):
    """Where layers are written to."""

    def ingest(self, namespace: str, ref: str, *, lease: str | None = None) -> AbstractAsyncContextManager[Writer]: ...

    def info(self, namespace: str, digest: Digest) -> BlobInfo: ...

    async def update(
        self, namespace: str, digest: Digest, sent: Mapping[str, str], paths: Sequence[str]
    ) -> BlobInfo: ...


class Comparer:
    """Makes layers, each in a worker of its own."""

    def __init__(self, spawner: Spawner, content: Content, clock: Clock) -> None:
        self._spawner = spawner
        self._content = content
        self._clock = clock

    async def compare(
        self,
        namespace: str,
        older: Sequence[Mount],
        newer: Sequence[Mount],
        *,
        media_type: str = "",
        ref: str = "",
        labels: Mapping[str, str] = _NONE,
        latest_ns: int | None = None,
        lease: str | None = None,
    ) -> Descriptor:
        """Stores the layer that makes *older* to *newer* in *namespace* and returns it.

        *ref* names the ingest, which begins anew; without one it gets a name of its own and leaves nothing behind if
        this fails. *latest_ns* (nanoseconds since 1970) bounds the times of all files. Raises Unimplemented for
        another media type, and Unknown with what is wrong with the mounts or the trees.
        """
        media_type = media_type or DEFAULT
        if media_type not in _COMPRESSIONS:
            raise Unimplemented(f"unsupported diff media type: {media_type}")
        compression = _COMPRESSIONS[media_type]
        request = CompareRequest(tuple(older), tuple(newer), compression, latest_ns)
        async with self._worker(request) as comparison:
            await comparison.wait_begun()
            async with self._ingest(namespace, ref, lease) as writer:
                plain = await comparison.copy_to(writer)
                kept = {**labels, LABEL_UNCOMPRESSED: plain} if compression else dict(labels)
                digest = await _committed(writer, kept)
        info = self._content.info(namespace, digest)
        if compression and LABEL_UNCOMPRESSED not in info.labels:
            # The blob was there, and nobody had said what it is when it is plain.
            path = f"labels.{LABEL_UNCOMPRESSED}"
            info = await self._content.update(namespace, digest, {LABEL_UNCOMPRESSED: plain}, [path])
        return Descriptor(media_type, str(digest), info.size)

    @asynccontextmanager
    async def _ingest(self, namespace: str, ref: str, lease: str | None) -> AsyncIterator[Writer]:
        """A writer at offset 0; see `compare`."""
        name = ref or f"{self._clock.now_ns()}-{base64.urlsafe_b64encode(os.urandom(3)).decode()}"
        async with _opened(self._content.ingest(namespace, name, lease=lease)) as writer:
            try:
                if ref:
                    await writer.truncate()
                yield writer
            except BaseException:
                if not ref:
                    await _aborted(writer)
                raise

    @asynccontextmanager
    async def _worker(self, request: CompareRequest) -> AsyncIterator[_Comparison]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, pipe() as (stream, sink), pipe() as (watched, held):
            fcntl.fcntl(stream.fd, fcntl.F_SETPIPE_SZ, _PIPE)
            ours.setblocking(False)
            fds = [sink.fd, theirs.fileno(), watched.fd]
            async with self._spawner.worker(ROLE, Setting.of_worker(ROLE), encode(request), fds) as worker:
                theirs.close()
                sink.close()
                try:
                    yield _Comparison(worker, ours, stream.fd)
                finally:
                    held.close()


@asynccontextmanager
async def _opened(ingest: AbstractAsyncContextManager[Writer]) -> AsyncIterator[Writer]:
    """The ingest, with the original's words for what keeps it from being opened."""
    try:
        writer = await ingest.__aenter__()
    except Error as error:
        raise error.within("failed to open writer") from None
    try:
        yield writer
    except BaseException as error:
        if not await ingest.__aexit__(type(error), error, error.__traceback__):
            raise
    else:
        await ingest.__aexit__(None, None, None)


async def _aborted(writer: Writer) -> None:
    try:
        await writer.abort()
    except Error as error:
        _LOG.warning("failed to delete diff upload", extra=fields(ref=writer.ref, error=error.message))


async def _committed(writer: Writer, labels: Mapping[str, str]) -> Digest:
    digest = Digest.parse(writer.digest)
    try:
        await writer.commit(0, str(digest), labels)
    except AlreadyExists:
        pass
    except Error as error:
        raise error.within("failed to commit") from None
    return digest


class _Comparison:
    """A worker that compares: what it says, and the stream that it writes."""

    def __init__(self, worker: Worker, replies: socket.socket, stream: int) -> None:
        self._worker = worker
        self._replies = replies
        self._stream = stream

    async def wait_begun(self) -> None:
        """Returns when both trees are mounted. Raises Unknown with what is wrong with the mounts."""
        reply = await self._receive()
        if isinstance(reply, CompareFailed):
            raise Unknown(reply.reason)
        if not isinstance(reply, Begun):
            raise Unknown(f"the worker that compared the trees answered out of turn: {reply}")

    async def copy_to(self, writer: Writer) -> str:
        """Writes the layer to *writer*; returns the digest of the plain stream. Raises Unknown."""
        os.set_blocking(self._stream, False)
        while True:
            try:
                data = os.read(self._stream, _PIPE)
            except BlockingIOError:
                await readable(self._stream)
                continue
            if not data:
                break
            await writer.write(data)
        reply = await self._receive()
        if isinstance(reply, CompareFailed):
            raise Unknown(f"failed to write compressed diff: {reply.reason}")
        if not isinstance(reply, Compared) or reply.size != writer.offset:
            raise Unknown(f"the worker that compared the trees answered out of turn: {reply}")
        return reply.plain_digest

    async def _receive(self) -> Reply:
        while True:
            try:
                data = self._replies.recv(SIZE_LIMIT)
            except BlockingIOError:
                await readable(self._replies.fileno())
                continue
            except OSError as error:
                raise Unknown(f"the worker that compared the trees broke off: {error}") from error
            if not data:
                status = await self._worker.wait()
                raise Unknown(f"the worker that compared the trees has ended with status {status} and no answer")
            try:
                return decode_reply(data)
            except msgspec.DecodeError as error:
                raise Unknown(f"the worker that compared the trees answered nonsense: {error}") from error
