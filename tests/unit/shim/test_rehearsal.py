"""What a rehearsal leaves when the spawner that plays it is killed."""

from __future__ import annotations

import os
import select
import signal

from pycontainerd.shim.rehearsal import sleeper

SOON_S = 30


def test_the_stand_in_of_a_container_dies_with_the_one_that_plays() -> None:
    read, write = os.pipe()
    player = os.fork()
    if not player:
        os.write(write, str(sleeper()).encode())
        signal.pause()
        os._exit(0)
    os.close(write)
    played = os.pidfd_open(int(os.read(read, 32)))
    os.close(read)
    os.kill(player, signal.SIGKILL)
    os.waitpid(player, 0)
    try:
        ended, _, _ = select.select([played], [], [], SOON_S)
        assert ended == [played]
    finally:
        os.close(played)
