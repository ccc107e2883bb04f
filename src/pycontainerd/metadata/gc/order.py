"""In which order the dying may go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

BATCH: Final = 100
"""Objects that one transaction deletes; a few milliseconds."""


class Dying(Struct):
    """*ids* that are still to be deleted, and *batches* of them: what needs others comes before what is needed.

    What lies on a cycle, or is needed by one, makes a batch of its own, however large: it goes at once or not at all.
    What lives *flat* stays, but may need some of the dying.
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
    cyclic = ids.difference(order)
    if cyclic:
        batches.append(list(cyclic))
    return Dying(ids, batches, flat)
