"""The image of the virtual machines, built once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.image import Image, build
from tests.vm.machine import Machine


@pytest.fixture(scope="session")
def image(session_base: Path) -> Image:
    directory = session_base / "image"
    directory.mkdir()
    return build(directory)


@pytest.fixture(scope="session")
def machine(image: Image, session_base: Path) -> Iterator[Machine]:
    """A machine with two processors that tests share."""
    with Machine.boot(image, session_base / "machine", cpus=2) as booted:
        yield booted
