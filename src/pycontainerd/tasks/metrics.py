"""Which tasks a request for figures means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from pycontainerd.errors import InvalidArgument, Unknown


class Subject(Struct, frozen=True):
    """What a filter sees of a task."""

    id: str
    namespace: str

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        match list(path):
            case ["id", *_]:
                return self.id, bool(self.id)
            case ["namespace", *_]:
                return self.namespace, bool(self.namespace)
            case _:
                return "", False


def wanted(filters: Sequence[str], namespace: str) -> Callable[[str], bool]:
    """Tells of an id whether one of *filters* lets it pass. Raises Unknown, as the original does, for a bad filter."""
    if not filters:
        return lambda _: True
    from pycontainerd.metadata import filters as language

    try:
        compiled = language.compile(list(filters))
    except InvalidArgument as error:
        raise Unknown(error.wire_text()) from None
    return lambda id_: compiled.matches(Subject(id_, namespace))
