"""The differs in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pycontainerd.errors import Unimplemented
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor


class Applier(Protocol):
    """What a plugin of the type differ is: ours, or one behind a socket."""

    async def apply_content(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        sync_fs: bool = False,
        payloads: Mapping[str, bytes] = ...,
    ) -> Descriptor:
        """Applies a blob of *namespace* to *mounts*. Raises Unimplemented if that is none of its business."""


class Differs:
    """Asks one differ after the other; the next one if the one before does not do such a thing."""

    def __init__(self, differs: Sequence[Applier], *, always_sync: bool = False) -> None:
        self._differs = tuple(differs)
        self._always_sync = always_sync

    async def apply(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        sync_fs: bool,
        payloads: Mapping[str, bytes],
    ) -> Descriptor:
        """The plain layer, whose digest is the diff id. Raises what the differ that did it raised."""
        refusal = Unimplemented(f"no differ applies {descriptor.media_type}")
        for differ in self._differs:
            try:
                return await differ.apply_content(
                    namespace, descriptor, mounts, sync_fs=sync_fs or self._always_sync, payloads=payloads
                )
            except Unimplemented as error:
                refusal = error
        raise refusal
