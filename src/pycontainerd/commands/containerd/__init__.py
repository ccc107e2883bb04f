"""`containerd`: the daemon, and the small commands that share its executable.

Everything that a command needs is imported when it runs: `containerd --version` and `publish` load no daemon.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pycontainerd.commands.containerd.arguments import Arguments, Misused, NoTopic, parse
from pycontainerd.errors import Error

MISUSED = 1
NO_TOPIC = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `containerd` with *argv* (those of the process) and returns its exit code."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
    except NoTopic as error:
        print(f"No help topic for '{error}'", file=sys.stderr)
        return NO_TOPIC
    except Misused as error:
        from pycontainerd.commands.containerd.usage import usage

        print(f"Incorrect Usage: {error}\n\n{usage(error.command)}")
        print(f"containerd: {error}", file=sys.stderr)
        return MISUSED
    try:
        return _run(arguments)
    except (Error, OSError) as error:
        print(f"containerd: {_text(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: Arguments) -> int:
    if arguments.help:
        from pycontainerd.commands.containerd.usage import usage

        print(usage(arguments.command))
        return 0
    if arguments.version:
        from pycontainerd.version import revision, version

        print(f"containerd pycontainerd {version()} {revision()}")
        return 0
    match arguments.command:
        case ("config", action):
            from pycontainerd.commands.containerd.configure import configure

            return configure(action, arguments)
        case ("publish",):
            from pycontainerd.commands.containerd.publish import publish

            return publish(arguments)
        case ("check",):
            from pycontainerd.commands.containerd.check import run_check

            return run_check(arguments)
        case ("oci-hook",):
            from pycontainerd.commands.containerd.oci_hook import run_hook

            return run_hook(arguments.rest)
        case _:
            from pycontainerd.commands.containerd.daemon import run

            return run(arguments)


def _text(error: Error | OSError) -> str:
    """The one line that people see."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"
    return str(error)
