"""The spawners that tests start. They outlive who started them, so a test ends its own."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

from pycontainerd.spawner import starting
from pycontainerd.spawner.server import TITLE, lock_path
from tests.harness.machine import MARK, SESSION


def spawners(socket_dir: Path) -> list[int]:
    """The processes of this session's spawners whose sockets lie in *socket_dir*."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cmdline").read_bytes() != f"{TITLE}\0".encode():
                continue
            mine = f"{MARK}={SESSION}".encode() in (entry / "environ").read_bytes()
            listening = {os.readlink(fd) for fd in (entry / "fd").iterdir()}
        except OSError:
            continue
        if mine and listening & _sockets_below(socket_dir):
            found.append(int(entry.name))
    return found


def _sockets_below(directory: Path) -> set[str]:
    """The listening sockets below *directory*, as links of descriptors name them."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    fields = [line.split(maxsplit=7) for line in lines]
    # The name is that of the bind, in the same directory; the file was renamed since.
    return {f"socket:[{field[6]}]" for field in fields if len(field) == 8 and field[7].startswith(f"{directory}/")}


def end_spawners(socket_dir: Path) -> None:
    """Kills the spawners of *socket_dir*, waits for their end, and removes the names of those that are dead."""
    for pid in spawners(socket_dir):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 10)
        finally:
            os.close(descriptor)
    for name in socket_dir.glob("spawner-*"):
        if name.is_socket():
            _remove_if_dead(name)


def _remove_if_dead(name: Path) -> None:
    connection = starting.connect(str(name))
    if connection is not None:
        connection.close()  # of another session
        return
    name.unlink(missing_ok=True)
    Path(lock_path(str(name))).unlink(missing_ok=True)
