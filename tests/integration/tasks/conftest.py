"""A place for tasks that is cleared after each test."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import daemon, peers
from tests.harness.machine import SESSION
from tests.integration.tasks.house import OUR_RUNTIME, STOCK_RUNTIME, Place

_numbers = itertools.count(1)


@pytest.fixture(params=[OUR_RUNTIME, STOCK_RUNTIME], ids=["ours", "stock"])
def place(scratch: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Directories and a namespace of this test, with either shim; what still runs there at its end is killed."""
    # The spawner and its shims show the environment of who started it: it says which test they belong to.
    monkeypatch.setenv("CONTAINERD_ADDRESS", str(scratch / "c.sock"))
    place = Place(scratch, f"{SESSION}-house-{next(_numbers)}", runtime=request.param)
    yield place
    delete_containers(place)
    daemon.end_processes_below(scratch)
    daemon.unmount_below(scratch)
    daemon.remove_cgroups_of(place.namespace)


def delete_containers(place: Place) -> None:
    """Deletes what runc still has: containers carry no mark of the session."""
    state = place.base / "runc" / place.namespace
    for container in os.listdir(state) if state.exists() else []:
        command = [str(peers.STOCK / "runc"), "--root", str(state), "delete", "--force", container]
        subprocess.run(command, check=True, capture_output=True)
