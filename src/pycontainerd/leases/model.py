"""What leases are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from msgspec import Struct

from pycontainerd.content.model import Digest
from pycontainerd.errors import InvalidArgument, Unimplemented
from pycontainerd.metadata import kinds

_SIMPLE = (kinds.CONTENT, kinds.IMAGES, kinds.INGESTS)


class Lease(Struct, frozen=True):
    """One lease. *created_ns* is nanoseconds since 1970 UTC."""

    id: str
    created_ns: int
    labels: Mapping[str, str]

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        """The value at *path* for a filter, and whether it is present."""
        if path[0] == "id":
            return self.id, bool(self.id)
        if path[0] == "labels":
            key = ".".join(path[1:])
            return self.labels.get(key, ""), key in self.labels
        return "", False


class Resource(Struct, frozen=True):
    """Something that a lease holds: its *kind* is `content`, `ingests`, `images` or `snapshots/<snapshotter>`."""

    kind: str
    name: str

    @classmethod
    def parse(cls, kind: str, name: str) -> Self:
        """The resource as clients write it. Raises InvalidArgument, Unimplemented for a kind that leases don't hold."""
        base = kind.partition("/")[0]
        if base in _SIMPLE:
            if base != kind:
                raise InvalidArgument(f"invalid resource type {kind}")
            if base == kinds.CONTENT:
                _check_digest(name)
        elif base == "snapshots":
            if kind.count("/") != 1:
                raise InvalidArgument(f"invalid snapshot resource type {kind}")
        else:
            raise Unimplemented(f"resource type {kind} not supported yet")
        return cls(kind, name)

    @property
    def snapshotter(self) -> str | None:
        """The snapshotter of a snapshot, else None."""
        return self.kind.removeprefix(kinds.SNAPSHOTS_PREFIX) if self.kind.startswith("snapshots") else None


def _check_digest(text: str) -> None:
    try:
        Digest.parse(text)
    except InvalidArgument as error:
        raise error.within(f"invalid content resource id {text}") from None
