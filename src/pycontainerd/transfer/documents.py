"""JSON that comes from outside, with the messages of the original."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pycontainerd.errors import Unknown
from pycontainerd.oci.image import DOCUMENT_LIMIT

LIMIT: Final = DOCUMENT_LIMIT


def decode(kind: Any, data: bytes, context: str = "") -> Any:
    """Reads *data* as a *kind*. Raises Unknown, with *context* before, if it is too long or no such document."""
    prefix = f"{context}: " if context else ""
    if len(data) > LIMIT:
        raise Unknown(f"{prefix}{len(data)} bytes are more than the {LIMIT} of a document")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise Unknown(f"{prefix}{error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unknown(f"{prefix}{_go_text(data, error)}") from error


def _go_text(data: bytes, error: Exception) -> str:
    """What Go's decoder says of a text that does not even begin as JSON; ours knows better for the rest."""
    stripped = data.lstrip(b" \t\r\n")
    if not stripped:
        return "EOF"
    first = stripped[:1]
    if first not in b'{["-0123456789tfn':
        return f"invalid character '{first.decode(errors='replace')}' looking for beginning of value"
    return str(error)
