"""What an update makes of a record, as the original does it.

A spec or options that the update names but doesn't carry leave the stored ones; extensions are merged into the stored
ones when they are written, though the reply shows only what was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from pycontainerd.containers.model import Packed
from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata import fieldmask
from pycontainerd.quoting import quote
from pycontainerd.sandboxes.model import Sandbox

ALL: Final = ("labels", "extensions", "spec", "runtime")


def patched(stored: Sandbox, sent: Sandbox, paths: Sequence[str]) -> Sandbox:
    """*stored* as *paths*, or all, change it to what was *sent*. Raises InvalidArgument."""
    if not paths:
        if sent.runtime.name != stored.runtime.name:
            raise InvalidArgument("sandbox.Runtime.Name field is immutable")
        paths = ALL
    result = stored
    for path in paths:
        result = _one(result, sent, path)
    return result


def to_store(stored: Sandbox, patched_: Sandbox) -> Sandbox:
    """What is written when *stored* was patched to *patched_*."""
    options = patched_.runtime.options
    return structs.replace(
        patched_,
        spec=stored.spec if patched_.spec is None else patched_.spec,
        runtime=structs.replace(patched_.runtime, options=stored.runtime.options if options is None else options),
        extensions={**stored.extensions, **patched_.extensions},
    )


def _one(current: Sandbox, sent: Sandbox, path: str) -> Sandbox:
    match path:
        case "spec":
            return structs.replace(current, spec=sent.spec)
        case "runtime":
            return structs.replace(current, runtime=sent.runtime)
        case "extensions":
            return structs.replace(current, extensions=sent.extensions)
        case "labels":
            return structs.replace(current, labels=sent.labels)
        case _:
            pass
    if fieldmask.key_of(path, "labels") is not None:
        return structs.replace(current, labels=fieldmask.patched(current.labels, sent.labels, [path]))
    if (key := fieldmask.key_of(path, "extensions")) is not None:
        value = sent.extensions.get(key, Packed())
        return structs.replace(current, extensions={**current.extensions, key: value})
    raise InvalidArgument(f"cannot update {quote(path)} field on sandbox {quote(sent.id)}")
