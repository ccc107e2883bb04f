"""In which order the dying may go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

BATCH: Final = 100
"""Objects that one transaction deletes; a few milliseconds."""


class Dying(Struct):
    """*ids* that are still to be deleted, and *batches* of them: what needs others comes before what is needed.

    What needs each other, in a circle, goes at once or not at all: it is in one batch, however large. What lives *flat*
    stays, but may need some of the dying.
    """

    ids: set[int]
    batches: list[list[int]]
    flat: set[int]


def ordered(ids: set[int], needs: Iterable[tuple[int, int]], flat: set[int]) -> Dying:
    """*ids* in batches; *needs* are pairs of them of which the first needs the second."""
    needed_by: dict[int, list[int]] = {}
    needing = dict.fromkeys(ids, 0)
    for owner, target in needs:
        if owner != target:
            needed_by.setdefault(owner, []).append(target)
            needing[target] += 1
    order = [id_ for id_, count in needing.items() if not count]
    for id_ in order:  # grows while it is walked
        for target in needed_by.get(id_, ()):
            needing[target] -= 1
            if not needing[target]:
                order.append(target)
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    circles = list(_circles(sorted(ids.difference(order)), needed_by))
    batches += _packed(reversed(circles))
    return Dying(ids, batches, flat)


def _packed(groups: Iterable[list[int]]) -> Iterator[list[int]]:
    """Batches of whole groups, in their order."""
    batch: list[int] = []
    for group in groups:
        if batch and len(batch) + len(group) > BATCH:
            yield batch
            batch = []
        batch += group
    if batch:
        yield batch


def _circles(ids: Sequence[int], needed_by: Mapping[int, Sequence[int]]) -> Iterator[list[int]]:
    """*ids* by what needs each other, each group after those that it needs: Tarjan's strong components, without
    recursion, as a chain may be longer than the stack.
    """
    found: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_: list[int] = []
    done: set[int] = set()
    for start in ids:
        if start in found:
            continue
        walk = [(start, iter(needed_by.get(start, ())))]
        found[start] = lowest[start] = len(found)
        open_.append(start)
        while walk:
            id_, targets = walk[-1]
            target = next(targets, None)
            if target is None:
                walk.pop()
                if walk:
                    lowest[walk[-1][0]] = min(lowest[walk[-1][0]], lowest[id_])
                if lowest[id_] == found[id_]:
                    group = _popped(open_, id_)
                    done.update(group)
                    yield group
            elif target not in found:
                found[target] = lowest[target] = len(found)
                open_.append(target)
                walk.append((target, iter(needed_by.get(target, ()))))
            elif target not in done:
                lowest[id_] = min(lowest[id_], found[target])


def _popped(open_: list[int], last: int) -> list[int]:
    """Takes off the end of *open_* all up to *last*."""
    at = len(open_) - 1
    while open_[at] != last:
        at -= 1
    group = open_[at:]
    del open_[at:]
    return group
