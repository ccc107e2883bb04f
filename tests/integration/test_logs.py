"""Logs are whole with every pair of daemon and shim, and the daemon is not needed while they are written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from pycontainerd.shim import spawn
from tests.harness import peers
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.logs import Record, records
from tests.harness.spawners import end_spawners
from tests.integration.shim_process import make_rootfs

LINES: Final = 1_000_000
LINE: Final = b"0123456789" * 10
RECORD: Final = 30 + len(" stdout F ") + len(LINE) + 1
"""Bytes of a line of the output in the log."""

LAST: Final = b"2026-11-24T07:46:57.297688974Z stderr F end\n"

WAIT_S: Final = 120


def native(path: Path) -> str:
    return f"cri-log://{path}"


def program(path: Path) -> str:
    return f"binary://{peers.ours('containerd-cri-log')}?path={quote(str(path))}"


PAIRS: Final = [
    pytest.param((OURS, OURS, native), id="ours"),
    pytest.param((OURS, STOCK, native), id="stock shim"),
    pytest.param((STOCK, OURS, native), id="stock daemon"),
    pytest.param((STOCK, STOCK, program), id="stock"),
]


@pytest.fixture(params=PAIRS)
def pair(scratch: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Daemon, Callable[[Path], str]]]:
    """A daemon, and how a log is written with its shims."""
    kind, shims, uri = request.param
    with Daemon.start(kind, scratch / "d", shims=shims) as daemon:
        make_rootfs(daemon.base)
        yield daemon, uri
        end_spawners(daemon.socket_dir)
    # ctr takes no other root of runc for a runtime that is named by its path.
    shutil.rmtree(f"/run/containerd/runc/{daemon.namespace}", ignore_errors=True)


def start(daemon: Daemon, uri: str, *arguments: str) -> None:
    """Runs the container c1 in the background, with its output to *uri*."""
    runtime = ["--runtime", str(peers.stock("containerd-shim-runc-v2"))] if daemon.shims is STOCK else []
    rootfs = str(daemon.base / "rootfs")
    daemon.ctr("run", "-d", "--log-uri", uri, *runtime, "--rootfs", rootfs, "c1", *arguments)


def wait_for(what: Callable[[], bool]) -> None:
    """Waits for what other processes do to a file."""
    until = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_hundred_megabytes_are_whole_though_the_daemon_is_killed(
    pair: tuple[Daemon, Callable[[Path], str]], scratch: Path
) -> None:
    daemon, uri = pair
    path = scratch / "c1.log"
    start(daemon, uri(path), "/bin/sh", "-c", f"yes {LINE.decode()} | head -n {LINES}; echo end >&2")
    wait_for(lambda: path.stat().st_size > 1 << 20)
    daemon.kill()
    size = RECORD * LINES + len(LAST)
    wait_for(lambda: path.stat().st_size >= size)  # nobody but the shim is there
    with path.open("rb") as file:
        counted = sum(line[30:] == b" stdout F " + LINE + b"\n" for line in file)
        file.seek(-len(LAST), os.SEEK_END)
        assert file.read()[30:] == LAST[30:]
    assert (counted, path.stat().st_size) == (LINES, size)
    daemon.up()


def test_what_a_process_leaves_behind_at_its_end_is_whole(
    pair: tuple[Daemon, Callable[[Path], str]], scratch: Path
) -> None:
    daemon, uri = pair
    path = scratch / "c1.log"
    start(daemon, uri(path), "/bin/sh", "-c", "seq 5000; printf unended; exit 3")
    wait_for(lambda: "STOPPED" in daemon.ctr("tasks", "ls").out)
    daemon.ctr("tasks", "rm", "c1", check=False)
    # containerd's shim keeps the pipes open, so that only the deletion brings their end.
    wait_for(lambda: b"unended" in path.read_bytes())
    *lines, last = records(path)
    assert [int(line.text) for line in lines] == list(range(1, 5001))
    assert last == Record("stdout", "P", b"unended")


def test_the_logging_program_serves_any_reader_of_its_protocol(scratch: Path) -> None:
    """Descriptors 3 and 4 are read to their end, 5 is written and closed, SIGTERM ends it with what is there."""
    path = scratch / "c.log"
    pipes = [os.pipe() for _ in range(3)]
    (out, to_out), (err, to_err), (ready, to_ready) = pipes
    command = [str(peers.ours("containerd-cri-log")), "max-line", "4", "path", str(path)]
    pid = spawn.start(command, {3: out, 4: err, 5: to_ready}, os.environ, tie=None)
    for fd in (out, err, to_ready):
        os.close(fd)
    assert os.read(ready, 10) != b""
    assert os.read(ready, 10) == b""
    os.write(to_out, b"whole\nrest")
    os.close(to_err)
    os.kill(pid, signal.SIGTERM)
    assert os.waitpid(pid, 0)[1] == 0
    texts = [(record.tag, record.text) for record in records(path)]
    assert texts == [("P", b"whol"), ("F", b"e"), ("P", b"rest")]
    for fd in (to_out, ready):
        os.close(fd)


@pytest.mark.parametrize("arguments", [(), ("path", "relative"), ("path", "/c.log", "color", "red")])
def test_the_logging_program_refuses_what_can_not_be_meant(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [peers.ours("containerd-cri-log"), *arguments], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 1
    assert done.stderr.startswith("containerd-cri-log: log ")
