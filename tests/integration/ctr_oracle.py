"""Two command lines, the original and ours, asked the same on the same daemon."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.harness.daemon import OURS, STOCK, Daemon, Kind, Result

_CHANGING = (
    (re.compile(r'time="[^"]*"'), "time=T"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "STAMP"),
    (re.compile(r"(Less than a second|\d+ seconds?|About a minute|\d+ minutes)"), "AGE"),
    (re.compile(r"/snapshots/\d+/"), "/snapshots/N/"),
    (re.compile(r"/proc/\d+/fd"), "/proc/N/fd"),
)


@dataclass(frozen=True, slots=True)
class Both:
    """A daemon, and both programs.

    In arguments `{id}` stands for a name that each program has for itself, `{image}` for an image that is
    there.
    """

    daemon: Daemon
    image: str

    def ask(self, program: Kind, arguments: tuple[str, ...], stdin: bytes = b"") -> Result:
        own = "name-s" if program is STOCK else "name-o"
        words = [word.replace("{id}", own).replace("{image}", self.image) for word in arguments]
        fifos = ["--fifo-dir", str(self.daemon.base / "fifo")]
        if words[0] == "run":
            words[1:1] = [*fifos, "--runc-root", str(self.daemon.base / "runc")]
        elif words[:2] == ["tasks", "exec"] and "--log-uri" not in words:
            words[2:2] = fifos
        result = self.daemon.ctr(*words, by=program, check=False, stdin=stdin)
        return Result(result.code, normal(result.out, own), normal(result.err, own))

    def same(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Asserts that both answer alike, and returns the answer."""
        theirs = self.ask(STOCK, arguments, stdin)
        ours = self.ask(OURS, arguments, stdin)
        assert ours == theirs, f"\nours:  {ours}\nstock: {theirs}"
        return ours


def normal(text: str, own: str) -> str:
    """*text* without what differs from one run to the next."""
    text = text.replace(own, "name-x")
    for pattern, instead in _CHANGING:
        text = pattern.sub(instead, text)
    return text


def record(daemon: Daemon, name: str) -> Any:
    """The record of a container, which is removed."""
    text = normal(daemon.ctr("containers", "info", name).out, name)
    daemon.ctr("containers", "rm", name)
    return json.loads(text)
