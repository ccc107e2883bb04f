"""Daemons and a root file system for tests that speak as users do, with stock ctr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon import OURS, Daemon
from tests.integration.tasks.house import Place


@pytest.fixture(scope="session")
def rootfs(session_base: Path) -> Path:
    """A root file system of static busybox."""
    return Place(session_base / "busybox", "unused").rootfs()


@pytest.fixture
def daemon(scratch: Path) -> Iterator[Daemon]:
    """A daemon of ours."""
    quiet = {"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1"}
    with Daemon.start(OURS, scratch / "d", environment=quiet) as started:
        yield started
    remove_runc_root(started)


def remove_runc_root(daemon: Daemon) -> None:
    """ctr gives a runtime that is named by its path no options, so that runc's state is at its default place."""
    default = Path("/run/containerd/runc", daemon.namespace)
    if default.exists():
        default.rmdir()
