"""Root file systems whose mounts only the mount manager can make: activated for a task, under its container's id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from pycontainerd.errors import AlreadyExists, NotFound, Unimplemented
from pycontainerd.mounts.model import Mount
from pycontainerd.runtime.model import RootfsMount

KEPT_BY: Final = "containerd.io/gc.bref.container"


class Activations(Protocol):
    """What a task needs of the mount manager."""

    def is_needed(self, mounts: Sequence[Mount], /) -> bool: ...

    async def activate(
        self,
        namespace: str,
        name: str,
        mounts: Sequence[Mount],
        /,
        *,
        said: Mapping[str, str],
        allowed: Sequence[str],
    ) -> Any: ...

    async def deactivate(self, namespace: str, name: str, /) -> None: ...

    def info(self, namespace: str, name: str, /) -> Any: ...


class ActivatedRootfs:
    """See `tasks.model.Rootfs`. What plain mounts can do, which is nearly always, is left as it is."""

    def __init__(self, activations: Activations) -> None:
        self._activations = activations

    async def activate(
        self, namespace: str, id_: str, mounts: Sequence[RootfsMount], allowed: Callable[[], Awaitable[Sequence[str]]]
    ) -> Sequence[RootfsMount]:
        asked = [Mount(mount.type, mount.source, mount.target, mount.options) for mount in mounts]
        if not self._activations.is_needed(asked):
            return mounts
        try:
            made = await self._activations.activate(namespace, id_, asked, said={KEPT_BY: id_}, allowed=await allowed())
        except Unimplemented as error:
            if error.message:
                raise
            return mounts  # the shim mounts all of it
        except AlreadyExists:
            made = self._activations.info(namespace, id_)
        return [RootfsMount(mount.type, mount.source, mount.target, mount.options) for mount in made.system]

    async def deactivate(self, namespace: str, id_: str) -> None:
        try:
            self._activations.info(namespace, id_)
            await self._activations.deactivate(namespace, id_)
        except NotFound:
            return
