"""Driving runc, or what stands in for it: command lines, what it says when it fails, what it prints.

runc's own stdin, stdout and stderr are never a pipe of ours that someone has to empty: `runc create` hands its stderr
on to the container, and whoever waits for the end of that pipe waits for the container. What it prints goes to a file
in memory; why it failed stands in `log.json` of the bundle. It dies with the shim.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pycontainerd.errors import Unknown
from pycontainerd.shim import spawn, steps
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.reaper import Ended, Reaper
from pycontainerd.shim.spawn import Tie

NULL: Final = -1
"""For a descriptor: /dev/null."""

OUTPUT_LIMIT: Final = 16 << 20


class RuncFailed(Unknown):
    """runc could not be run, or ended with another status than 0.

    *said* is the last error of its log, if there is one; *silent* is the path of the log if it has not even made that.
    """

    def __init__(self, message: str, said: str = "", output: str = "", silent: str = "") -> None:
        super().__init__(message)
        self.said = said
        self.output = output
        self.silent = silent

    def because(self, what: str) -> Unknown:
        """The error for clients: *what* failed, and why in runc's words."""
        if self.silent:
            missing = f"open {self.silent}: no such file or directory"
            return Unknown(f"{what}: unable to retrieve OCI runtime error ({missing}): {self.message}")
        return Unknown(f"{what}: {self.said or self.message}")


class _LogLine(msgspec.Struct):
    level: str = ""
    msg: str = ""


_log_line: Final = msgspec.json.Decoder(_LogLine)


@dataclass(frozen=True, slots=True)
class Stdio:
    """Descriptors that a process of a container gets."""

    stdin: int = NULL
    stdout: int = NULL
    stderr: int = NULL


@dataclass(frozen=True, slots=True)
class Runc:
    """One runtime, for the containers of one namespace whose bundle is *bundle*."""

    loop: Loop
    reaper: Reaper
    program: str
    root: str
    bundle: str
    systemd_cgroup: bool
    environment: Mapping[str, str]
    tie: Tie = ()

    @property
    def log(self) -> str:
        return os.path.join(self.bundle, "log.json")

    async def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Runs a command to its end; what it printed, both streams. Raises RuncFailed."""
        with _memory("output", b"") as output, _memory("input", stdin) as given:
            ended, said = await self._noted(arguments, Stdio(given if stdin else NULL, output, output))
            text = os.pread(output, OUTPUT_LIMIT, 0)
        if ended.status:
            raise self._ended(ended, said, text.decode(errors="replace"))
        return text

    async def run_with(self, stdio: Stdio, *arguments: str) -> None:
        """Runs a command that hands *stdio* to a process of the container. Raises RuncFailed."""
        ended, said = await self._noted(arguments, stdio)
        if ended.status:
            raise self._ended(ended, said, "")

    async def _noted(self, arguments: Sequence[str], stdio: Stdio) -> tuple[Ended, str]:
        """As `execute`, and noted in the bundle, unless it is a look that changes nothing."""
        if arguments[0] == "ps":
            return await self.execute(arguments, stdio)
        with steps.step(self.bundle, f"{os.path.basename(self.program)} {_title(arguments)}") as step:
            ended, said = await self.execute(arguments, stdio)
            if ended.status:
                step.error = (said or _ending(ended.status))[: steps.TEXT_LIMIT]
        return ended, said

    async def execute(self, arguments: Sequence[str], stdio: Stdio) -> tuple[Ended, str]:
        """Runs a command: how it ended, and the last error that it has logged if it failed."""
        start = self._log_size()
        program = self.find()
        command = [self.program, "--root", self.root, "--log", self.log, "--log-format", "json"]
        if self.systemd_cgroup:
            command.append("--systemd-cgroup")
        pid = self._start(program, [*command, *arguments], stdio)
        ended: Ended = await self.reaper.exit_of(pid)
        return ended, self._last_error(start) if ended.status else ""

    def find(self) -> str:
        """The path of the program. Raises RuncFailed."""
        found = shutil.which(self.program, path=self.environment.get("PATH", os.defpath))
        if found is None:
            if "/" in self.program:
                raise self._failure(f"fork/exec {self.program}: no such file or directory")
            raise self._failure(f'exec: "{self.program}": executable file not found in $PATH')
        return found

    def _start(self, program: str, arguments: list[str], stdio: Stdio) -> int:
        arguments[0] = program
        try:
            with opened_null() as null:
                given = (stdio.stdin, stdio.stdout, stdio.stderr)
                placed = {number: null if fd == NULL else fd for number, fd in enumerate(given)}
                return spawn.start(arguments, placed, self.environment, self.tie)
        except OSError as error:
            raise self._failure(f"fork/exec {program}: {spawn.why(error)}") from error

    def _log_size(self) -> int:
        try:
            return os.stat(self.log).st_size
        except FileNotFoundError:
            return 0

    def _last_error(self, start: int) -> str:
        """The last error that runc has logged from offset *start* on, nothing if there is none."""
        try:
            with open(self.log, "rb", buffering=0) as file:
                file.seek(start)
                lines = file.read(OUTPUT_LIMIT).splitlines()
        except OSError:
            return ""
        for raw in reversed(lines):
            try:
                line = _log_line.decode(raw)
            except msgspec.DecodeError:
                continue
            if line.level == "error":
                return line.msg.strip()
        return ""

    def _ended(self, ended: Ended, said: str, output: str) -> RuncFailed:
        text = f"{self.program} did not terminate successfully: {_ending(ended.status)}"
        return self._failure(f"{text}: {output}" if output else text, said, output)

    def _failure(self, text: str, said: str = "", output: str = "") -> RuncFailed:
        return RuncFailed(text, said, output, "" if os.path.exists(self.log) else self.log)


def _title(arguments: Sequence[str]) -> str:
    """The command, and which of several like it."""
    match arguments:
        case ["exec", *flags]:
            pid_file = flags[flags.index("--pid-file") + 1]
            return f"exec {os.path.basename(pid_file).removesuffix('.pid')}"
        case ["kill", *_, signal]:
            return f"kill {signal}"
        case [command, *_]:
            return command
        case _:
            return ""


def _ending(status: int) -> str:
    return f"exit status {status}"


@contextlib.contextmanager
def opened_null() -> Iterator[int]:
    """/dev/null, open both ways for the block."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield null
    finally:
        os.close(null)


@contextlib.contextmanager
def _memory(name: str, content: bytes) -> Iterator[int]:
    """A file in memory with *content*, for the block."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        if content:
            os.write(fd, content)
            os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
