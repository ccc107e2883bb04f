"""The labels that say how the ids of a container's files are those of the machine."""

from __future__ import annotations

from collections.abc import Mapping

from pycontainerd.errors import Unknown
from pycontainerd.snapshots.model import LABEL_GID_MAPPING, LABEL_UID_MAPPING


def root_pair(labels: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Who the container's root is on the machine: user and group, None where the labels don't say.

    Raises Unknown with the words of the original for a mapping that is none, or that maps no root.
    """
    return _root(labels.get(LABEL_UID_MAPPING)), _root(labels.get(LABEL_GID_MAPPING))


def _root(text: str | None) -> int | None:
    if not text:
        return None
    ranges = [_range(part) for part in text.split(",")]
    for container, host, count in ranges:
        if container == 0 and count > 0:
            return host
    raise Unknown("failed to find root pair: container ID 0 cannot be mapped to a host ID")


def _range(text: str) -> tuple[int, int, int]:
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) <= 10 for part in parts):
        raise Unknown(f"failed to unmarshal snapshot ID mapped labels: input value {text} unparsable: expected integer")
    container, host, count = map(int, parts)
    return container, host, count
