"""What a collection is tried on: a namespace of stock, which is right, and one of ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.asking import over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.metadata.house import HELPER, House

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def daemon(request: pytest.FixtureRequest, session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(request.param, session_base / f"gc-{request.param}-{next(_numbers)}") as daemon:
        yield daemon


@pytest.fixture
def house(daemon: Daemon) -> Iterator[House]:
    with over_socket(daemon.address) as asker:
        house = House(daemon, asker, f"gc{next(_numbers)}")
        house.lease(HELPER)
        yield house
