"""Points at which tests stop, fail or kill a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd import faults


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults._armed.clear()


def test_a_point_that_is_armed_does_its_action_each_time() -> None:
    faults.arm("a.b:fail")
    for _ in range(2):
        with pytest.raises(OSError, match=r"a\.b"):
            faults.reach("a.b")
    faults.reach("a.c")


def test_a_file_in_the_directory_means_its_point_once(tmp_path: Path) -> None:
    faults.arm(f"{tmp_path}:fail")
    faults.reach("a.b")
    (tmp_path / "a.b").touch()
    faults.reach("a.c")
    with pytest.raises(OSError, match=r"a\.b"):
        faults.reach("a.b")
    faults.reach("a.b")
    assert os.listdir(tmp_path) == [f"a.b@{os.getpid()}"]
