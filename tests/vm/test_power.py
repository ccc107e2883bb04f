"""The power of a machine is cut again and again while clients work: what was acknowledged is whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.vm.image import Image
from tests.vm.power import MAKE, Outcome, cut_often

CUTS = 5
"""For each file system and seed."""

SEEDS = (4, 5, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_power_cut_what_was_acknowledged_is_whole_and_nothing_else_is_left(
    seed: int, image: Image, session_base: Path
) -> None:
    def cut(file_system: str) -> Outcome:
        return cut_often(image, session_base / file_system, file_system, cuts=CUTS, seed=seed)

    with ThreadPoolExecutor() as pool:
        outcomes = dict(zip(MAKE, pool.map(cut, MAKE), strict=True))
    assert {name: outcome.wrong for name, outcome in outcomes.items()} == {name: [] for name in MAKE}
    assert all(outcome.cuts == CUTS for outcome in outcomes.values())
    # The cuts must have met work. Whether they met writes that were not flushed is chance.
    assert all(outcome.acknowledged > 0 for outcome in outcomes.values())
