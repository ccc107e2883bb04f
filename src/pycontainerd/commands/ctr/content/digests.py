"""Digests as arguments."""

from __future__ import annotations

from pycontainerd.errors import InvalidArgument

_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def parse_digest(text: str) -> str:
    """*text* if it is a digest. Raises InvalidArgument."""
    algorithm, colon, encoded = text.partition(":")
    if not colon or not encoded or not algorithm.replace("+", "").replace(".", "").isalnum():
        raise InvalidArgument("invalid checksum digest format", bare=True)
    if algorithm not in _LENGTHS:
        raise InvalidArgument("unsupported digest algorithm", bare=True)
    if len(encoded) != _LENGTHS[algorithm]:
        raise InvalidArgument("invalid checksum digest length", bare=True)
    if any(character not in "0123456789abcdef" for character in encoded):
        raise InvalidArgument("invalid checksum digest format", bare=True)
    return text
