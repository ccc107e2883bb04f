"""A user at one combination of programs: types commands, and writes down what came of them.

What differs from one run to the next (times, pids, random names, directories) stands in the notes as a word for it, so
that the notes of all combinations can be compared.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.conftest import IMAGE
from tests.harness import peers
from tests.harness.asking import over_socket
from tests.harness.daemon import COMMAND_S, Daemon, Kind, Result
from tests.harness.waiting import until
from tests.integration.runtime.users import wait_gone

SHIM: Final = "containerd-shim-runc-v2"

_CHANGING: Final = (
    (re.compile(r'time="[^"]*"'), "time=T"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC)?"), "STAMP"),
    (re.compile(r"/snapshots/\d+/"), "/snapshots/N/"),
    (re.compile(r"/fifo/[0-9a-f]+/"), "/fifo/N/"),
    (re.compile(r"(?<=\"pid\":)\d+"), "PID"),
    (re.compile(r"{\"seconds\":\d+(,\"nanos\":\d+)?}"), "STAMP"),
    (re.compile(r"\b\d+(?= +(RUNNING|STOPPED|PAUSED|CREATED))"), "PID"),
    (re.compile(r" +$", re.MULTILINE), ""),
    (re.compile(r"  +"), "  "),  # columns are as wide as the longest pid
)


@dataclass(frozen=True, slots=True)
class Combination:
    """Whose daemon, shim and ctr."""

    daemon: Kind
    shim: Kind
    ctr: Kind

    def __str__(self) -> str:
        return f"{self.daemon} daemon, {self.shim} shim, {self.ctr} ctr"


@dataclass
class Desk:
    """Commands in a namespace of their own, and the notes on them, by scenario."""

    combination: Combination
    daemon: Daemon
    namespace: str
    notes: dict[str, list[str]] = field(default_factory=dict)
    deletions: list[str] = field(default_factory=list)
    """The events of deletions, which the original's daemon may lose."""
    scenario: str = ""

    @property
    def shim(self) -> str:
        return str(self.combination.shim.program(SHIM))

    def note(self, what: str, answer: str) -> None:
        self.notes.setdefault(self.scenario, []).append(self.normal(f"{what}: {answer}"))

    def ask(self, *words: str | Path, stdin: bytes = b"") -> Result:
        """Types a command; what it answers is not noted."""
        return self.daemon.ctr("-n", self.namespace, *words, by=self.combination.ctr, check=False, stdin=stdin)

    def type(self, *words: str | Path, stdin: bytes = b"") -> Result:
        """Types a command and notes its output and exit code."""
        result = self.ask(*words, stdin=stdin)
        self.note(" ".join(map(str, words)), f"exit {result.code}\n{result.out}{result.err}")
        return result

    def running(self, *words: str) -> tuple[str | Path, ...]:
        """The words of `run`, with the shim of the combination and fifos in the daemon's directory."""
        return ("run", "--runtime", self.shim, "--fifo-dir", self.daemon.base / "fifo", *words)

    def run(self, *words: str, stdin: bytes = b"") -> Result:
        """Types `run` with *words*, and notes it."""
        result = self.ask(*self.running(*words), stdin=stdin)
        self.note(f"run {' '.join(words)}", f"exit {result.code}\n{result.out}{result.err}")
        return result

    def detach(self, id_: str, *command: str) -> None:
        """Leaves a container running: one that sleeps, unless there is a *command*."""
        assert self.run("-d", "--null-io", IMAGE, id_, *(command or ("sleep", "1000"))).code == 0

    def executing(self, *words: str) -> tuple[str | Path, ...]:
        return ("tasks", "exec", "--fifo-dir", self.daemon.base / "fifo", *words)

    def execute(self, *words: str) -> None:
        """Types `tasks exec`, and notes it."""
        result = self.ask(*self.executing(*words))
        self.note(f"exec {' '.join(words)}", f"exit {result.code}\n{result.out}{result.err}")

    @contextmanager
    def beside(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A ctr that runs beside the others; ended with the block."""
        command = [str(self.combination.ctr.program("ctr")), "-n", self.namespace, *map(str, words)]
        with subprocess.Popen(
            command, env=self.daemon.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def attach(self, id_: str, *signals: str) -> None:
        """Attaches to a task, sends it *signals* meanwhile, and notes what came and the exit code."""
        with self.beside("tasks", "attach", id_) as attached:
            if signals:
                _until_reading(attached.pid, f"/{id_}-stdout")
            for name in signals:
                self.ask("tasks", "kill", "-s", name, id_)
            code = wait_gone(attached)
            assert attached.stdout is not None
            self.note(f"attach {id_}", f"exit {code}\n{attached.stdout.read()}")

    def on_terminal(self, what: str, words: Sequence[str | Path]) -> None:
        """Types a command on a terminal, and notes what it shows."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        command = [str(self.combination.ctr.program("ctr")), "-n", self.namespace, *map(str, words)]
        with subprocess.Popen(command, env=self.daemon.env(), stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            shown = _read_all(ours)
            code = process.wait(COMMAND_S)
        os.close(ours)
        self.note(what, f"exit {code}\n{shown}")

    def pid(self, id_: str) -> int:
        """The pid of a task's init."""
        rows = [line.split() for line in self.ask("tasks", "ls").lines[1:]]
        return int(next(pid for name, pid, _ in rows if name == id_))

    def call(self, contract: Any, method: str, request: Any) -> Any:
        """Asks the daemon for what no command asks for."""
        with over_socket(self.daemon.address) as asker:
            return asker.ask(contract, method, request, namespace=self.namespace)

    def normal(self, text: str) -> str:
        """*text* without what differs from one run to the next, and from one combination to another."""
        text = text.replace("\r", "").replace(self.shim, "SHIM").replace(self.namespace, "NAMESPACE")
        text = (
            text.replace(str(self.daemon.base), "BASE").replace(str(peers.STOCK), "BIN").replace(str(peers.OURS), "BIN")
        )
        for pattern, instead in _CHANGING:
            text = pattern.sub(instead, text)
        return text

    @contextmanager
    def events(self) -> Iterator[list[str]]:
        """The events of tasks, as `ctr events` prints them; complete when the block is left."""
        seen: list[str] = []
        with self.beside("events") as process:
            self._synchronize(process, "begin")
            yield seen
            seen += self._synchronize(process, "end")

    def _synchronize(self, process: subprocess.Popen[str], word: str) -> list[str]:
        """The lines up to one that we cause ourselves, again and again until it is seen."""
        assert process.stdout is not None
        content = b""
        for number in range(COMMAND_S):
            self.ask("namespaces", "label", self.namespace, f"{word}={number}")
            while select.select([process.stdout], [], [], 0.2)[0]:
                part = os.read(process.stdout.fileno(), 65536)
                assert part, f"the events of {self.combination} ended"
                content += part
            lines = self._own(content.decode())
            if any(line.startswith("/namespaces/update") and f'"{word}":' in line for line in lines):
                return [line for line in lines if line.startswith("/tasks/")]
        raise AssertionError(f"{self.combination}: no event in {COMMAND_S} tries")

    def _own(self, content: str) -> list[str]:
        """The whole lines that are about our namespace, without their times."""
        fields = [line.split(maxsplit=6) for line in content.splitlines(keepends=True) if line.endswith("\n")]
        return [
            self.normal(f"{topic} {text}".strip())
            for *_, namespace, topic, text in fields
            if namespace == self.namespace
        ]


def _until_reading(pid: int, name: str) -> None:
    """Returns when a process has the fifo of that name open: what is printed at the end is lost if nobody has."""
    directory = Path(f"/proc/{pid}/fd")

    def reading() -> bool:
        with contextlib.suppress(FileNotFoundError):  # one of them was closed meanwhile
            return any(os.readlink(entry).endswith(name) for entry in directory.iterdir())
        return False

    until(reading, f"process {pid} has opened {name}")


def _read_all(terminal: int) -> str:
    content = b""
    with contextlib.suppress(OSError):  # nobody has the other end any more
        while part := os.read(terminal, 65536):
            content += part
    return content.decode(errors="replace")
