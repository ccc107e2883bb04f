"""The few parts of a runtime spec that the daemon itself looks at when it starts a task."""

from __future__ import annotations

from typing import Final

import msgspec

from pycontainerd.errors import Unknown
from pycontainerd.shim.address import GROUP_ANNOTATIONS


class IdMapping(msgspec.Struct, rename="camel", frozen=True):
    container_id: int = msgspec.field(default=0, name="containerID")
    host_id: int = msgspec.field(default=0, name="hostID")
    size: int = 0


class SpecMount(msgspec.Struct, rename="camel", frozen=True):
    options: list[str] = []
    uid_mappings: list[IdMapping] = []
    gid_mappings: list[IdMapping] = []


class Linux(msgspec.Struct, rename="camel", frozen=True):
    gid_mappings: list[IdMapping] = []


class SpecView(msgspec.Struct, frozen=True):
    """What is read of a spec; everything else in it is the runtime's business."""

    annotations: dict[str, str] | None = None
    mounts: list[SpecMount] | None = None
    linux: Linux | None = None

    def group(self) -> str | None:
        """The group of containers that share a shim, if the container is in one."""
        annotations = self.annotations or {}
        return next((annotations[key] for key in GROUP_ANNOTATIONS if annotations.get(key)), None)

    def root_gid(self) -> int | None:
        """The id on the host of the container's group 0, if the spec maps groups."""
        mappings = self.linux.gid_mappings if self.linux is not None else []
        for mapping in mappings:
            if mapping.container_id <= 0 < mapping.container_id + mapping.size:
                return mapping.host_id - mapping.container_id
        return None

    def has_idmap_mounts(self) -> bool:
        """Whether a mount of the spec wants its ids mapped."""
        for mount in self.mounts or []:
            if mount.uid_mappings or mount.gid_mappings or {"idmap", "ridmap"} & set(mount.options):
                return True
        return False


_decoder: Final = msgspec.json.Decoder(SpecView)


def view(spec: bytes) -> SpecView:
    """The view of the JSON document *spec*. Raises Unknown if it is none."""
    try:
        return _decoder.decode(spec)
    except msgspec.DecodeError as error:
        raise Unknown(f"spec of the container: {error}") from error
