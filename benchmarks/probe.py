"""Our daemon with a clock in its loop: how late a timer of 5 ms is, measured inside the process itself.

`Probed` is the daemon's kind for `Daemon.start`; `Delays.taken` tells what was measured since it was asked last. An
`Idle` process has the same clock in the same kind of loop and does nothing else: so late the machine itself is.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.measures import MILLI, percentile
from pycontainerd.commands.containerd import main as containerd
from pycontainerd.daemon import watchdog
from tests.harness import peers
from tests.harness.daemon import Kind

INTERVAL_S: Final = 0.005
_ROOT: Final = Path(__file__).parent.parent
_SCRIPT: Final = """#!{python}
import sys
sys.path.insert(0, {root!r})
sys.argv[0] = {program!r}
from benchmarks.probe import main
sys.exit(main({file!r}))
"""


@dataclass(frozen=True, slots=True)
class Probed(Kind):
    """Ours, started by a script in *directory*."""

    directory: Path = Path()

    @classmethod
    def at(cls, directory: Path) -> Probed:
        script = directory / "containerd"
        program = str(peers.ours("containerd"))
        text = _SCRIPT.format(python=sys.executable, root=str(_ROOT), program=program, file=str(directory / "delays"))
        script.write_text(text)
        script.chmod(0o755)
        return cls("ours", directory)

    def program(self, program: str) -> Path:
        return self.directory / program if program == "containerd" else peers.ours(program)


@dataclass(frozen=True, slots=True)
class Delays:
    """How late the loop was, in ms."""

    p99: float
    longest: float
    samples: int

    @classmethod
    def taken(cls, pid: int, directory: Path) -> Delays:
        """What the process *pid*, whose file is in *directory*, has measured since the last time."""
        file = directory / "delays"
        file.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR2)
        while not file.exists():
            time.sleep(0.005)
        samples = json.loads(file.read_text())
        return cls(MILLI * percentile(samples, 0.99), MILLI * max(samples), len(samples))


class _Clock(watchdog.LoopWatchdog):
    """Samples more often than the daemon does, and keeps every delay."""

    def __init__(self, loop: asyncio.AbstractEventLoop, file: Path) -> None:
        super().__init__(loop)
        self._file = file
        self._delays = array.array("d", [0.0])

    def begin(self) -> None:
        self._loop.add_signal_handler(signal.SIGUSR2, self._write)
        self.start()

    def start(self) -> None:
        self._timer = self._loop.call_later(INTERVAL_S, self._sample, time.monotonic() + INTERVAL_S)

    def _sample(self, due: float) -> None:
        # By the clock: what the loop calls its time stands still while it works.
        self._delays.append(max(0.0, time.monotonic() - due))
        self.start()

    def _write(self) -> None:
        partial = self._file.with_suffix(".new")
        partial.write_text(json.dumps(self._delays.tolist()))
        partial.rename(self._file)
        self._delays = array.array("d", [0.0])


@contextmanager
def idle(directory: Path) -> Iterator[int]:
    """The process id of an idle process whose file is in *directory*."""
    directory.mkdir()
    command = [sys.executable, "-m", "benchmarks.probe", str(directory / "delays")]
    with subprocess.Popen(command, cwd=_ROOT) as process:
        while not (directory / "ready").exists():
            time.sleep(0.005)
        yield process.pid
        process.terminate()


async def _idle(file: Path) -> None:
    _Clock(asyncio.get_running_loop(), file).begin()
    file.with_name("ready").touch()
    await asyncio.Event().wait()


def main(file: str) -> int:
    """Runs the daemon with the clock."""
    original = watchdog.LoopWatchdog.start
    clocks: list[_Clock] = []

    def start(self: watchdog.LoopWatchdog) -> None:
        if not clocks:
            clocks.append(_Clock(asyncio.get_running_loop(), Path(file)))
            clocks[0].begin()
        original(self)

    watchdog.LoopWatchdog.start = start  # type: ignore[method-assign]  # a probe of the benchmark alone
    return containerd()


if __name__ == "__main__":
    uvloop.run(_idle(Path(sys.argv[1])))
