"""What containers are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata import labels
from pycontainerd.rpc.call import check_identifier


class Packed(Struct, frozen=True):
    """A message of a type that only clients and runtimes know: google.protobuf.Any."""

    type_url: str = ""
    value: bytes = b""


class Runtime(Struct, frozen=True):
    """Which runtime runs the container, and what it is told."""

    name: str = ""
    options: Packed | None = None


class Record(Struct, frozen=True):
    """What is recorded of a container and of a sandbox. Times are nanoseconds since 1970 UTC.

    *wire* is the message that it was read from, if any: what in it no field here stands for, survives.
    """

    id: str
    runtime: Runtime = Runtime()
    spec: Packed | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Packed] = field(default_factory=dict)
    created_ns: int = 0
    updated_ns: int = 0
    wire: bytes = b""


class Container(Record, frozen=True):
    """One container's record."""

    image: str = ""
    snapshotter: str = ""
    snapshot_key: str = ""
    sandbox: str = ""

    def check(self, *, needs_spec: bool = False) -> None:
        """Raises InvalidArgument, with the original's words, for what can't be stored."""
        try:
            check_identifier(self.id)
        except InvalidArgument as error:
            raise error.within("container.ID") from None
        if "" in self.extensions:
            raise InvalidArgument("container.Extension keys must not be zero-length")
        labels.validate(self.labels, "containers.Labels")
        if not self.runtime.name:
            raise InvalidArgument("container.Runtime.Name must be set")
        if needs_spec and self.spec is None:
            raise InvalidArgument("container.Spec must be set")
        if self.snapshot_key and not self.snapshotter:
            raise InvalidArgument("container.Snapshotter must be set if container.SnapshotKey is set")

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        """The value at *path* for a filter, and whether it is present."""
        match path:
            case ["id", *_]:
                return self.id, bool(self.id)
            case ["runtime", "name", *_]:
                return self.runtime.name, bool(self.runtime.name)
            case ["image", *_]:
                return self.image, bool(self.image)
            case ["labels", *rest]:
                key = ".".join(rest)
                return self.labels.get(key, ""), key in self.labels
            case _:
                return "", False
