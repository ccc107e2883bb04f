"""The differs in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pycontainerd.errors import Unimplemented
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor


class DifferPlugin(Protocol):
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

    async def compare(
        self,
        namespace: str,
        older: Sequence[Mount],
        newer: Sequence[Mount],
        *,
        media_type: str = "",
        ref: str = "",
        labels: Mapping[str, str] = ...,
        latest_ns: int | None = None,
        lease: str | None = None,
    ) -> Descriptor:
        """Stores what makes *older* to *newer* as a blob. Raises Unimplemented if that is none of its business."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a client may say of a layer that it wants; see `comparing.Comparer.compare`."""

    media_type: str = ""
    ref: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    latest_ns: int | None = None


class Differs:
    """Asks one differ after the other; the next one if the one before does not do such a thing."""

    def __init__(self, differs: Sequence[DifferPlugin], *, always_sync: bool = False) -> None:
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

    async def compare(
        self,
        namespace: str,
        older: Sequence[Mount],
        newer: Sequence[Mount],
        wanted: Comparison,
        *,
        lease: str | None = None,
    ) -> Descriptor:
        """The layer that makes *older* to *newer*. Raises what the differ that did it raised."""
        refusal = Unimplemented(f"no differ makes {wanted.media_type}")
        for differ in self._differs:
            try:
                return await differ.compare(
                    namespace,
                    older,
                    newer,
                    media_type=wanted.media_type,
                    ref=wanted.ref,
                    labels=wanted.labels,
                    latest_ns=wanted.latest_ns,
                    lease=lease,
                )
            except Unimplemented as error:
                refusal = error
        raise refusal
