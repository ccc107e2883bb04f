"""The list of deliberate differences, as the differential tests read it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

LIST = Path(__file__).parents[2] / "docs" / "differences.md"


@cache
def differences() -> frozenset[str]:
    """The names in `docs/differences.md`."""
    return frozenset(re.findall(r"^\| `([a-z-]+)` \|", LIST.read_text(), re.MULTILINE))


def deliberate(name: str) -> str:
    """Returns *name* if it stands in the list, else fails: what is not in the list is a defect."""
    if name not in differences():
        raise AssertionError(f"{name!r} is no difference of {LIST.name}")
    return name
