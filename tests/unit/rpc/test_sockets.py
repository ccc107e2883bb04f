from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from pycontainerd.errors import FailedPrecondition, InvalidArgument
from pycontainerd.rpc.sockets import is_served, listen_tcp, listen_unix, locked


def test_owner_and_mode_are_set(scratch: Path) -> None:
    path = scratch / "s"
    with listen_unix(str(path), uid=1234, gid=4321, mode=0o660):
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o660)
        assert is_served(str(path))


def test_a_missing_parent_is_made_for_the_owner(scratch: Path) -> None:
    with listen_unix(str(scratch / "a" / "b" / "s"), uid=12, gid=34):
        found = (scratch / "a" / "b").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o770)


def test_a_parent_that_is_there_is_left_alone(scratch: Path) -> None:
    (scratch / "a").mkdir(mode=0o711)
    with listen_unix(str(scratch / "a" / "s"), uid=12, gid=34):
        assert stat.S_IMODE((scratch / "a").stat().st_mode) == 0o711


def test_a_stale_socket_is_replaced(scratch: Path) -> None:
    path = str(scratch / "s")
    listen_unix(path).close()
    assert not is_served(path)
    with listen_unix(path):
        assert is_served(path)


def test_the_socket_of_a_living_server_is_left_alone(scratch: Path) -> None:
    path = str(scratch / "s")
    with listen_unix(path) as living:
        with pytest.raises(FailedPrecondition, match="is served by a living daemon"):
            listen_unix(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        assert living.fileno() >= 0


def test_a_server_whose_backlog_is_full_lives(scratch: Path) -> None:
    path = str(scratch / "s")
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as waiting:
        living.bind(path)
        living.listen(0)
        waiting.setblocking(False)
        waiting.connect(path)
        with pytest.raises(FailedPrecondition):
            listen_unix(path)


def test_a_directory_that_another_keeps_locked_is_not_waited_for_for_ever(scratch: Path) -> None:
    waits_for_none = locked(str(scratch), limit_s=0)
    with locked(str(scratch)), pytest.raises(BlockingIOError, match="another process keeps it locked"):
        waits_for_none.__enter__()
    with locked(str(scratch), limit_s=0):
        pass


def test_what_is_no_socket_is_left_alone(scratch: Path) -> None:
    path = scratch / "s"
    path.write_text("precious")
    with pytest.raises(FailedPrecondition, match="is not a socket"):
        listen_unix(str(path))
    assert path.read_text() == "precious"


def test_a_path_over_104_bytes_is_refused(scratch: Path) -> None:
    name = "x" * (104 - len(str(scratch)) - 1)
    with listen_unix(str(scratch / name)):
        pass
    with pytest.raises(InvalidArgument, match="longer than 104 bytes"):
        listen_unix(str(scratch / (name + "x")))


def test_a_failed_attempt_leaves_no_descriptor(scratch: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OverflowError):
        listen_unix(str(scratch / "s"), uid=1 << 33)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_free_tcp_port_is_found() -> None:
    with listen_tcp("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0
