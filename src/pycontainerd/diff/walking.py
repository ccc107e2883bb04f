"""The built-in differ: applies layers and makes them, by walking trees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from pycontainerd.diff.comparing import Comparer
from pycontainerd.diff.differ import Differ
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor


class Activations(Protocol):
    """Who mounts what workers can't."""

    def plain(self, namespace: str, mounts: Sequence[Mount], /) -> AbstractAsyncContextManager[Sequence[Mount]]:
        """The block gets *mounts* as anybody can mount them."""


class Walking:
    """Both halves of the differ `walking`; their methods are its own, on mounts of any type."""

    def __init__(self, differ: Differ, comparer: Comparer, activations: Activations) -> None:
        self.apply = differ.apply
        self._differ = differ
        self._comparer = comparer
        self._activations = activations

    async def apply_content(
        self, namespace: str, descriptor: Descriptor, mounts: Sequence[Mount], **how: Any
    ) -> Descriptor:
        """See `Differ.apply_content`; raises also what the activation of *mounts* does."""
        async with self._activations.plain(namespace, mounts) as plain:
            return await self._differ.apply_content(namespace, descriptor, plain, **how)

    async def compare(self, namespace: str, older: Sequence[Mount], newer: Sequence[Mount], **how: Any) -> Descriptor:
        """See `Comparer.compare`; raises also what the activation of the mounts does."""
        activated = self._activations.plain
        async with activated(namespace, older) as left, activated(namespace, newer) as right:
            return await self._comparer.compare(namespace, left, right, **how)
