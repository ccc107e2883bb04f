"""Diff: applying and making layers in the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as diff_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(diff_pb2.DESCRIPTOR.services_by_name["Diff"])


class Diff(Api):
    """The diff service."""

    __slots__ = ()

    async def apply(
        self, layer: types_pb2.Descriptor, mounts: Iterable[types_pb2.Mount], *, sync_fs: bool = False
    ) -> types_pb2.Descriptor:
        """Applies the blob of *layer* to *mounts*; returns the descriptor of the plain layer."""
        request = diff_pb2.ApplyRequest(diff=layer, mounts=mounts, sync_fs=sync_fs)
        reply: diff_pb2.ApplyResponse = await self._session.unary(_METHODS["apply"], request)
        return reply.applied

    async def compare(
        self,
        older: Iterable[types_pb2.Mount],
        newer: Iterable[types_pb2.Mount],
        *,
        media_type: str = "",
        ref: str = "",
        labels: Mapping[str, str] | None = None,
        source_date_epoch_s: int | None = None,
    ) -> types_pb2.Descriptor:
        """Stores the layer that makes *older* to *newer*, and returns its descriptor.

        *ref* names the ingest; *source_date_epoch_s* (seconds since 1970) bounds the times of all files.
        """
        request = diff_pb2.DiffRequest(left=older, right=newer, media_type=media_type, ref=ref, labels=labels)
        if source_date_epoch_s is not None:
            request.source_date_epoch.FromSeconds(source_date_epoch_s)
        reply: diff_pb2.DiffResponse = await self._session.unary(_METHODS["diff"], request)
        return reply.diff
