"""Which types of messages this daemon knows, by the name that an Any carries."""

from __future__ import annotations

from google.protobuf import descriptor_pool


def is_known(type_url: str) -> bool:
    """Whether *type_url*, with or without a prefix, names a message of a contract that is loaded."""
    try:
        descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    except KeyError:
        return False
    return True
