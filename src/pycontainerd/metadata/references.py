"""What labels mean to the collector: references, back references, conditions, roots, expiry.

A reference label's key is a base, then nothing, or a suffix that begins with `.` or `/` and is there to make keys
differ. For snapshots the suffix names the snapshotter first: `….snapshot.overlayfs/any`.

A condition is a reference of an image or a blob to a snapshot, `usedat<24h|<key>`: it holds while the snapshot says
in a label of its own that it was used less, or with `>` more, than so long ago. Several, by commas, are alternatives.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from pycontainerd.config.duration import Duration
from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata import kinds
from pycontainerd.metadata.times import parse_rfc3339

log = logging.getLogger(__name__)

PREFIX: Final = "containerd.io/gc."
ROOT: Final = "containerd.io/gc.root"
EXPIRE: Final = "containerd.io/gc.expire"
FLAT: Final = "containerd.io/gc.flat"
USED: Final = "containerd.io/gc.cond.value-usedat"
_REF: Final = "containerd.io/gc.ref."
_BREF: Final = "containerd.io/gc.bref."
_CONDITION: Final = "containerd.io/gc.cond.snapshot"
_USED_AT: Final = "usedat"

_THINGS: Final = {"content": kinds.CONTENT, "image": kinds.IMAGES}
_REF_KINDS: Final = {**_THINGS, "stream": kinds.STREAMS, "mount": kinds.MOUNTS}
_BREF_KINDS: Final = {**_THINGS, "container": kinds.CONTAINERS}
_CONDITIONED: Final = (kinds.CONTENT, kinds.IMAGES)

NOT_ROOT: Final = 0
ROOT_WHOLE: Final = 1
ROOT_FLAT: Final = 2


class Edge(Struct, frozen=True):
    """One need: of the owner for what is named, or with *back* of the owner for being kept by what is named.

    With *within_ns* or *beyond_ns* it holds only while what is named was used less, or more, than so long ago.
    """

    kind: str
    name: str
    back: bool = False
    flat: bool = False
    within_ns: int | None = None
    beyond_ns: int | None = None


class Meaning(Struct, frozen=True):
    """What all labels of one object mean together. *used_ns* is when it was used last, as conditions ask."""

    edges: frozenset[Edge]
    root: int
    expires_ns: int | None
    used_ns: int | None = None


def meaning(kind: str, labels: Mapping[str, str]) -> Meaning:
    """What *labels* mean on an object of *kind*."""
    said = relevant(labels)
    root, expires_ns = _root(kind, said)
    if kind in (kinds.LEASES, kinds.NAMESPACES) or not said:
        return Meaning(frozenset(), root, expires_ns)
    edges = frozenset(_edges(said))
    if kind == kinds.MOUNTS:  # an activation is kept by others, and keeps none
        edges = frozenset(edge for edge in edges if edge.back)
    edges |= {edge for edge in _conditions(kind, said) if Edge(edge.kind, edge.name) not in edges}
    return Meaning(edges, root, expires_ns, _used(kind, said))


def relevant(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that mean something to the collector."""
    return {key: value for key, value in labels.items() if key.startswith(PREFIX)}


def _root(kind: str, labels: Mapping[str, str]) -> tuple[int, int | None]:
    if kind in (kinds.CONTAINERS, kinds.SANDBOXES):
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


def _conditions(kind: str, labels: Mapping[str, str]) -> Iterator[Edge]:
    """One edge for each snapshot: it holds if one of all conditions on it does."""
    spans: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for key, value in labels.items():
        if kind not in _CONDITIONED or not key.startswith(_CONDITION):
            continue
        conditions, bar, name = value.partition("|")
        target = (kinds.snapshots(key[len(_CONDITION) :].lstrip("./").partition("/")[0]), name)
        for condition in conditions.split(",") if bar else ():
            span_ns = _span(condition)
            if span_ns is not None:
                within, beyond = spans.setdefault(target, ([], []))
                (within if condition[len(_USED_AT)] == "<" else beyond).append(span_ns)
    for target, (within, beyond) in spans.items():
        yield Edge(*target, within_ns=max(within, default=None), beyond_ns=min(beyond, default=None))


def _span(condition: str) -> int | None:
    """The nanoseconds of `usedat<…` or `usedat>…`. Nothing else is a condition that can hold."""
    if not condition.startswith((f"{_USED_AT}<", f"{_USED_AT}>")):
        return None
    try:
        return int(Duration.parse(condition[len(_USED_AT) + 1 :]))
    except InvalidArgument:
        return None


def _used(kind: str, labels: Mapping[str, str]) -> int | None:
    text = labels.get(USED) if kind.startswith(kinds.SNAPSHOTS_PREFIX) else None
    return None if text is None else parse_rfc3339(text)


def _named(rest: str, words: Mapping[str, str]) -> str | None:
    """The kind that the part of a key after its base names."""
    if rest.startswith("snapshot."):
        return kinds.snapshots(rest[len("snapshot.") :].partition("/")[0])
    for word, kind in words.items():
        if rest == word or (rest.startswith(word) and rest[len(word)] in "./"):
            return kind
    return None
