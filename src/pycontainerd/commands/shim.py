"""containerd-shim-runc-v2, the executable: what a foreign daemon runs to have our shim.

    containerd-shim-runc-v2 [flags] start      leaves a shim behind and prints where it serves
    containerd-shim-runc-v2 [flags] delete     clears away what a shim has left
    containerd-shim-runc-v2 -info              describes the runtime
    containerd-shim-runc-v2 -v
    containerd-shim-runc-v2 [flags]            serves on descriptor 3 or -socket

Flags are Go's: one or two dashes, before the action. Each action loads its own part only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

NAME: Final = "io.containerd.runc.v2"


_FLAGS: Final = {
    "address": "grpc address back to main containerd",
    "bundle": "path to the bundle if not workdir",
    "debug": "enable debug output in logs",
    "debug-socket": "debug socket path to serve",
    "id": "id of the task",
    "info": "get the option protobuf from stdin, print the shim info protobuf to stdout, and exit",
    "namespace": "namespace that owns the shim",
    "publish-binary": "path to publish binary (used for publishing events)",
    "socket": "socket path to serve",
    "v": "show the shim version and exit",
    "version": "show the shim version and exit",
}
_SWITCHES: Final = frozenset({"debug", "info", "v", "version"})
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class _Usage(Exception):
    """The command line can't be meant as it is."""


def main() -> int:
    """Runs the program: its exit code."""
    program = sys.argv[0]
    try:
        values, rest = parse_flags(sys.argv[1:])
    except _Usage as error:
        text = f"{error}\n" if str(error) else ""
        sys.stderr.write(f"{text}Usage of {program}:\n{_flag_list()}")
        return 2 if text else 0
    if "v" in values or "version" in values:
        return _version(program)
    try:
        return _run(program, values, rest)
    except Exception as error:  # noqa: BLE001 - the last frame of a command line: one line says what is wrong
        sys.stderr.write(f"{NAME}: {_text(error)}")
        return 1


def parse_flags(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The flags that were given, switches only if on, and what follows them. Raises _Usage."""
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        argument = rest.pop(0)
        if argument == "--":
            break
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            raise _Usage(f"bad flag syntax: {argument}")
        if name in ("h", "help"):
            raise _Usage
        if name not in _FLAGS:
            raise _Usage(f"flag provided but not defined: -{name}")
        if name in _SWITCHES:
            if _switch(name, value if equals else "true"):
                values[name] = "true"
        elif equals:
            values[name] = value
        elif rest:
            values[name] = rest.pop(0)
        else:
            raise _Usage(f"flag needs an argument: -{name}")
    return values, rest


def _switch(name: str, value: str) -> bool:
    if value not in _TRUE | _FALSE:
        raise _Usage(f'invalid boolean value "{value}" for -{name}: parse error')
    return value in _TRUE


def _flag_list() -> str:
    lines = []
    for name, text in _FLAGS.items():
        kind = "" if name in _SWITCHES else " string"
        lines.append(f"  -{name}{kind}\n    \t{text}\n")
    return "".join(lines)


def _version(program: str) -> int:
    from pycontainerd.shim.information import version

    python = sys.version.split()[0]
    sys.stdout.write(f"{program}:\n  Version:  {version()}\n  Revision: \n  Python version: {python}\n\n")
    return 0


def _run(program: str, values: dict[str, str], rest: list[str]) -> int:
    if "info" in values:
        return _info()
    if not values.get("namespace"):
        raise ValueError("shim namespace cannot be empty")
    match rest[0] if rest else "":
        case "start":
            return _start(program, values)
        case "delete":
            return _delete(values)
        case "":
            return _serve(program, values)
        case action:
            raise ValueError(f"unknown action {action}")


def _start(program: str, values: dict[str, str]) -> int:
    from pycontainerd.shim.bootstrap import INPUT_LIMIT, Flags, parse, start

    flags = Flags(
        namespace=values.get("namespace", ""),
        id=values.get("id", ""),
        address=values.get("address", ""),
        publish_binary=values.get("publish-binary", ""),
        debug="debug" in values,
    )
    wanted = parse(_stdin(INPUT_LIMIT), flags)
    _write(start(wanted, program))
    return 0


def _delete(values: dict[str, str]) -> int:
    from pycontainerd.shim import wire
    from pycontainerd.shim.cleanup import clean_up

    here = values.get("bundle") or os.getcwd()
    id_ = values.get("id", "")
    ended = clean_up(os.path.join(os.path.dirname(here), id_), values["namespace"], id_)
    for warning in ended.warnings:
        sys.stderr.write(f"{NAME}: {warning}\n")
    # containerd.task.v3.DeleteResponse: pid, exit_status, exited_at
    _write(wire.encode({1: ended.pid, 2: ended.status, 3: wire.timestamp(ended.at_ns)}))
    return 0


def _info() -> int:
    from pycontainerd.shim.bootstrap import INPUT_LIMIT
    from pycontainerd.shim.information import describe

    _write(describe(_stdin(INPUT_LIMIT)).SerializeToString())
    return 0


def _serve(program: str, values: dict[str, str]) -> NoReturn:
    from pycontainerd.shim.direct import serve_here

    serve_here(program, values)


def _stdin(limit: int) -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        return b""
    return sys.stdin.buffer.read(limit)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
