"""The daemon's side of applying a layer: a worker is started, heard, helped with device nodes, and ended."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from pycontainerd.content.backend import Blob
from pycontainerd.content.model import Digest
from pycontainerd.diff import media, processors
from pycontainerd.diff.messages import (
    DEVICES_LIMIT,
    SIZE_LIMIT,
    Applied,
    ApplyRequest,
    DeviceMade,
    DeviceWanted,
    Failed,
    Progress,
    Reply,
    decode_reply,
    encode,
)
from pycontainerd.errors import NotFound, Unknown
from pycontainerd.log import fields
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor
from pycontainerd.plugin.registration import StreamProcessor
from pycontainerd.spawner.aio import Spawner, Worker, readable
from pycontainerd.spawner.messages import Setting
from pycontainerd.system.pipes import pipe
from pycontainerd.system.socket import receive_with_fds
from pycontainerd.threads import Threads

_LOG: Final = logging.getLogger(__name__)

ROLE: Final = "apply"
THREADS: Final = 4


class Content(Protocol):
    """Where layers are read from."""

    def has(self, namespace: str, digest: str) -> bool: ...

    def reader(self, namespace: str, digest: Digest) -> Blob: ...


class Differ:
    """Applies layers, each in a worker of its own."""

    def __init__(self, spawner: Spawner, content: Content, stream_processors: Mapping[str, StreamProcessor]) -> None:
        """*stream_processors* in the order of the configuration: the last one that accepts a media type gets it."""
        self._spawner = spawner
        self._content = content
        self._processors = stream_processors
        self._threads = Threads("differ", most=THREADS)

    async def apply_content(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        sync_fs: bool = False,
        payloads: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Descriptor:
        """Applies a blob of *namespace*. Raises NotFound, and what `apply` raises."""
        if not self._content.has(namespace, descriptor.digest):
            raise NotFound(f"failed to get reader from content store: content digest {descriptor.digest}")
        with self._content.reader(namespace, Digest.parse(descriptor.digest)) as blob:
            async with blob.descriptor() as fd:
                return await self.apply(descriptor, fd, mounts, sync_fs=sync_fs, payloads=payloads)

    async def apply(
        self,
        descriptor: Descriptor,
        blob: int,
        mounts: Sequence[Mount],
        *,
        sync_fs: bool = False,
        payloads: Mapping[str, bytes] = MappingProxyType({}),
        progress: Callable[[int], None] | None = None,
    ) -> Descriptor:
        """Extracts the layer that the descriptor *blob* reads (a file at its start, or a pipe) onto *mounts*.

        Returns the plain layer, whose digest is the diff id. *payloads* are for stream processors, by their ids.
        *progress* hears how many bytes are read. A cancelled call ends the worker; what it has extracted stays, for
        the owner of the mounts to remove. Raises Unknown, with what is wrong with the layer or the mounts.
        """
        plan = processors.plan(descriptor.media_type, self._processors)
        request = ApplyRequest(tuple(mounts), sniff=plan.sniff, sync=sync_fs)
        async with processors.running(plan, blob, payloads, self._threads) as stream:
            try:
                applied = await self._apply(request, stream.fd, progress)
            except Unknown:
                await stream.check()  # a layer that broke off is the fault of the processor that did
                raise
            await stream.check()
        for warning in applied.warnings:
            _LOG.warning(warning, extra=fields(digest=descriptor.digest))
        return Descriptor(media.PLAIN, applied.digest, applied.size)

    async def _apply(self, request: ApplyRequest, blob: int, progress: Callable[[int], None] | None) -> Applied:
        """Lets a worker apply the stream *blob*, and serves it meanwhile."""
        async with self._worker(request, blob) as (worker, replies):
            devices = 0
            while True:
                reply, directories = await _receive(worker, replies)
                match reply:
                    case Progress(read):
                        if progress is not None:
                            progress(read)
                    case DeviceWanted():
                        devices += 1
                        error = await self._threads.run(_make_device, reply, directories, devices)
                        replies.send(encode(DeviceMade(error)))
                    case Applied():
                        return reply
                    case Failed(reason):
                        raise Unknown(reason)

    @asynccontextmanager
    async def _worker(self, request: ApplyRequest, blob: int) -> AsyncIterator[tuple[Worker, socket.socket]]:
        """A worker for *request* and the socket of its replies. It ends with the block, and with this process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, pipe() as (watched, held):
            ours.setblocking(False)
            fds = [blob, theirs.fileno(), watched.fd]
            async with self._spawner.worker(ROLE, Setting.of_worker(ROLE), encode(request), fds) as worker:
                theirs.close()
                yield worker, ours
                held.close()


class _Message(NamedTuple):
    reply: Reply
    directories: list[int]


async def _receive(worker: Worker, replies: socket.socket) -> _Message:
    """The next message of the worker. Raises Unknown if it has ended without one."""
    while True:
        try:
            data, descriptors = receive_with_fds(replies, SIZE_LIMIT)
        except BlockingIOError:
            await readable(replies.fileno())
            continue
        except (OSError, ValueError) as error:
            raise Unknown(f"the worker that applied the layer broke off: {error}") from error
        if not data:
            status = await worker.wait()
            raise Unknown(f"the worker that applied the layer has ended with status {status} and no answer")
        try:
            reply = decode_reply(data)
        except msgspec.DecodeError as error:
            _close(descriptors)
            raise Unknown(f"the worker that applied the layer answered nonsense: {error}") from error
        if not isinstance(reply, DeviceWanted):
            _close(descriptors)  # nobody asked for any
            descriptors = []
        return _Message(reply, descriptors)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _make_device(wanted: DeviceWanted, directories: Sequence[int], count: int) -> int:
    """Makes a device node for a worker that may not: the error number, 0 if it is there now.

    The worker has read hostile bytes, so nothing that it says is believed: only nodes, only right in the directory
    that it gives (it could give none that it can't write to itself), only so many.
    """
    placed = len(directories) == 1 and b"/" not in wanted.name and wanted.name not in {b"", b".", b".."}
    try:
        if count > DEVICES_LIMIT:
            return errno.EDQUOT
        if not placed or stat.S_IFMT(wanted.mode) not in {stat.S_IFCHR, stat.S_IFBLK}:
            return errno.EINVAL
        os.mknod(wanted.name, wanted.mode, wanted.device, dir_fd=directories[0])
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        _close(directories)
    return 0
