"""The worker that compares two trees: what a container left in, the bytes of a layer out.

It is forked from the spawner with three descriptors, mounts both trees in a namespace of its own, confines itself, and
answers on its socket.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from typing import Final

from pycontainerd.diff import confinement
from pycontainerd.diff.changes import changes
from pycontainerd.diff.compare_messages import (
    Begun,
    Compared,
    CompareFailed,
    CompareRequest,
    Reply,
    decode_reply,
    decode_request,
    encode,
)
from pycontainerd.diff.emission import Emission
from pycontainerd.diff.layer_output import GZIP, ZSTD, LayerOutput
from pycontainerd.mounts import mounting
from pycontainerd.mounts.model import Mount, read_only, without_volatile
from pycontainerd.spawner import working
from pycontainerd.system import capabilities, mount
from pycontainerd.system.detached import vanishing_directory

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KEPT: Final = (capabilities.CAP_DAC_OVERRIDE,)
_NONE: Final = -1


def main(request: bytes, fds: list[int]) -> int:
    """Serves one request: sink, socket, pipe. The exit status is 0 if a last reply was sent, whatever it says."""
    sink, replies, tie = fds
    working.begin(tie)
    with socket.socket(fileno=replies) as connection:
        reply: Reply
        try:
            reply = _compare(decode_request(request), sink, connection)
        except Exception as error:  # noqa: BLE001 - the daemon must hear of a defect as well
            reply = CompareFailed(working.reason(error, "compare the trees"))
        connection.send(encode(reply))
    return 0


def _compare(request: CompareRequest, sink: int, connection: socket.socket) -> Compared:
    older, newer = confinement.enter(
        lambda place: _open_both(request, place),
        kept=_KEPT,
    )
    connection.send(encode(Begun()))
    return compare(older, newer, lambda data: _write_all(sink, data), request.compression, request.latest_ns)


def _open_both(request: CompareRequest, place: str) -> tuple[int, int]:
    """Descriptors of the two trees, mounted one after the other at *place*; -1 where there are no mounts.

    The newer one is seen read-only, with an overlay's upper layer as its first lower one: it may be in use.
    """
    return _open(without_volatile(request.older), place), _open(read_only(request.newer), place)


def _open(mounts: tuple[Mount, ...], place: str) -> int:
    if not mounts:
        return _NONE
    mounting.mount_all(mounts, place)
    fd = os.open(place, _OPEN)
    # The descriptor keeps it.
    while os.path.ismount(place):
        mount.umount(place, mount.MNT_DETACH)
    return fd


def compare(
    older: int, newer: int, sink: Callable[[bytes], None], compression: str, latest_ns: int | None = None
) -> Compared:
    """Gives *sink* the layer that makes the directory *older* to *newer*. Raises OSError, Unknown."""
    with LayerOutput(sink, compression) as output:
        emission = Emission(output.write, latest_ns=latest_ns)
        for change in changes(older, newer):
            emission.tell(change)
        emission.end()
    return Compared(output.digest(), output.size)


def _write_all(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


def warm() -> None:
    """Compares two small trees, so that children find all of it loaded and run once."""
    with vanishing_directory() as place:
        older, newer = os.path.join(place, "older"), os.path.join(place, "newer")
        os.makedirs(os.path.join(older, "below"))
        for name in ("gone", "kept", "changed"):
            _fill(os.path.join(older, name), 1)
        shutil.copytree(older, newer)
        os.unlink(os.path.join(newer, "gone"))
        _fill(os.path.join(newer, "changed"), 2)
        os.link(os.path.join(newer, "changed"), os.path.join(newer, "below", "other"))
        os.symlink("changed", os.path.join(newer, "link"))
        where = os.open(".", _OPEN)
        fds = [os.open(directory, _OPEN) for directory in (older, newer)]
        try:
            for compression in ("", GZIP, ZSTD):
                decode_reply(encode(compare(fds[0], fds[1], bytearray().extend, compression, 0)))
        finally:
            os.fchdir(where)
            for fd in (where, *fds):
                os.close(fd)
    decode_request(encode(CompareRequest((Mount("bind", place),), ())))


def _fill(path: str, second: int) -> None:
    with open(path, "wb") as file:
        file.write(b"warm" * second)
    os.utime(path, (second, second))
