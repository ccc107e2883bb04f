"""What labels mean to the collector: references, back references, roots, expiry (metadata-gc.md §3 and §4).

A reference label's key is a base, then nothing, or a suffix that begins with `.` or `/` and is there to make keys
differ. For snapshots the suffix names the snapshotter first: `….snapshot.overlayfs/any`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from pycontainerd.metadata import kinds
from pycontainerd.metadata.times import parse_rfc3339

log = logging.getLogger(__name__)

PREFIX: Final = "containerd.io/gc."
ROOT: Final = "containerd.io/gc.root"
EXPIRE: Final = "containerd.io/gc.expire"
FLAT: Final = "containerd.io/gc.flat"
_REF: Final = "containerd.io/gc.ref."
_BREF: Final = "containerd.io/gc.bref."

_REF_KINDS: Final = {"content": kinds.CONTENT, "image": kinds.IMAGES}
_BREF_KINDS: Final = {**_REF_KINDS, "container": kinds.CONTAINERS}

NOT_ROOT: Final = 0
ROOT_WHOLE: Final = 1
ROOT_FLAT: Final = 2


class Edge(Struct, frozen=True):
    """One need: of the owner for what is named, or with *back* of the owner for being kept by what is named."""

    kind: str
    name: str
    back: bool = False
    flat: bool = False


class Meaning(Struct, frozen=True):
    """What all labels of one object mean together."""

    edges: frozenset[Edge]
    root: int
    expires_ns: int | None


def meaning(kind: str, labels: Mapping[str, str]) -> Meaning:
    """What *labels* mean on an object of *kind*."""
    relevant = {key: value for key, value in labels.items() if key.startswith(PREFIX)}
    root, expires_ns = _root(kind, relevant)
    if kind in (kinds.LEASES, kinds.NAMESPACES) or not relevant:
        return Meaning(frozenset(), root, expires_ns)
    return Meaning(frozenset(_edges(relevant)), root, expires_ns)


def _root(kind: str, labels: Mapping[str, str]) -> tuple[int, int | None]:
    if kind == kinds.CONTAINERS:
        return ROOT_WHOLE, None
    if kind == kinds.IMAGES:
        return ROOT_WHOLE, _expiry(labels)
    if kind == kinds.LEASES:
        return (ROOT_FLAT if FLAT in labels else ROOT_WHOLE), _expiry(labels)
    if kind == kinds.CONTENT or kind.startswith(kinds.SNAPSHOTS_PREFIX):
        return (ROOT_WHOLE if any(key.startswith(ROOT) for key in labels) else NOT_ROOT), None
    return NOT_ROOT, None


def _expiry(labels: Mapping[str, str]) -> int | None:
    text = labels.get(EXPIRE)
    if text is None:
        return None
    expires_ns = parse_rfc3339(text)
    if expires_ns is None:
        log.warning("label %s has a value that is no time, it never expires: %r", EXPIRE, text)
    return expires_ns


def _edges(labels: Mapping[str, str]) -> Iterator[Edge]:
    for key, value in labels.items():
        if key.startswith(_REF):
            kind = _named(key[len(_REF) :], _REF_KINDS)
            if kind is not None:
                yield Edge(kind, value)
        elif key.startswith(_BREF):
            kind = _named(key[len(_BREF) :], _BREF_KINDS)
            if kind is not None:
                yield Edge(kind, value, back=True)


def _named(rest: str, words: Mapping[str, str]) -> str | None:
    """The kind that the part of a key after its base names."""
    if rest.startswith("snapshot."):
        return kinds.snapshots(rest[len("snapshot.") :].partition("/")[0])
    for word, kind in words.items():
        if rest == word or (rest.startswith(word) and rest[len(word)] in "./"):
            return kind
    return None
