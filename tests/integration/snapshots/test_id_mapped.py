"""Root file systems whose files show other owners than they have on disk, by mounts that map ids."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycontainerd.api.containerd.services.introspection import v1_pb2 as introspection_pb2
from tests.conftest import IMAGE
from tests.harness.asking import over_socket
from tests.harness.daemon import OURS, STOCK, Daemon, Kind, Result
from tests.harness.differences import deliberate

INTROSPECTION = introspection_pb2.DESCRIPTOR.services_by_name["Introspection"]
MAPS = ("--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536")
LOOK = "id -u; id -g; stat -c '%u:%g %n' / /bin /bin/busybox; echo x >/new; mkdir /bin/below; stat -c '%u:%g %n' /new"
SEEN = ["0", "0", "0:0 /", "0:0 /bin", "0:0 /bin/busybox", "0:0 /new"]


@pytest.fixture(autouse=True, scope="module")
def reachable(session_base: Path) -> Iterator[None]:
    """Users without rights can go through the directory of the session to their root file systems."""
    session_base.chmod(0o711)
    yield
    session_base.chmod(0o700)


@pytest.fixture(scope="module", params=[OURS, STOCK], ids=str)
def daemon(request: pytest.FixtureRequest, session_base: Path, busybox_archive: Path) -> Iterator[Daemon]:
    with Daemon.start(request.param, session_base / f"mapped-{request.param}") as started:
        started.ctr("images", "import", busybox_archive)
        yield started


def seen(daemon: Daemon, by: Kind, *flags: str) -> list[str]:
    """What a container in a user namespace sees, or why it doesn't."""
    result = looked(daemon, by, *flags)
    return result.lines if result.code == 0 else [result.err]


def looked(daemon: Daemon, by: Kind, *flags: str) -> Result:
    return daemon.run("--rm", *MAPS, *flags, IMAGE, "mapped", "sh", "-c", LOOK, by=by, check=False)


@pytest.mark.parametrize("by", [OURS, STOCK], ids=str)
@pytest.mark.parametrize("flags", [("--remap-labels",), ()], ids=["mapped mount", "files given away"])
def test_a_container_in_a_user_namespace_owns_its_files(daemon: Daemon, by: Kind, flags: tuple[str, ...]) -> None:
    assert seen(daemon, by, *flags) == SEEN


@contextmanager
def without_mapping(base: Path, *, slow_chown: bool, archive: Path, kind: Kind = OURS) -> Iterator[Daemon]:
    """A daemon with its snapshots on a file system that can't map ids."""
    place = base / "ramfs"
    place.mkdir()
    config = (
        "[plugins.'io.containerd.snapshotter.v1.overlayfs']\n"
        f"root_path = '{place}/overlayfs'\nslow_chown = {str(slow_chown).lower()}\n"
    )
    subprocess.run(["mount", "-t", "ramfs", "ramfs", place], check=True)
    try:
        with Daemon.start(kind, base / "d", config=config) as daemon:
            daemon.ctr("images", "import", archive)
            yield daemon
    finally:
        # The kernel may still be taking the container's mounts away.
        subprocess.run(["umount", "-l", place], check=True)


def capabilities(daemon: Daemon) -> list[str]:
    request = introspection_pb2.PluginsRequest(filters=["id==overlayfs"])
    with over_socket(daemon.address) as asker:
        (plugin,) = asker.ask(INTROSPECTION, "plugins", request, namespace="").plugins
    return list(plugin.capabilities)


def test_a_file_system_that_cant_map_ids_is_told(scratch: Path, busybox_archive: Path) -> None:
    assert deliberate("remap-ids-tried")
    with without_mapping(scratch, slow_chown=False, archive=busybox_archive) as daemon:
        assert capabilities(daemon) == ["only-remap-ids", "rebase"]
        for by in (OURS, STOCK):
            assert "doesn't support idmap mounts on this host" in looked(daemon, by, "--remap-labels").err


def test_files_are_given_away_where_ids_cant_be_mapped_if_that_is_allowed(scratch: Path, busybox_archive: Path) -> None:
    with without_mapping(scratch, slow_chown=True, archive=busybox_archive) as daemon:
        assert capabilities(daemon) == ["rebase"]
        for by in (OURS, STOCK):
            assert seen(daemon, by, "--remap-labels") == SEEN


def test_stock_tells_that_ids_can_be_mapped_wherever_its_files_lie(scratch: Path, busybox_archive: Path) -> None:
    with without_mapping(scratch, slow_chown=True, archive=busybox_archive, kind=STOCK) as daemon:
        assert capabilities(daemon) == ["remap-ids", "rebase"]
        assert "failed to prepare idmapped overlay" in looked(daemon, STOCK, "--remap-labels").err
