"""What users do with containers through stock ctr."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.harness import peers
from tests.harness.daemon import COMMAND_S, STOCK, Daemon, Kind, Result

STOCK_SHIM: Final = str(peers.STOCK / "containerd-shim-runc-v2")
OUR_SHIM: Final = "io.containerd.runc.v2"


@dataclass
class User:
    """Runs containers of one root file system with one runtime, in the daemon's namespace."""

    daemon: Daemon
    rootfs: Path
    runtime: str = OUR_SHIM

    def ctr(self, *arguments: str, check: bool = True) -> Result:
        return self.daemon.ctr(*arguments, check=check)

    def run(self, id_: str, *command: str, flags: tuple[str, ...] = (), check: bool = True) -> Result:
        """`ctr run` of *command* in a container called *id_*."""
        where = ("--runtime", self.runtime, *flags, "--rootfs", str(self.rootfs))
        return self.daemon.run(*where, id_, *command, check=check)

    def detach(self, id_: str, *command: str) -> None:
        """Starts a container in the background; by default one that sleeps."""
        self.run(id_, *(command or ("/bin/sleep", "1000")), flags=("-d", "--null-io"))

    def tasks(self) -> dict[str, tuple[int, str]]:
        """The pid and the status of each task."""
        rows = [line.split() for line in self.ctr("task", "ls").lines[1:]]
        return {id_: (int(pid), status) for id_, pid, status in rows}

    def bundle(self, id_: str) -> Path:
        return self.daemon.state / "io.containerd.runtime.v2.task" / self.daemon.namespace / id_

    def shim(self, id_: str) -> int:
        """The pid of a container's shim."""
        status = Path(f"/proc/{self.tasks()[id_][0]}/status").read_text()
        found = re.search(r"^PPid:\s+(\d+)$", status, re.MULTILINE)
        assert found is not None
        return int(found[1])

    @contextmanager
    def background(self, *arguments: str, by: Kind = STOCK) -> Iterator[subprocess.Popen[str]]:
        """A ctr that runs beside the test, ended with the block."""
        command = [str(by.program("ctr")), *arguments]
        with subprocess.Popen(
            command, env=self.daemon.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def events(self) -> Iterator[Events]:
        """The events of the daemon from now on."""
        with self.background("events") as process:
            listening = Events(process, self.daemon.namespace)
            # Nothing tells when the subscription stands: events of our own are published until one is seen.
            listening.synchronize(self)
            yield listening


@dataclass(frozen=True)
class Event:
    topic: str
    payload: dict[str, Any]


class Events:
    """Lines of `ctr events`, of one namespace."""

    def __init__(self, process: subprocess.Popen[str], namespace: str) -> None:
        self._process = process
        self._namespace = namespace

    def synchronize(self, user: User) -> None:
        """Returns when the subscription stands."""
        with user.background("events", f'topic=="/namespaces/update",event.name=={self._namespace}') as other:
            for number in range(1000):
                user.ctr("namespaces", "label", self._namespace, f"round={number}")
                if _has_line(other) and _has_line(self._process):
                    break
        assert self.until("/namespaces/update")

    def until(self, topic: str, **payload: Any) -> list[Event]:
        """The events up to and with the one of *topic* whose payload has these values."""
        seen: list[Event] = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            _, _, _, _, namespace, name, text = line.split(maxsplit=6)
            if namespace != self._namespace or (name == "/namespaces/update" != topic):
                continue
            seen.append(Event(name, json.loads(text)))
            if name == topic and payload.items() <= seen[-1].payload.items():
                return seen
        raise AssertionError(f"no {topic} came; before it: {seen}")


def _has_line(process: subprocess.Popen[str]) -> bool:
    import select

    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.05)[0])


def wait_gone(process: subprocess.Popen[str]) -> int:
    """The exit code of a ctr that ends by itself."""
    return process.wait(COMMAND_S)
