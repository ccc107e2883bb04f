"""A differ in another process, reached over the same service that we offer. It finds the content by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as pb
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor
from pycontainerd.proxies.remote import Remote
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(pb.DESCRIPTOR.services_by_name["Diff"])
_NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
_NO_PAYLOADS: Final[Mapping[str, bytes]] = MappingProxyType({})


class ProxyDiffer:
    """A plugin of the type differ whose work another process does."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def apply_content(
        self,
        namespace: str,
        descriptor: Descriptor,
        mounts: Sequence[Mount],
        *,
        sync_fs: bool = False,
        payloads: Mapping[str, bytes] = _NO_PAYLOADS,
    ) -> Descriptor:
        """Raises what the other side answers."""
        request = pb.ApplyRequest(
            diff=types_pb2.Descriptor(media_type=descriptor.media_type, digest=descriptor.digest, size=descriptor.size),
            mounts=_mounts(mounts),
            payloads={key: Any.FromString(value) for key, value in payloads.items()},
            sync_fs=sync_fs,
        )
        reply: pb.ApplyResponse = await self._remote.unary(_METHODS["apply"], request, namespace)
        return _descriptor(reply.applied)

    async def compare(
        self,
        namespace: str,
        older: Sequence[Mount],
        newer: Sequence[Mount],
        *,
        media_type: str = "",
        ref: str = "",
        labels: Mapping[str, str] = _NO_LABELS,
        latest_ns: int | None = None,
        lease: str | None = None,
    ) -> Descriptor:
        """Raises what the other side answers."""
        request = pb.DiffRequest(
            left=_mounts(older), right=_mounts(newer), media_type=media_type, ref=ref, labels=labels
        )
        if latest_ns is not None:
            epoch = Timestamp()
            epoch.FromNanoseconds(latest_ns)
            request.source_date_epoch.CopyFrom(epoch)
        reply: pb.DiffResponse = await self._remote.unary(_METHODS["diff"], request, namespace)
        return _descriptor(reply.diff)


def _mounts(mounts: Iterable[Mount]) -> list[types_pb2.Mount]:
    return [types_pb2.Mount(type=m.type, source=m.source, target=m.target, options=m.options) for m in mounts]


def _descriptor(layer: types_pb2.Descriptor) -> Descriptor:
    return Descriptor(layer.media_type, layer.digest, layer.size)
