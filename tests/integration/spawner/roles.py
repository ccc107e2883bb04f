"""What children of a spawner under test do."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time

ROLES = {
    "shim": "tests.integration.spawner.roles:shim",
    "echo": "tests.integration.spawner.roles:echo",
    "size": "tests.integration.spawner.roles:size",
    "facts": "tests.integration.spawner.roles:facts",
    "raise": "tests.integration.spawner.roles:raises",
    "killed": "tests.integration.spawner.roles:killed",
    "gone": "no.such.module:main",
}


def warm() -> None:
    """Nothing to warm."""


def echo(request: bytes, fds: list[int]) -> int:
    """Writes the request; the status is its length."""
    os.write(fds[0], request)
    return len(request)


def size(request: bytes, fds: list[int]) -> int:
    """The status is the length of the request in KiB."""
    return len(request) // 1024


def shim(request: bytes, fds: list[int]) -> int:
    """Says who it is, once it is told to by the second pipe, and stays until the other end of that is closed."""
    os.read(fds[1], 1)
    facts(request, fds[:1])
    os.close(fds[0])
    os.read(fds[1], 1)
    return 0


def facts(request: bytes, fds: list[int]) -> int:
    """Writes what a child finds."""
    listed = sorted(int(name) for name in os.listdir("/proc/self/fd"))  # the listing's own is closed by now
    found = {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "umask": os.umask(0),
        "fds": [number for number in listed if os.path.lexists(f"/proc/self/fd/{number}")],
        "given": fds,
        "session": os.getsid(0) == os.getpid(),
        "parent": os.getppid(),
        "oom": int(read("oom_score_adj")),
        "title": read("cmdline"),
        "name": read("comm"),
        "stdio": [os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "mask": [line for line in read("status").splitlines() if line.startswith(("SigBlk", "SigIgn"))],
        "threads": len(os.listdir("/proc/self/task")),
        "modules": "asyncio" in sys.modules,
    }
    os.write(fds[0], json.dumps(found).encode())
    return 0


def read(name: str) -> str:
    with open(f"/proc/self/{name}", encoding="ascii") as file:
        return file.read()


def raises(request: bytes, fds: list[int]) -> int:
    raise ValueError(request)


def killed(request: bytes, fds: list[int]) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    return 0
