"""JSON as the original prints it: Go's order, Go's escapes."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

from pycontainerd.commands.ctr.values import rfc3339_nano

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.protobuf.message import Message


def dumps(value: object, indent: int | None = 4) -> str:
    """The JSON of *value*; compact for no indent."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, indent=indent, ensure_ascii=False, separators=separators)
    for character, escape in (
        ("&", "\\u0026"),
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
    ):
        text = text.replace(character, escape)
    return text


def show(value: object, indent: int = 4) -> None:
    """Prints *value*."""
    sys.stdout.write(dumps(value, indent) + "\n")


def any_value(value: AnyMessage) -> dict[str, str] | None:
    """A protobuf Any as Go's JSON has it; None for one that was never set."""
    result = {}
    if value.type_url:
        result["type_url"] = value.type_url
    if value.value:
        result["value"] = base64.b64encode(value.value).decode()
    return result


def message_value(message: Message) -> dict[str, Any]:
    """A message as Go's JSON has it: names of the wire contract, members without a value left out."""
    return {field.name: _field_value(field, value) for field, value in message.ListFields() if value is not None}


def _field_value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): _one_value(value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_one_value(each) for each in value]
    return _one_value(value)


def _one_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "ListFields"):
        return message_value(value)
    return value


def time_value(stamp: Any) -> str:
    return rfc3339_nano(stamp)
