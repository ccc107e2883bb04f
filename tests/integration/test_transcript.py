"""The transcript that users know, with stock ctr and with ours, on our daemon and on the stock one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon, Kind


@pytest.fixture(params=[OURS, STOCK], ids=lambda kind: f"{kind} daemon")
def daemon(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Daemon]:
    with Daemon.start(request.param, scratch / "d") as started:
        yield started


@pytest.fixture(params=[OURS, STOCK], ids=lambda kind: f"{kind} ctr")
def client(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


def test_what_users_type(daemon: Daemon, client: Kind, busybox_archive: Path) -> None:
    def ctr(*arguments: str | Path) -> list[str]:
        return daemon.ctr(*arguments, by=client).lines

    ctr("images", "import", busybox_archive)
    assert IMAGE in ctr("images", "ls", "-q")
    assert daemon.run("--rm", IMAGE, "once", "echo", "hello", by=client).out == "hello\n"
    for name in ("one", "two", "three"):
        daemon.run("-d", IMAGE, name, "sleep", "1000", by=client)
    assert daemon.namespace in ctr("ns", "ls", "-q")
    assert ctr("-n", "moby", "containers", "ls") == ["CONTAINER    IMAGE    RUNTIME    "]
    assert ctr("-n", "k8s.io", "images", "ls", "-q") == []
    # Manifest, config and layer; the index of the archive as well until the next collection.
    assert len(ctr("content", "ls", "-q")) in (3, 4)
    tasks = sorted(ctr("task", "ls", "-q"))
    assert tasks == ["one", "three", "two"]
    for task in tasks[:2]:
        ctr("task", "kill", "--signal", "SIGKILL", task)
    ctr("task", "kill", "--signal", "9", tasks[2])
    for task in tasks:
        assert daemon.ctr("task", "attach", task, by=client, check=False).code == 137
    for container in ctr("c", "ls", "-q"):
        ctr("c", "rm", container)
    assert ctr("c", "ls", "-q") == []
    assert ctr("task", "ls", "-q") == []
