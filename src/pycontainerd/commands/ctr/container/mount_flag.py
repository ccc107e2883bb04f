"""The value of `--mount`: comma-separated `key=value`, quoted as CSV."""

from __future__ import annotations

from pycontainerd.errors import InvalidArgument
from pycontainerd.oci.spec import Mount


def parse_mount(text: str) -> Mount:
    """The mount that *text* means. Raises InvalidArgument."""
    import csv

    rows = list(csv.reader([text], strict=True)) if text.strip("\n") else []
    if not rows:
        raise InvalidArgument("EOF", bare=True)
    mount = Mount()
    for part in rows[0]:
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidArgument("invalid mount specification: expected key=val", bare=True)
        _set(mount, key, value)
    return mount


def _set(mount: Mount, key: str, value: str) -> None:
    match key:
        case "type":
            mount.type = value
        case "source" | "src":
            mount.source = value
        case "destination" | "dst":
            mount.destination = value
        case "options":
            mount.options = value.split(":")
        case _:
            raise InvalidArgument(f'mount option "{key}" not supported', bare=True)
