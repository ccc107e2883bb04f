"""What an update makes of a record, as the original does it.

A spec that the update names but doesn't carry passes its check and leaves the stored one; extensions are merged into
the stored ones when they are written, though the reply shows only what was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from pycontainerd.containers import parts
from pycontainerd.containers.model import Container
from pycontainerd.errors import InvalidArgument
from pycontainerd.quoting import quote

_WHOLE: Final = {
    "labels": "labels",
    "spec": "spec",
    "extensions": "extensions",
    "image": "image",
    "snapshotkey": "snapshot_key",
}
ALL: Final = tuple(_WHOLE)


def patched(stored: Container, sent: Container, paths: Sequence[str]) -> Container:
    """*stored* as *paths*, or all, change it to what was *sent*. Raises InvalidArgument."""
    if not paths:
        if sent.snapshotter != stored.snapshotter:
            raise InvalidArgument("container.Snapshotter field is immutable")
        if sent.runtime.name != stored.runtime.name:
            raise InvalidArgument("container.Runtime.Name field is immutable")
        paths = ALL
    result = stored
    for path in paths:
        result = _one(result, sent, path)
    try:
        result.check(needs_spec="spec" not in paths)
    except InvalidArgument as error:
        raise error.within("update failed validation") from None
    return result


def to_store(stored: Container, patched_: Container) -> Container:
    """What is written when *stored* was patched to *patched_*."""
    return structs.replace(
        patched_,
        spec=stored.spec if patched_.spec is None else patched_.spec,
        extensions={**stored.extensions, **patched_.extensions},
    )


def _one(current: Container, sent: Container, path: str) -> Container:
    result = parts.patched(current, sent, path, _WHOLE)
    if result is None:
        raise InvalidArgument(f"cannot update {quote(path)} field on {quote(sent.id)}")
    return result
