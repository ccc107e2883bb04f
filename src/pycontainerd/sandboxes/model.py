"""What sandboxes are made of."""

from __future__ import annotations

from collections.abc import Sequence

from pycontainerd.containers.model import Record
from pycontainerd.errors import InvalidArgument
from pycontainerd.rpc.call import check_identifier


class Sandbox(Record, frozen=True):
    """One sandbox's record; *sandboxer* is the controller that runs it."""

    sandboxer: str = ""

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
