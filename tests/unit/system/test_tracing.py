"""Children that die with us."""

from __future__ import annotations

import os
import select
import subprocess
import sys

PARENT = """
import os, signal
from pycontainerd.system import tracing
pid = os.fork()
if not pid:
    while True:
        signal.pause()
tracing.tie(pid)
print(pid, flush=True)
signal.pause()
"""


def test_a_tied_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        assert select.select([child], [], [], 0)[0] == []
        parent.kill()
        assert select.select([child], [], [], 60)[0] == [child]
    os.close(child)
