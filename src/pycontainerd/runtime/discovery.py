"""From the name of a runtime to the executable of its shim (runtime-shim.md §1)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from pycontainerd.errors import Unknown

PREFIX: Final = "containerd-shim"
OUR_BINARY: Final = "containerd-shim-runc-v2"


class ShimBinary(Struct, frozen=True):
    """An executable of a shim. *ours* says that the spawner can fork what it would start."""

    path: str
    ours: bool


def binary_name(runtime: str) -> str:
    """The file name of the shim of *runtime*: `io.containerd.runc.v2` → `containerd-shim-runc-v2`.

    Raises Unknown if it is no name of a runtime.
    """
    parts = runtime.split(".")
    if "/" in runtime or len(parts) < 2 or not parts[0]:
        raise Unknown(
            f"invalid runtime name {runtime}, correct runtime name should be either format like "
            "`io.containerd.runc.v2` or a full path to the binary"
        )
    return f"{PREFIX}-{parts[-2]}-{parts[-1]}"


class Discovery:
    """Finds executables of shims, and remembers those that it found.

    *own* are the directories of the daemon's own programs, the first of them in which our shim is wins over PATH.
    """

    def __init__(self, own: Sequence[str], search_path: str) -> None:
        self._own = tuple(own)
        self._search_path = search_path
        self._found: dict[str, ShimBinary] = {}
        self._ours = next(filter(_is_executable, (os.path.join(d, OUR_BINARY) for d in own)), None)

    def resolve(self, runtime: str) -> ShimBinary:
        """The executable for *runtime*, a name or an absolute path. Raises Unknown, in the words of the original."""
        if not runtime:
            raise Unknown("no runtime name")
        if os.path.isabs(runtime):
            return self.at(runtime)
        binary = binary_name(runtime)
        found = self._found.get(binary)
        if found is None or not os.path.exists(found.path):
            found = self._found[binary] = self._look_up(runtime, binary)
        return found

    def at(self, path: str) -> ShimBinary:
        """The executable at the absolute *path*. Raises Unknown if nothing is there."""
        try:
            os.stat(path)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise Unknown(f"invalid custom binary path: stat {path}: {reason}") from None
        return ShimBinary(path, ours=self._is_ours(path))

    def _look_up(self, runtime: str, binary: str) -> ShimBinary:
        if binary == OUR_BINARY and self._ours is not None:
            return ShimBinary(self._ours, ours=True)
        # The original looks first in its working directory, then in PATH, then beside itself.
        for directory in ("", *filter(None, self._search_path.split(os.pathsep)), *self._own):
            path = os.path.abspath(os.path.join(directory, binary))
            if _is_executable(path):
                return ShimBinary(path, ours=self._is_ours(path))
        raise Unknown(f'runtime "{runtime}" binary not installed "{binary}": file does not exist')

    def _is_ours(self, path: str) -> bool:
        if self._ours is None:
            return False
        try:
            return os.path.samefile(path, self._ours)
        except OSError:
            return False


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
