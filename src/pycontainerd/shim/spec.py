"""What the shim reads of a container's spec: the file `config.json` of its bundle."""

from __future__ import annotations

import os
from typing import Any

import msgspec


class Namespace(msgspec.Struct):
    type: str = ""
    path: str = ""


class Linux(msgspec.Struct):
    namespaces: list[Namespace] | None = None


class Spec(msgspec.Struct):
    """The parts that matter here; everything else is runc's."""

    linux: Linux | None = None
    hooks: dict[str, Any] | None = None

    @property
    def has_own_pids(self) -> bool:
        """Whether the end of init is the end of all: a pid namespace of its own, not one it has joined."""
        namespaces = (self.linux.namespaces if self.linux else None) or []
        return any(each.type == "pid" and not each.path for each in namespaces)

    def hook_paths(self) -> list[str]:
        """The programs that runc runs on the way, each with the point at which it does."""
        kinds = [(kind, hooks) for kind, hooks in (self.hooks or {}).items() if isinstance(hooks, list)]
        return [f"{kind} {hook.get('path')}" for kind, hooks in kinds for hook in hooks if isinstance(hook, dict)]


def read(bundle: str) -> Spec:
    """The spec of a bundle. Raises OSError, msgspec.DecodeError."""
    with open(os.path.join(bundle, "config.json"), "rb") as file:
        return msgspec.json.decode(file.read(), type=Spec)
