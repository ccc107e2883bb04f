"""Fixtures for all tests, and the comparison of the machine before and after."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.busybox_image import busybox_layer, oci_archive
from tests.harness.machine import MARK, SESSION, Machine

_numbers = itertools.count(1)
IMAGE = "example.local/library/busybox:latest"


@pytest.fixture(scope="session")
def session_base() -> Iterator[Path]:
    """The directory of this session, on a tmpfs, and short, since it goes into the paths of sockets."""
    base = Path("/dev/shm") / SESSION
    base.mkdir(mode=0o700)
    yield base
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def machine_left_as_found(session_base: Path) -> Iterator[None]:
    """Fails the session that leaves a process, mount, cgroup, network namespace or file behind."""
    os.environ[MARK] = SESSION
    before = Machine.now(session_base)
    yield
    left = before.left_by(Machine.now(session_base))
    assert left == {}


@pytest.fixture
def scratch(session_base: Path) -> Iterator[Path]:
    """A directory on a tmpfs for one test."""
    directory = session_base / str(next(_numbers))
    directory.mkdir()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def busybox_archive(session_base: Path) -> Path:
    """An OCI archive with one image, IMAGE, of static busybox."""
    path = session_base / "busybox.tar"
    path.write_bytes(oci_archive(IMAGE, [busybox_layer()]))
    return path
