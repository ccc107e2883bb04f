"""Diff: applying layers in the daemon."""

from __future__ import annotations

from collections.abc import Iterable
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
