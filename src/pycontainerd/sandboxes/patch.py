"""What an update makes of a record, as the original does it.

A spec or options that the update names but doesn't carry leave the stored ones; extensions are merged into the stored
ones when they are written, though the reply shows only what was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from pycontainerd.containers import parts
from pycontainerd.errors import InvalidArgument
from pycontainerd.quoting import quote
from pycontainerd.sandboxes.model import Sandbox

ALL: Final = ("labels", "extensions", "spec", "runtime")
_WHOLE: Final = {path: path for path in ALL}


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
    result = parts.patched(current, sent, path, _WHOLE)
    if result is None:
        raise InvalidArgument(f"cannot update {quote(path)} field on sandbox {quote(sent.id)}")
    return result
