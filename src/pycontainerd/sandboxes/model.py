"""What sandboxes are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from pycontainerd.containers.model import Packed, Runtime
from pycontainerd.errors import InvalidArgument
from pycontainerd.rpc.call import check_identifier


class Sandbox(Struct, frozen=True):
    """One sandbox's record. Times are nanoseconds since 1970 UTC.

    *wire* is the message that it was read from, if any: what in it no field here stands for, survives.
    """

    id: str
    runtime: Runtime = Runtime()
    spec: Packed | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Packed] = field(default_factory=dict)
    sandboxer: str = ""
    created_ns: int = 0
    updated_ns: int = 0
    wire: bytes = b""

    def check(self) -> None:
        """Raises InvalidArgument, with the original's words, for an id that is none."""
        try:
            check_identifier(self.id)
        except InvalidArgument as error:
            raise error.within("invalid sandbox ID") from None

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        """The value at *path* for a filter, and whether it is present."""
        match path:
            case ["id", *_]:
                return self.id, bool(self.id)
            case ["labels", *rest]:
                key = ".".join(rest)
                return self.labels.get(key, ""), key in self.labels
            case _:
                return "", False
