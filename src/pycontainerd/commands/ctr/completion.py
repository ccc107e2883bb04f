"""What `--generate-bash-completion` prints: the words that may come next, for the scripts of the shells."""

from __future__ import annotations

import os
import sys

from pycontainerd.commands.ctr import app

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.commands.ctr.flags import Flag
    from pycontainerd.commands.ctr.table import Entry

HELP_SUMMARY = "Shows a list of commands or help for one command"


def complete(program: Entry, words: Sequence[str]) -> int:
    """Prints the flags or commands that may follow *words*. Never talks to the daemon. Returns 0."""
    entry = _deepest(program, words)
    last = words[-1] if words else ""
    lines = _flags(entry, words) if last.startswith("-") else _commands(entry)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _deepest(entry: Entry, words: Sequence[str]) -> Entry:
    """The command that *words* lead to; flags on the way may be incomplete."""
    for word in words:
        child = entry.child(word)
        if child is not None:
            entry = child
    return entry


def _commands(entry: Entry) -> list[str]:
    described = os.environ.get("0", "").endswith("zsh")
    lines = []
    for names, summary in [*((child.names, child.summary) for child in entry.children), (("help", "h"), HELP_SUMMARY)]:
        lines += [f"{name}:{summary}" if described else name for name in names]
    return lines


def _flags(entry: Entry, words: Sequence[str]) -> list[str]:
    typed = words[-1]
    given = {word.lstrip("-") for word in words if word.startswith("-")}
    lines = []
    for flag in app.flags_of(entry, app.load(entry)):
        if not (flag.hidden and not flag.takes_value):
            lines += _names(flag, typed, given)
    return lines


def _names(flag: Flag, typed: str, given: set[str]) -> list[str]:
    prefix = typed.lstrip("-")
    if given & set(flag.names) - {prefix}:
        return []
    return [
        f"{'-' if len(name) == 1 else '--'}{name}"
        for name in flag.names
        if name.startswith(prefix) and name != prefix and not (len(name) == 1 and typed.startswith("--"))
    ]
