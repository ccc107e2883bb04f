"""The spawner: what its children are, and how it is found, replaced and left."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.errors import InvalidArgument, Unavailable
from pycontainerd.spawner import starting
from pycontainerd.spawner.aio import Spawner
from pycontainerd.spawner.client import BlockingClient, Child
from pycontainerd.spawner.messages import SIZE_LIMIT, Setting
from pycontainerd.system.pidfd import ended
from tests.harness.spawners import end_spawners, spawners

ROLES = "tests.integration.spawner.roles:ROLES"
IDLE_S = 0.2


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


@pytest.fixture
def sockets(scratch: Path) -> Iterator[Path]:
    yield scratch / "s"
    end_spawners(scratch / "s")


@pytest.fixture
def client(sockets: Path) -> Iterator[BlockingClient]:
    with BlockingClient(str(sockets), roles=ROLES) as client:
        yield client


def work(client: BlockingClient, role: str, request: bytes = b"", setting: Setting | None = None) -> tuple[bytes, int]:
    """What a worker writes, and its exit status."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as output:
        child = client.start_worker(role, setting or Setting.like_mine(), request, [write])
        os.close(write)
        said = output.read()
    os.close(child.pidfd)
    return said, client.wait(child.pid)


def shim(client: BlockingClient, setting: Setting) -> tuple[Child, dict[str, Any], int]:
    """A running shim, what it says of itself, and a descriptor whose closing ends it."""
    read, write = os.pipe()
    held, hold = os.pipe()
    child = client.start_shim(setting, b"", [write, held])
    os.close(write)
    os.close(held)
    os.write(hold, b"!")  # who has forked it is gone by now
    with os.fdopen(read, "rb") as output:
        return child, json.loads(output.read()), hold


def wait_gone(child: Child) -> None:
    select.select([child.pidfd], [], [], 30)
    assert ended(child.pidfd)
    os.close(child.pidfd)


def test_a_worker_gets_its_request_and_its_status_is_told(client: BlockingClient) -> None:
    assert work(client, "echo", b"hello") == (b"hello", 5)


def test_a_child_finds_its_setting_and_nothing_of_the_spawner(
    client: BlockingClient, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    setting = Setting(
        Setting.like_mine(extra={"ONLY": "this"}).environment,
        directory=str(scratch),
        umask=0o27,
        title=("containerd-worker", "facts"),
        oom_raise=7,
        soft_limits={resource.RLIMIT_NOFILE: soft - 1},
    )
    said, status = work(client, "facts", setting=setting)
    found = json.loads(said)
    assert status == 0
    assert found["environment"]["ONLY"] == "this"
    assert "NOTIFY_SOCKET" not in found["environment"]
    assert (found["directory"], found["umask"]) == (str(scratch), 0o27)
    assert found["fds"] == [0, 1, 2, *found["given"]]
    assert found["stdio"] == ["/dev/null"] * 3
    assert found["session"]
    assert found["parent"] == spawners(scratch / "s")[0]
    assert found["oom"] == int(Path("/proc/self/oom_score_adj").read_text()) + 7
    assert found["title"] == "containerd-worker\0facts\0"
    assert found["name"] == "containerd-work\n"
    assert found["files"] == soft - 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == hard
    blocked, ignored = (int(line.split()[1], 16) for line in found["mask"])
    assert blocked == 0
    assert ignored & ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    assert (found["threads"], found["modules"]) == (1, False)


def test_a_shim_has_init_as_its_parent_and_stocks_title(client: BlockingClient) -> None:
    title = ("containerd-shim-runc-v2", "-namespace", "ns", "-id", "id" * 30, "-address", "/run/containerd/" + "x" * 80)
    child, found, hold = shim(client, Setting.like_mine(title=title))
    assert found["parent"] == 1
    assert found["title"] == "\0".join(title) + "\0"
    assert found["name"] == "containerd-shim\n"
    os.close(hold)
    wait_gone(child)


@pytest.mark.parametrize(("role", "status"), [("raise", 1), ("killed", 137)])
def test_how_a_worker_failed_is_told(client: BlockingClient, role: str, status: int) -> None:
    assert work(client, role) == (b"", status)
    assert work(client, "echo", b"still here")[1] == 10


@pytest.mark.parametrize(("role", "reason"), [("nope", "role 'nope' is not known"), ("gone", "No module named 'no'")])
def test_what_can_not_be_started_is_refused(client: BlockingClient, role: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        client.start_worker(role, Setting.like_mine(), b"", [])


def test_a_request_too_large_for_a_packet_is_not_sent(client: BlockingClient) -> None:
    with pytest.raises(InvalidArgument, match="larger than"):
        client.start_worker("echo", Setting.like_mine(), bytes(SIZE_LIMIT), [])


def test_a_killed_spawner_is_replaced_and_its_shims_live_on(client: BlockingClient, sockets: Path) -> None:
    child, _, hold = shim(client, Setting.like_mine())
    end_spawners(sockets)
    assert work(client, "echo", b"again") == (b"again", 5)
    assert not ended(child.pidfd)
    os.close(hold)
    wait_gone(child)


def test_starters_at_once_start_one(sockets: Path) -> None:
    clients = [BlockingClient(str(sockets), roles=ROLES) for _ in range(6)]
    results: list[tuple[bytes, int]] = []
    threads = [
        threading.Thread(target=lambda client=client: results.append(work(client, "echo", b"x"))) for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(b"x", 1)] * 6
    assert len(spawners(sockets)) == 1
    for each in clients:
        each.close()


def test_it_outlives_who_started_it_and_leaves_when_it_is_idle(sockets: Path) -> None:
    with BlockingClient(str(sockets), roles=ROLES, idle_s=IDLE_S) as client:
        child, _, hold = shim(client, Setting.like_mine())
        (pid,) = spawners(sockets)
        spawner = os.pidfd_open(pid)
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]
        assert parent == "1"
        path = Path(starting.socket_path(str(sockets), ROLES))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    select.select([spawner], [], [], 30)
    assert ended(spawner)
    os.close(spawner)
    assert not path.exists()
    assert not ended(child.pidfd)
    os.close(hold)
    wait_gone(child)


def test_a_spawner_that_leaves_answers_who_comes_at_that_moment(sockets: Path) -> None:
    """Each client comes about when the one before it has been away for the idle time."""
    for number in range(25):
        with BlockingClient(str(sockets), roles=ROLES, idle_s=0.01) as client:
            assert work(client, "echo", b"x" * number)[1] == number
        time.sleep(0.01)


def test_the_key_is_another_for_other_roles_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    one = starting.socket_path("/s", ROLES)
    assert one == starting.socket_path("/s", ROLES)
    assert one != starting.socket_path("/s", starting.DEFAULT_ROLES)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert one != starting.socket_path("/s", ROLES)


def test_the_asyncio_client_runs_many_at_once(sockets: Path) -> None:
    async def one(spawner: Spawner, number: int) -> int:
        null = os.open("/dev/null", os.O_WRONLY)
        try:
            async with spawner.worker("echo", Setting.like_mine(), b"x" * number, [null]) as worker:
                return await worker.wait()
        finally:
            os.close(null)

    async def all_() -> list[int]:
        async with Spawner(str(sockets), roles=ROLES) as spawner:
            return await asyncio.gather(*(one(spawner, number) for number in range(30)))

    assert asyncio.run(all_()) == list(range(30))


def test_requests_that_wait_for_room_are_all_answered(sockets: Path) -> None:
    async def one(spawner: Spawner) -> int:
        null = os.open("/dev/null", os.O_WRONLY)
        try:
            async with spawner.worker("size", Setting.like_mine(), bytes(SIZE_LIMIT // 2), [null]) as worker:
                return await worker.wait()
        finally:
            os.close(null)

    async def all_() -> list[int]:
        async with Spawner(str(sockets), roles=ROLES) as spawner:
            await spawner.connect()
            async with asyncio.timeout(30):
                return await asyncio.gather(*(one(spawner) for _ in range(20)))

    assert asyncio.run(all_()) == [SIZE_LIMIT // 2 // 1024] * 20


def test_leaving_the_block_kills_a_worker(sockets: Path) -> None:
    async def leave() -> int:
        held, hold = os.pipe()
        read, write = os.pipe()
        async with Spawner(str(sockets), roles=ROLES) as spawner:
            async with spawner.worker("shim", Setting.like_mine(), b"", [write, held]) as worker:
                os.close(write)
                os.write(hold, b"!")
                os.read(read, 1)
            status = await worker.wait()
        for descriptor in (held, hold, read):
            os.close(descriptor)
        return status

    assert asyncio.run(leave()) == 128 + signal.SIGKILL


def test_a_worker_whose_spawner_is_killed_ends_with_an_unknown_status(sockets: Path) -> None:
    async def kill() -> None:
        held, hold = os.pipe()
        read, write = os.pipe()
        async with (
            Spawner(str(sockets), roles=ROLES) as spawner,
            spawner.worker("shim", Setting.like_mine(), b"", [write, held]) as worker,
        ):
            os.close(write)
            os.write(hold, b"!")
            os.read(read, 1)
            end_spawners(sockets)
            with pytest.raises(Unavailable, match="not known"):
                await worker.wait()
        for descriptor in (held, hold, read):
            os.close(descriptor)

    asyncio.run(kill())


def test_a_spawner_without_free_descriptors_turns_others_away_and_lives_on(
    client: BlockingClient, sockets: Path
) -> None:
    assert work(client, "echo", b"first") == (b"first", 5)
    (pid,) = spawners(sockets)
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = []
    try:
        for _ in range(20):
            other = starting.connect(starting.socket_path(str(sockets), ROLES))
            assert other is not None
            held.append(other)
        held[-1].settimeout(60)
        assert held[-1].recv(1) == b""
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for other in held:
            other.close()
    assert work(client, "echo", b"again") == (b"again", 5)
