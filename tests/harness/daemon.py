"""A daemon under test, ours or stock, on directories and names of its own.

    with Daemon.start(STOCK, base) as daemon:
        daemon.ctr("images", "import", archive)

What is global for all daemons of a machine is kept apart: sockets of shims, fifos and runc's state lie below the base,
and containers live in a namespace that no other test has.
"""

from __future__ import annotations

import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness import peers
from tests.harness.machine import MARK, SESSION

PATIENCE: Final = int(os.environ.get("PYCONTAINERD_TEST_PATIENCE", "1"))
"""By how much this machine is slower than others: one that is emulated says so."""

READY_S: Final = 60 * PATIENCE
COMMAND_S: Final = 120 * PATIENCE

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose program it is."""

    name: str

    def program(self, program: str) -> Path:
        return peers.stock(program) if self is STOCK else peers.ours(program)

    @property
    def path(self) -> str:
        return peers.path_with(peers.STOCK if self is STOCK else peers.OURS)

    def __str__(self) -> str:
        return self.name


STOCK: Final = Kind("stock")
OURS: Final = Kind("ours")


@dataclass(frozen=True, slots=True)
class Result:
    """What a program printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Daemon:
    """A daemon that a test starts, asks, kills and starts again."""

    kind: Kind
    base: Path
    shims: Kind
    namespace: str = field(default_factory=lambda: f"{SESSION}-{next(_numbers)}")
    extra_config: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def start(
        cls,
        kind: Kind,
        base: Path,
        *,
        shims: Kind | None = None,
        config: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Daemon]:
        """A running daemon with *base* as its directory; at the end it and all it runs are gone."""
        daemon = cls(kind, base, shims or kind, extra_config=config, environment=environment or {})
        daemon.base.mkdir(parents=True, exist_ok=True)
        daemon.up()
        try:
            yield daemon
        finally:
            daemon.clear()

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def state(self) -> Path:
        return self.base / "state"

    @property
    def address(self) -> Path:
        return self.base / "c.sock"

    @property
    def socket_dir(self) -> Path:
        return self.base / "s"

    @property
    def log(self) -> Path:
        return self.base / "log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def config(self) -> str:
        """What the daemon is configured with; the parts that pods need are off, tests of them turn them on."""
        return f"""version = 4
root = '{self.root}'
state = '{self.state}'
imports = []
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', \
'io.containerd.podsandbox.controller.v1.podsandbox', 'io.containerd.nri.v1.nri']
[plugins.'io.containerd.server.v1.grpc']
  address = '{self.address}'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '{self.address}.ttrpc'
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = '{self.socket_dir}'
[plugins.'io.containerd.internal.v1.opt']
  path = '{self.base}/opt'
{self.extra_config}
"""

    def up(self) -> None:
        """Starts the daemon and returns when it has told its supervisor that it is ready."""
        file = self.base / "config.toml"
        file.write_text(self.config())
        notify = self.base / "notify"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self.log.open("ab") as log:
            ready.bind(str(notify))
            ready.settimeout(READY_S)
            command = [str(self.kind.program("containerd")), "--config", str(file)]
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.env() | {"NOTIFY_SOCKET": str(notify)},
            )
            _wait_ready(ready, self)

    def env(self) -> dict[str, str]:
        """The environment of the daemon and of the clients of this test."""
        return {
            "PATH": peers.path_with(peers.STOCK if self.shims is STOCK else peers.OURS),
            "HOME": "/root",
            "LANG": "C.UTF-8",
            MARK: SESSION,
            "CONTAINERD_ADDRESS": str(self.address),
            "CONTAINERD_NAMESPACE": self.namespace,
            **self.environment,
        }

    def ctr(
        self,
        *arguments: str | Path,
        by: Kind | None = None,
        check: bool = True,
        stdin: bytes = b"",
        timeout_s: float = COMMAND_S,
    ) -> Result:
        """Runs ctr against this daemon: the stock one, or *by* OURS."""
        command = [str((by or STOCK).program("ctr")), *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, env=self.env(), timeout=timeout_s, check=False)
        result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        if check and result.code != 0:
            raise AssertionError(
                f"{' '.join(command)}: exit {result.code}\n{result.out}{result.err}\n--- daemon\n{self.tail()}"
            )
        return result

    def run(self, *arguments: str | Path, by: Kind | None = None, check: bool = True, stdin: bytes = b"") -> Result:
        """`ctr run` with fifos and runc's state below this daemon's base."""
        own = ("--fifo-dir", self.base / "fifo", "--runc-root", self.base / "runc")
        return self.ctr("run", *own, *arguments, by=by, check=check, stdin=stdin)

    def signal(self, number: signal.Signals) -> int:
        """Sends the daemon a signal and waits until it has ended. Returns its exit code, negative for a signal."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(READY_S)
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9: what a daemon may meet between any two lines."""
        self.signal(signal.SIGKILL)

    def stop(self) -> int:
        return self.signal(signal.SIGTERM)

    def tail(self, lines: int = 30) -> str:
        """The end of the daemon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def clear(self) -> None:
        """Ends the daemon, its shims and containers, and removes its directories."""
        if self.process is not None and self.process.poll() is None:
            self._end_tasks()
            self.stop()
        end_processes_below(self.base)
        unmount_below(self.base)
        remove_cgroups_of(self.namespace)
        shutil.rmtree(self.base, ignore_errors=True)

    def _end_tasks(self) -> None:
        for namespace in self.ctr("namespaces", "ls", "-q", check=False).lines:
            for task in self.ctr("-n", namespace, "tasks", "ls", "-q", check=False).lines:
                self.ctr("-n", namespace, "tasks", "rm", "-f", task, check=False)


def _wait_ready(ready: socket.socket, daemon: Daemon) -> None:
    assert daemon.process is not None
    ready.settimeout(0.2)
    for _ in range(READY_S * 5):
        try:
            if b"READY=1" in ready.recv(4096):
                return
        except TimeoutError:
            if daemon.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {daemon.process.returncode}:\n{daemon.tail()}") from None
    raise AssertionError(f"the daemon was not ready after {READY_S} s:\n{daemon.tail()}")


def end_processes_below(base: Path) -> None:
    """Kills the processes of this session that name *base* in their arguments or run in a directory below it."""
    for _ in range(10):  # one that was killed may have forked meanwhile
        if not _end_processes_below(base):
            return


def _end_processes_below(base: Path) -> int:
    """How many were found and killed."""
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            where = os.readlink(entry / "cwd")
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{MARK}={SESSION}".encode() not in environment:
            continue
        if command and (where.startswith(str(base)) or str(base).encode() in command + environment):
            found += 1
            _kill(int(entry.name))
    return found


def _kill(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        # Readable when the process has ended; it may be a zombie of ours, which Popen reaps.
        select.select([descriptor], [], [], 10)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def unmount_below(base: Path) -> None:
    """Unmounts everything below *base*, the last mounted first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([point for point in points if point.startswith(f"{base}/")]):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def remove_cgroups_of(namespace: str) -> None:
    """Removes the cgroups that runc leaves for the namespace itself, once the last of their processes has gone."""
    top = Path("/sys/fs/cgroup")
    until = time.monotonic() + READY_S
    for group in (top / namespace, *(hierarchy / namespace for hierarchy in top.iterdir())):
        while group.is_dir() and not _removed(group) and time.monotonic() < until:
            time.sleep(0.02)  # version 1 tells nobody that a group has become empty


def _removed(group: Path) -> bool:
    for directory, _, _ in sorted(os.walk(group), reverse=True):
        with suppress(OSError):
            os.rmdir(directory)
    return not group.exists()
