"""The command line of `containerd`, read as the original reads it.

One dash or two, `--flag value` or `--flag=value`; flags end at the first word that is none, or at `--`. A flag of the
root stands before the command. No library: the daemon's start is measured from its exec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

Command = tuple[str, ...]

HELP_WORDS: Final = ("help", "h")
_HELP: Final = {"help": "help", "h": "help"}
_ROOT: Final = {
    "config": "config",
    "c": "config",
    "log-level": "log-level",
    "l": "log-level",
    "address": "address",
    "a": "address",
    "root": "root",
    "state": "state",
    "version": "version",
    "v": "version",
    **_HELP,
}
FLAGS: Final[dict[Command, dict[str, str]]] = {
    (): _ROOT,
    ("config",): _HELP,
    ("config", "default"): _HELP,
    ("config", "dump"): _HELP,
    ("config", "migrate"): _HELP,
    ("check",): {"repair": "repair", **_HELP},
    ("publish",): {"namespace": "namespace", "topic": "topic", **_HELP},
    ("oci-hook",): _HELP,
}
"""Every command, and the flags that it reads, by all their names."""

_BOOLEANS: Final = frozenset({"help", "version", "repair"})
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
DEFAULT_CONFIG: Final = "/etc/containerd/config.toml"


class Misused(Exception):
    """The flags of *command* can't be read; its text says why."""

    def __init__(self, message: str, command: Command) -> None:
        super().__init__(message)
        self.command = command


class NoTopic(Exception):
    """A word that is no command."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line that can be run."""

    command: Command = ()
    values: dict[str, str] = field(default_factory=dict)
    rest: tuple[str, ...] = ()
    help: bool = False
    version: bool = False

    def text(self, flag: str) -> str:
        """The value of *flag*, or nothing."""
        return self.values.get(flag, "")

    def flag(self, flag: str) -> bool:
        """Whether *flag*, one without a value, is set."""
        return self.values.get(flag) in _TRUE

    @property
    def config(self) -> str:
        return self.values.get("config", DEFAULT_CONFIG)


def parse(argv: Sequence[str]) -> Arguments:
    """Reads *argv*, the words after the program's name. Raises Misused or NoTopic."""
    command: Command = ()
    values: dict[str, str] = {}
    words = list(argv)
    while True:
        own = _take_flags(words, command)
        values |= own
        if own.get("help") in _TRUE:
            return Arguments(command, values, help=True)
        if not command and own.get("version") in _TRUE:
            return Arguments(command, values, version=True)
        if words and words[0] in HELP_WORDS:
            return Arguments(_topic(command, words[1:]), values, help=True)
        below = [name for name in FLAGS if name[:-1] == command and name]
        if not below:
            return Arguments(command, values, tuple(words))
        if not words:
            return Arguments(command, values, help=command != ())
        if (*command, words[0]) not in below:
            raise NoTopic(words[0])
        command = (*command, words.pop(0))


def _topic(command: Command, words: Sequence[str]) -> Command:
    """What `help word` shows; a command without commands of its own shows itself."""
    names = [word for word in words if not word.startswith("-")]
    if not names or not any(name[:-1] == command and name for name in FLAGS):
        return command
    if names[0] in HELP_WORDS:
        return command
    if (*command, names[0]) not in FLAGS:
        raise NoTopic(names[0])
    return (*command, names[0])


def _take_flags(words: list[str], command: Command) -> dict[str, str]:
    """Takes the flags off the front of *words*."""
    values: dict[str, str] = {}
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        written, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not written or written.startswith(("-", "=")):
            raise Misused(f"bad flag syntax: {word}", command)
        name = FLAGS[command].get(written)
        if name is None:
            raise Misused(f"flag provided but not defined: -{written}", command)
        if name in _BOOLEANS:
            value = value if equals else "true"
            if value not in _TRUE | _FALSE:
                raise Misused(f'invalid boolean value "{value}" for -{written}: parse error', command)
        elif not equals:
            if not words:
                raise Misused(f"flag needs an argument: -{written}", command)
            value = words.pop(0)
        values[name] = value
    return values
