"""What the content store speaks of: digests, blobs, ingests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct, field

from pycontainerd.errors import InvalidArgument

if TYPE_CHECKING:
    from hashlib import _Hash

CANONICAL: Final = "sha256"
"""The algorithm of digests that we choose ourselves."""

_HEX_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_LOWER_HEX: Final = re.compile(r"[a-f0-9]+")
_GRAMMAR: Final = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")


class InvalidDigest(InvalidArgument):
    """A text that is no digest. Its message is one of three fixed texts, as in the original."""


class Digest(Struct, frozen=True, order=True):
    """The name of a blob: an algorithm and the hexadecimal digits that it gives for the blob's bytes."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest that *text* is. Raises InvalidDigest."""
        algorithm, colon, encoded = text.partition(":")
        if not algorithm or not colon or not encoded:
            raise InvalidDigest("invalid checksum digest format")
        digits = _HEX_DIGITS.get(algorithm)
        if digits is None:
            known = _GRAMMAR.fullmatch(text)
            raise InvalidDigest("unsupported digest algorithm" if known else "invalid checksum digest format")
        if len(encoded.encode()) != digits:
            raise InvalidDigest("invalid checksum digest length")
        if not _LOWER_HEX.fullmatch(encoded):
            raise InvalidDigest("invalid checksum digest format")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The canonical digest of *data*."""
        return cls(CANONICAL, hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


def is_digest(text: str) -> bool:
    """Whether *text* is a digest as `Digest.parse` takes it."""
    try:
        Digest.parse(text)
    except InvalidDigest:
        return False
    return True


def hasher(algorithm: str = CANONICAL) -> _Hash:
    """A running hash of one of the algorithms that digests may have."""
    return hashlib.new(algorithm, usedforsecurity=False)


class BlobInfo(Struct, frozen=True):
    """What a namespace knows of a blob. Times are nanoseconds since 1970 UTC, the size is in bytes."""

    digest: Digest
    size: int
    created_ns: int
    updated_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)


class IngestStatus(Struct, frozen=True):
    """How far a writer has come. *total* is 0 if nobody said how long the blob will be."""

    ref: str
    offset: int
    total: int
    started_ns: int
    updated_ns: int
    expected: str = ""
