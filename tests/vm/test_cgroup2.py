"""The tests of the runtime, run inside a virtual machine that has cgroup version 2 alone."""

from __future__ import annotations

import re
import sys

import pytest

from tests.vm.image import CHECKOUT
from tests.vm.machine import Machine

SUITES = {
    "tests/vm/unified.py": 7,
    "tests/unit/system/test_cgroup.py": 6,
    "tests/integration/runtime/test_life.py": 5,
}
"""What is run, and how many tests of it at least."""


@pytest.mark.parametrize("suite", SUITES)
def test_the_runtime_is_the_same_on_version_2(suite: str, machine: Machine) -> None:
    # The stock shim has its own tests elsewhere; what is asked here is whether ours stands on this kernel.
    pytest_ = f"{sys.executable} -m pytest -q --tb=short -p no:cacheprovider -k 'not stock' {suite}"
    command = f"cd {CHECKOUT} && exec {pytest_} 2>&1"
    done = machine.ask("sh", "-c", command, timeout_s=1200, HYPOTHESIS_STORAGE_DIRECTORY="/tmp/hypothesis")
    assert done.code == 0, f"{done.out[-8000:]}\n{machine.tail()}"
    passed = re.search(r"(\d+) passed", done.out)
    assert passed is not None
    assert int(passed[1]) >= SUITES[suite]
    assert "skipped" not in done.out
