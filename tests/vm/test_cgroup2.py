"""The tests of the runtime, run inside virtual machines that have cgroup version 2 alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.vm.image import CHECKOUT, SYSTEMD, Image
from tests.vm.machine import Machine

SUITES = {
    "tests/vm/unified.py": 7,
    "tests/unit/system/test_cgroup.py": 6,
    "tests/integration/runtime/test_life.py": 2,
}
"""What is run, and how many tests of it at least."""

LEFT_OUT = "not stock and not again_and_again and not not_installed and not hang_below"
"""The stock shim has its own tests elsewhere, and some facts of ours have nothing to do with cgroups."""


@pytest.mark.parametrize("suite", SUITES)
def test_the_runtime_is_the_same_on_version_2(suite: str, machine: Machine) -> None:
    run(machine, suite, "-k", f"'{LEFT_OUT}'", at_least=SUITES[suite])


def test_systemd_finds_a_container_where_it_finds_those_of_stock(image: Image, session_base: Path) -> None:
    with Machine.boot(image, session_base / "systemd", cpus=2, init=SYSTEMD) as machine:
        run(machine, "tests/vm/systemd.py", at_least=3)


def run(machine: Machine, suite: str, *options: str, at_least: int) -> None:
    """Runs a file of tests inside: all must pass, and some must be there."""
    words = (sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *options, suite)
    command = f"cd {CHECKOUT} && exec {' '.join(words)} 2>&1"
    done = machine.ask("sh", "-c", command, timeout_s=1200, HYPOTHESIS_STORAGE_DIRECTORY="/tmp/hypothesis")
    assert done.code == 0, f"{done.out[-8000:]}\n{machine.tail()}"
    passed = re.search(r"(\d+) passed", done.out)
    assert passed is not None
    assert int(passed[1]) >= at_least
    assert "skipped" not in done.out
