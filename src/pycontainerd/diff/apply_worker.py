"""The worker that applies one layer: hostile bytes in, files below one directory out (design.md, "Workers").

It is forked from the spawner with three descriptors, confines itself, and answers on its socket. What it can't do for
itself, a device node, it asks the daemon for.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from isal import igzip_lib

from pycontainerd.diff import confinement
from pycontainerd.diff.extraction import Extraction
from pycontainerd.diff.messages import (
    Applied,
    ApplyRequest,
    DeviceWanted,
    Failed,
    Progress,
    Reply,
    bounded,
    decode_answer,
    decode_request,
    encode,
)
from pycontainerd.diff.plain import PlainStream
from pycontainerd.diff.tar import header
from pycontainerd.diff.tar.reader import Pieces, Reader
from pycontainerd.mounts import mounting
from pycontainerd.mounts.model import Mount, without_volatile
from pycontainerd.spawner import working
from pycontainerd.system import capabilities, namespaces
from pycontainerd.system.detached import vanishing_directory
from pycontainerd.system.libc import checked, libc
from pycontainerd.system.socket import send_with_fds

_CHANGED_BY: Final = {"ro", "uidmap", "gidmap"}
"""Options by which a bind shows something else than its source."""

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def main(request: bytes, fds: list[int]) -> int:
    """Serves one request: blob, socket, pipe. The exit status is 0 if a reply was sent, whatever it says."""
    blob, replies, tie = fds
    working.begin(tie)
    with socket.socket(fileno=replies) as connection:
        try:
            reply = Worker(decode_request(request), blob, connection).run()
        except Exception as error:  # noqa: BLE001 - the daemon must hear of a defect as well
            reply = Failed(working.reason(error, "apply the layer"))
        connection.send(encode(reply))
    return 0


class Worker:
    """One layer being applied."""

    def __init__(self, request: ApplyRequest, blob: int, connection: socket.socket) -> None:
        self._request = request
        self._blob = blob
        self._connection = connection
        self._read = self._told = 0
        self._user_namespace = namespaces.in_user_namespace()

    def run(self) -> Reply:
        """Confines this process and applies the layer. Raises Error, OSError."""
        mounts = self._request.mounts
        overlay = direct_overlay(mounts, user_namespace=self._user_namespace)
        root, *lower = confinement.enter(
            lambda place: open_overlay(overlay) if overlay else open_mounted(mounts, place)
        )
        extraction = Extraction(
            root,
            lower=lower,
            overlay=overlay is not None,
            user_namespace=self._user_namespace,
            make_device=None if self._user_namespace else self._make_device,
        )
        applied = extract(self._read_blob, extraction, sniff=self._request.sniff)
        if self._request.sync and (overlay or is_single_bind(mounts)):
            checked(libc.syncfs(root))
        return applied

    def _read_blob(self, size: int) -> bytes:
        data = os.read(self._blob, size)
        self._read += len(data)
        if self._read - self._told >= self._request.progress_bytes:
            self._told = self._read
            self._connection.send(encode(Progress(self._read)))
        return data

    def _make_device(self, directory: int, name: bytes, mode: int, device: int) -> None:
        """Lets the daemon make the node: the capability for it is gone here."""
        send_with_fds(self._connection, encode(DeviceWanted(name, mode, device)), [directory])
        data = self._connection.recv(64)
        answer = decode_answer(data) if data else None
        error = errno.ECONNRESET if answer is None else answer.error
        if error:
            raise OSError(error, os.strerror(error))


def extract(read: Callable[[int], bytes], extraction: Extraction, *, sniff: bool) -> Applied:
    """Extracts the stream that *read* gives, and reads on to its end: the digest is that of all of it."""
    with PlainStream(read, sniff=sniff) as plain:
        pieces = iter(plain)
        extraction.run(Reader(Pieces(pieces)))
        for _ in pieces:
            pass
        statistics = extraction.statistics
        return Applied(plain.digest(), plain.size, statistics.entries, bounded(statistics.warnings))


def direct_overlay(mounts: Sequence[Mount], *, user_namespace: bool) -> Mount | None:
    """The overlay whose upper directory can be written without mounting it, if that is what is asked for."""
    if len(mounts) == 1 and mounts[0].type == "overlay" and not user_namespace and mounts[0].option("upperdir"):
        return mounts[0]
    return None


def is_single_bind(mounts: Sequence[Mount]) -> bool:
    """Whether the files come to lie in one directory that is known."""
    return len(mounts) == 1 and not {"bind", "rbind"}.isdisjoint(mounts[0].options)


def open_mounted(mounts: Sequence[Mount], place: str) -> list[int]:
    """A descriptor of what *mounts* show at *place*; a plain bind shows its source."""
    if is_single_bind(mounts) and not mounts[0].target and not _CHANGED_BY.intersection(option_names(mounts[0])):
        return [os.open(mounts[0].source, _OPEN)]
    mounting.mount_all(without_volatile(mounts), place)
    return [os.open(place, _OPEN)]


def option_names(mount: Mount) -> set[str]:
    """What the options of a mount are called, without their values."""
    return {option.partition("=")[0] for option in mount.options}


def open_overlay(overlay: Mount) -> list[int]:
    """Descriptors of the upper directory and of the lower ones, nearest first."""
    return [os.open(path, _OPEN) for path in (overlay.option("upperdir") or "", *overlay.lower_directories)]


_WARM_LAYER: Final = (
    # mode, type, link, name: one of each kind, so that each path of the code has run once
    (0o755, header.DIRECTORY, b"", b"usr/"),
    (0o644, header.REGULAR, b"", b"usr/share/file"),
    (0o777, header.SYMLINK, b"file", b"usr/share/link"),
    (0o644, header.LINK, b"usr/share/file", b"usr/share/hard"),
    (0o644, header.FIFO, b"", b"usr/fifo"),
    (0o644, header.REGULAR, b"", b"usr/.wh.fifo"),
    (0o644, header.REGULAR, b"", b"usr/share/.wh..wh..opq"),
)


def warm() -> None:
    """Applies a small layer to a directory of its own, so that children find all of it loaded and run once."""
    data = b"warm" * 64
    members = []
    for mode, type_, link, name in _WARM_LAYER:
        stored = data if type_ == header.REGULAR else b""
        members += [header.build(name, type_, link, mode, len(stored)), stored.ljust(512, b"\0") if stored else b""]
    layer = igzip_lib.compress(b"".join(members) + bytes(1024), flag=igzip_lib.COMP_GZIP)
    confinement.filter_program()
    capabilities.effective()
    with vanishing_directory() as place:
        directory = os.open(place, _OPEN)
        try:
            with io.BytesIO(layer) as stream:
                extract(stream.read, Extraction(directory, overlay=False), sniff=True)
        finally:
            os.close(directory)
    encode(Applied("", 0, 0))
    decode_request(encode(ApplyRequest((Mount("bind", place),))))
