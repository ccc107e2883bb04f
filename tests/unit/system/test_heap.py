"""What the allocator keeps, as the kernel counts it. In a process of its own: it concerns all of a process."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from pycontainerd.system.heap import keep_freed, trim

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        one, two = bytearray(1 << 20), bytearray(1 << 20)
        del one, two
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed(16 << 20)
faults()
kept = faults()
assert kept < 50, kept
assert trim()
assert faults() > 256
"""


def test_freed_memory_is_kept_and_given_back_when_asked() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
