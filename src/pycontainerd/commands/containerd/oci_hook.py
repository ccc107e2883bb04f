"""`containerd oci-hook -- program argument…`: an OCI hook whose arguments and environment name the container.

The state of the container comes on standard input. In every argument and every value of the environment
`{{id}}`, `{{bundle}}`, `{{rootfs}}`, `{{pid}}`, `{{status}}` and `{{annotation "key"}}` stand for what it says; then
the program, named by its path, takes this process over.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pycontainerd.errors import InvalidArgument

_ACTION: Final = re.compile(r"(\s*)\{\{(- )?(.*?)( -)?\}\}(\s*)", re.DOTALL)
_WORD: Final = re.compile(r'\s*(?:([A-Za-z_]\w*)|("(?:[^"\\\n]|\\.)*")|(`[^`]*`)|(\S+))')
_STATE_LIMIT: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class State:
    """What the runtime tells a hook; see config.md of the runtime specification."""

    id: str
    pid: int
    status: str
    bundle: str
    annotations: dict[str, str]
    rootfs: str

    @classmethod
    def read(cls, data: bytes) -> State:
        """The state that *data* holds, with the root that the bundle's `config.json` names.

        Raises InvalidArgument for what is no state, OSError if the bundle has no config.json.
        """
        state = _document(data, "the state on standard input")
        bundle = _text(state, "bundle")
        with open(os.path.join(bundle, "config.json"), "rb") as file:
            config = _document(file.read(_STATE_LIMIT), file.name)
        root = config.get("root")
        path = _text(root, "path") if isinstance(root, dict) else ""
        annotations = state.get("annotations")
        pid = state.get("pid", 0)
        return cls(
            id=_text(state, "id"),
            pid=pid if isinstance(pid, int) else 0,
            status=_text(state, "status"),
            bundle=bundle,
            annotations={str(key): str(it) for key, it in annotations.items()} if isinstance(annotations, dict) else {},
            rootfs=os.path.join(bundle, path) if path else "",
        )

    def functions(self) -> dict[str, Callable[..., str]]:
        """What templates may call."""
        return {
            "id": lambda: self.id,
            "bundle": lambda: self.bundle,
            "rootfs": lambda: self.rootfs,
            "pid": lambda: str(self.pid),
            "status": lambda: self.status,
            "annotation": lambda key: self.annotations.get(key, ""),
        }


def run_hook(command: Sequence[str]) -> int:
    """Renders *command* and the environment and executes it; returns only by an error.

    Raises InvalidArgument for a template that can't be read, OSError if the program can't be executed.
    """
    state = State.read(sys.stdin.buffer.read(_STATE_LIMIT))
    if not command:
        raise InvalidArgument("oci-hook: a command to execute is required", bare=True)
    functions = state.functions()
    arguments = [render(argument, functions) for argument in command]
    environment = {name: render(value, functions) for name, value in os.environ.items()}
    os.execve(arguments[0], arguments, environment)  # noqa: S606 - this is what a hook is for


def render(template: str, functions: dict[str, Callable[..., str]]) -> str:
    """*template* with its actions replaced. Raises InvalidArgument with the words of Go's templates."""
    out, position = [], 0
    for match in _ACTION.finditer(template):
        before, trim_left, action, trim_right, after = match.groups(default="")
        out.append(template[position : match.start()])
        out.append("" if trim_left else before)
        out.append(_act(action, functions))
        out.append("" if trim_right else after)
        position = match.end()
    rest = template[position:]
    if "{{" in rest:
        raise _bad("unclosed action")
    return "".join((*out, rest))


def _act(action: str, functions: dict[str, Callable[..., str]]) -> str:
    if action.startswith("/*") and action.endswith("*/"):
        return ""
    words = list(_WORD.finditer(action.strip()))
    if not words:
        raise _bad("missing value for command")
    name, *arguments = words
    if not name[1]:
        if arguments:
            raise _bad(f"can't give argument to non-function {name[0].strip()}")
        return _literal(name)
    function = functions.get(name[1])
    if function is None:
        raise _bad(f'function "{name[1]}" not defined')
    wanted = 1 if name[1] == "annotation" else 0
    if len(arguments) != wanted:
        raise _bad(f"wrong number of args for {name[1]}: want {wanted} got {len(arguments)}")
    return function(*map(_literal, arguments))


def _literal(match: re.Match[str]) -> str:
    if match[2]:
        try:
            return str(json.loads(match[2]))
        except ValueError:
            raise _bad(f"unquotable string {match[2]}") from None
    if match[3]:
        return match[3][1:-1]
    raise _bad(f"unexpected {match[0].strip()} in command")


def _bad(reason: str) -> InvalidArgument:
    return InvalidArgument(f"template: oci-hook:1: {reason}", bare=True)


def _document(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidArgument(f"{what}: {error}", bare=True) from None
    if not isinstance(document, dict):
        raise InvalidArgument(f"{what}: expected an object", bare=True)
    return document


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    return value if isinstance(value, str) else ""
