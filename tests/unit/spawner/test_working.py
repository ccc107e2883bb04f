"""What workers do first, and how they tell that they failed."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from pycontainerd.errors import NotFound
from pycontainerd.spawner import working

_GREEDY = """
import os
from pycontainerd.spawner import working
tie, held = os.pipe()
working.begin(tie, memory=64 << 20)
kept = [bytes(16 << 20) for _ in range(2)]
try:
    while True:
        kept.append(bytes(16 << 20))
except MemoryError as error:
    count = len(kept)
    kept.clear()
    print(count, working.reason(error, "apply the layer"))
"""


def test_a_worker_that_wants_too_much_memory_is_told_so() -> None:
    done = subprocess.run([sys.executable, "-c", _GREEDY], check=True, capture_output=True, text=True, timeout=60)
    count, _, text = done.stdout.strip().partition(" ")
    assert 2 <= int(count) <= 4
    assert text == "failed to apply the layer: more than 1024 MiB of memory would be needed"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFound("gone"), "gone"),
        (OSError(errno.ENOENT, "No such file", "/a"), "/a: no such file"),
        (OSError(errno.EINVAL, "Invalid argument"), "invalid argument"),
        (ValueError("x"), "failed to look: ValueError('x')"),
    ],
)
def test_a_failure_is_told_in_one_line(error: Exception, text: str) -> None:
    assert working.reason(error, "look") == text


def test_a_long_failure_is_cut() -> None:
    assert len(working.reason(NotFound("x" * 10_000), "look")) == 4_096
