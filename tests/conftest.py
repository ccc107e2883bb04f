"""Fixtures for all tests, and the comparison of the machine before and after."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from scripts.busybox_image import busybox_layer, oci_archive
from tests.harness.machine import ALONE, BASE, MARK, RUN, SESSION, SHARED, Machine

_numbers = itertools.count(1)
IMAGE = "example.local/library/busybox:latest"

_FOUND = pytest.StashKey[Machine]()

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Looks at the machine before any test runs; in the process that starts the others, if there are others."""
    if ALONE and not hasattr(session.config, "workerinput"):
        session.config.stash[_FOUND] = Machine.now(whole=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the whole run if the machine is not as it was found."""
    if RUN == SESSION:
        shutil.rmtree(SHARED, ignore_errors=True)
    found = session.config.stash.get(_FOUND, None)
    left = found.left_by(Machine.now(whole=True)) if found is not None else {}
    if left:
        print(f"\nleft behind on the machine: {left}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def session_base() -> Iterator[Path]:
    """The directory of this session, on a tmpfs, and short, since it goes into the paths of sockets."""
    BASE.mkdir(mode=0o700)
    yield BASE
    shutil.rmtree(BASE, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def machine_left_as_found(session_base: Path) -> Iterator[None]:
    """Fails the session that leaves a process, mount, cgroup, network namespace or file behind."""
    os.environ[MARK] = SESSION
    before = Machine.now()
    yield
    left = before.left_by(Machine.now())
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
