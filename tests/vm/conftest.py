"""The image of the virtual machines, built once a run of the tests."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.machine import SHARED
from tests.vm.image import Image, build, built
from tests.vm.machine import Machine


@pytest.fixture(scope="session")
def image() -> Image:
    """Made by the process that needs it first; the other processes of this run wait until it is there."""
    SHARED.mkdir(mode=0o700, exist_ok=True)
    place, part = SHARED / "image", SHARED / "image.part"
    with (SHARED / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            build(part)
            part.rename(place)
    return built(place)


@pytest.fixture(scope="session")
def machine(image: Image, session_base: Path) -> Iterator[Machine]:
    """A machine with two processors that tests share."""
    with Machine.boot(image, session_base / "machine", cpus=2) as booted:
        yield booted
