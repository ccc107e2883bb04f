"""From words to a command that runs, and from its error to one line and an exit code."""

from __future__ import annotations

import importlib
import sys

from pycontainerd.commands.ctr.flags import BOOL, DURATION, HELP, Flag, UsageError, Values
from pycontainerd.commands.ctr.table import ROOT, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from pycontainerd.commands.ctr.context import Context
    from pycontainerd.errors import Error

DEFAULT_ADDRESS = "/run/containerd/containerd.sock"
COMPLETION_FLAG = "--generate-bash-completion"
HELP_WORDS = ("help", "h")

EXIT_ERROR = 1
EXIT_UNKNOWN_COMMAND = 3

GLOBAL_FLAGS = (
    Flag("debug", BOOL, "Log more"),
    Flag("address,a", usage="Socket of the daemon", default=DEFAULT_ADDRESS, env="CONTAINERD_ADDRESS"),
    Flag("timeout", DURATION, "Time for the whole command; 0 for no limit"),
    Flag("connect-timeout", DURATION, "Time to connect; 0 for 10 seconds"),
    Flag("namespace,n", usage="Namespace of every request", default="default", env="CONTAINERD_NAMESPACE"),
)
VERSION_FLAG = Flag("version,v", BOOL, "Print the version")

PROGRAM = Entry("ctr", "A command line for containerd", children=ROOT, flags=GLOBAL_FLAGS)


class UnknownCommand(Exception):
    """No command has the name."""


def run(words: Sequence[str]) -> int:
    """Runs the command that *words* (without the program's name) ask for. Returns the exit code."""
    _write_utf8()
    if words and words[-1] == COMPLETION_FLAG and "--" not in words[:-1]:
        from pycontainerd.commands.ctr.completion import complete

        return complete(PROGRAM, words[:-1])
    try:
        return _dispatch(words)
    except UnknownCommand as error:
        sys.stdout.flush()
        sys.stderr.write(f"No help topic for '{error}'\n")
        return EXIT_UNKNOWN_COMMAND


def _write_utf8() -> None:
    # Names are UTF-8 on the wire whatever the locale says; and `c ls | head` may stop reading.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and stream.encoding.lower() != "utf-8":
            reconfigure(encoding="utf-8", errors="surrogateescape")


def flags_of(entry: Entry, module: ModuleType | None = None) -> tuple[Flag, ...]:
    """The flags of *entry*, those that every command has included."""
    own = entry.flags if module is None else module.FLAGS
    return (*own, HELP, VERSION_FLAG) if entry is PROGRAM else (*own, HELP)


def load(entry: Entry) -> ModuleType | None:
    """The module of a command; a group has none."""
    return importlib.import_module(f"{__package__}.{entry.module}") if entry.module else None


def _dispatch(words: Sequence[str]) -> int:
    entry, path, levels = PROGRAM, ["ctr"], list[Values]()
    rest = list(words)
    while True:
        module = load(entry)
        values = Values(flags_of(entry, module))
        levels.append(values)
        try:
            values.take_environment()
            rest = values.parse(rest)
        except UsageError as error:
            return _usage_error(entry, path, module, error)
        if values["help"] or (module is not None and rest[:1] and rest[0] in HELP_WORDS):
            return _help(entry, path, module)
        if entry is PROGRAM and values["version"]:
            from pycontainerd.commands.ctr.version import program_version

            sys.stdout.write(f"ctr pycontainerd {program_version()}\n")
            return 0
        if module is not None and not (rest and entry.child(rest[0])):
            return _run(entry, path, module, levels, rest)
        if not rest:
            return _help(entry, path, module)
        if rest[0] in HELP_WORDS:
            return _help_command(entry, path, rest[1:])
        child = entry.child(rest[0])
        if child is None:
            raise UnknownCommand(rest[0])
        entry, path, rest = child, [*path, child.name], rest[1:]


def _help(entry: Entry, path: list[str], module: ModuleType | None, *, misused: bool = False) -> int:
    from pycontainerd.commands.ctr.helping import help_text

    sys.stdout.write(help_text(entry, path, module, misused=misused))
    return 0


def _help_command(entry: Entry, path: list[str], words: list[str]) -> int:
    """`ctr tasks help kill`."""
    if not words:
        return _help(entry, path, None)
    child = entry.child(words[0])
    if child is None:
        raise UnknownCommand(words[0])
    return _help(child, [*path, child.name], load(child))


def _usage_error(entry: Entry, path: list[str], module: ModuleType | None, error: UsageError) -> int:
    sys.stdout.write(f"Incorrect Usage: {error}\n\n")
    _help(entry, path, module, misused=True)
    return _failed(str(error))


def _failed(message: str, hint: str = "") -> int:
    """The one line of the original; for a person at a terminal, what to do below it."""
    sys.stdout.flush()
    sys.stderr.write(f"ctr: {message}\n")
    if hint and sys.stderr.isatty():
        sys.stderr.write(f"     {hint}\n")
    return EXIT_ERROR


def _run(entry: Entry, path: list[str], module: ModuleType, levels: list[Values], rest: list[str]) -> int:
    missing = levels[-1].missing()
    if missing:
        if not rest:
            _help(entry, path, module)
        what = f'Required flag "{missing[0]}"' if len(missing) == 1 else f'Required flags "{", ".join(missing)}"'
        return _failed(f"{what} not set")

    from pycontainerd.commands.ctr.context import Context, ShowHelp
    from pycontainerd.errors import Error

    with Context(levels, rest) as ctx:
        try:
            return _guarded(module, ctx)
        except ShowHelp:
            return _help(entry, path, module)
        except Error as error:
            return _failed(_described(error, raw=getattr(module, "RAW_ERRORS", False)), error.hint)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            return _failed(_system_error(error))


def _guarded(module: ModuleType, ctx: Context) -> int:
    code = ctx.driver.run(module.run(ctx))
    return code or 0


def _described(error: Error, *, raw: bool) -> str:
    """*error* in the words of the original, which with some commands are those of its gRPC library."""
    if not raw:
        return str(error)
    from pycontainerd.client.connection import NoSocket
    from pycontainerd.commands.ctr.context import Refused
    from pycontainerd.rpc.status import described

    return str(error) if isinstance(error, (NoSocket, Refused)) else described(error)


def _system_error(error: OSError) -> str:
    """As the original words it: `open /nope: no such file or directory`."""
    reason = (error.strerror or str(error)).lower()
    return f"open {error.filename}: {reason}" if error.filename is not None else reason
