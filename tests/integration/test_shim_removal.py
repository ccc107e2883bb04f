"""Removing a container that has ended without its runtime: the same as `runc delete` does, for known versions."""

from __future__ import annotations

import contextlib
import json
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd.shim import removal
from tests.harness.machine import SESSION
from tests.integration.test_shim_exec_fifo import RUNTIMES, Created

CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(params=RUNTIMES)
def ended(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Created]:
    """A container whose init has ended, and which its runtime still knows."""
    container = Created(request.param, scratch, "/bin/true")
    descriptor = os.pidfd_open(container.pid)
    container.run("start", container.id)
    select.select([descriptor], [], [], 60)
    os.close(descriptor)
    yield container
    container.run("delete", "--force", container.id)
    for hierarchy in CGROUPS.iterdir():
        with contextlib.suppress(FileNotFoundError):
            (hierarchy / f"{SESSION}-fifo").rmdir()


def groups(container: Created) -> list[Path]:
    """Its control groups."""
    paths = json.loads((container.directory / "state.json").read_bytes())["cgroup_paths"]
    return [Path(path) for path in paths.values()]


def test_nothing_is_left_of_a_container_that_was_removed(ended: Created) -> None:
    its_groups = groups(ended)
    assert all(group.exists() for group in its_groups)
    assert removal.remove(str(ended.directory), ended.pid)
    assert not any(group.exists() for group in its_groups)
    assert list(ended.root.iterdir()) == []


def test_a_group_with_others_below_is_left_to_the_runtime(ended: Created) -> None:
    inner = groups(ended)[0] / "inner"
    inner.mkdir()
    assert not removal.remove(str(ended.directory), ended.pid)
    ended.run("delete", ended.id)
    assert not inner.exists()
    assert list(ended.root.iterdir()) == []


def test_the_container_of_another_init_is_not_touched(ended: Created) -> None:
    assert not removal.remove(str(ended.directory), ended.pid + 1)
    assert all(group.exists() for group in groups(ended))


def test_a_state_that_is_none_is_left_alone(ended: Created) -> None:
    state = ended.directory / "state.json"
    content = state.read_bytes()
    state.write_bytes(b'{"init_process_pid":1}')
    assert not removal.remove(str(ended.directory), ended.pid)
    assert not removal.remove(str(ended.directory / "nothing"), ended.pid)
    state.write_bytes(content)
