"""The worker that goes through one tree, since Python that does so would hold up the daemon's loop.

It is forked from the spawner with two descriptors: a pipe for its reply, and one whose end it dies with.
"""

from __future__ import annotations

import errno
import os

from pycontainerd.snapshots import trees
from pycontainerd.snapshots.tree_messages import (
    Copy,
    Done,
    Failed,
    Measure,
    Remove,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode,
)
from pycontainerd.spawner import working
from pycontainerd.system.detached import vanishing_directory


def main(request: bytes, fds: list[int]) -> int:
    """Serves one request. The exit status is 0 if a reply was sent, whatever it says."""
    replies, tie = fds
    working.begin(tie)
    os.write(replies, encode(_answer(decode_request(request))))
    return 0


def _answer(request: Request) -> Reply:
    try:
        match request:
            case Measure(path):
                usage = trees.usage(path)
                return Done(usage.size, usage.inodes)
            case Copy(path, target):
                trees.copy(path, target)
            case Remove(path):
                trees.remove(path)
    except OSError as error:
        return Failed(error.errno or errno.EIO, f"{error.filename or ''}"[:1024])
    return Done()


def warm() -> None:
    """One full cycle of what a child does, before the spawner settles its memory."""
    with vanishing_directory() as directory:
        source, target = os.path.join(directory, "source"), os.path.join(directory, "target")
        os.makedirs(os.path.join(source, "below"))
        with open(os.path.join(source, "file"), "wb") as file:
            file.write(b"x")
        os.symlink("file", os.path.join(source, "link"))
        for request in (Measure(source), Copy(source, target), Remove(target), Measure(target)):
            decode_reply(encode(_answer(decode_request(encode(request)))))
