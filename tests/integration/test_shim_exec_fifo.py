"""Starting a created container through its fifo: the same as `runc start` does, for the versions that are known."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.shim import exec_fifo
from pycontainerd.shim.exec_fifo import KnownRuntimes
from pycontainerd.shim.loop import Loop
from tests.harness import peers
from tests.harness.machine import SESSION
from tests.integration.shim_process import OURS, ShimProcess, make_rootfs, spec

RUNTIMES = [str(peers.STOCK / "runc"), "/usr/sbin/runc"]


class Created:
    """A container that a runtime has created, without a shim."""

    def __init__(self, runtime: str, base: Path, *arguments: str) -> None:
        self.runtime, self.root, self.id = runtime, base / "runc", "c1"
        bundle = base / "bundle"
        bundle.mkdir()
        value = spec(make_rootfs(base), f"/{SESSION}-fifo/{self.id}", *arguments)
        (bundle / "config.json").write_text(json.dumps(value))
        self.run("create", "--bundle", str(bundle), "--pid-file", str(base / "pid"), self.id)
        self.pid = int((base / "pid").read_text())

    @property
    def directory(self) -> Path:
        return self.root / self.id

    def run(self, *arguments: str) -> str:
        # Its output goes nowhere: what runc leaves behind would keep a pipe open.
        log = self.root.parent / "output"
        with log.open("wb") as output:
            command = [self.runtime, "--root", str(self.root), *arguments]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return log.read_text()

    def status(self) -> str:
        return str(json.loads(self.run("state", self.id))["status"])

    def release(self) -> bool:
        released: list[bool] = []

        async def main() -> None:
            released.append(await exec_fifo.release(loop, str(self.directory), self.pid))

        errors: list[BaseException] = []
        loop = Loop(lambda name, error: errors.append(error))
        loop.run(main())
        assert errors == []
        return released[0]


@pytest.fixture(params=RUNTIMES)
def created(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Created]:
    container = Created(request.param, scratch, "/bin/sleep", "1000")
    yield container
    container.run("delete", "--force", container.id)
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        with contextlib.suppress(FileNotFoundError):
            (hierarchy / f"{SESSION}-fifo").rmdir()


def test_a_released_container_runs_and_its_runtime_knows(created: Created) -> None:
    assert created.status() == "created"
    assert created.release()
    assert created.status() == "running"
    assert not (created.directory / "exec.fifo").exists()
    assert not created.release()


def test_one_whose_init_has_died_is_left_to_its_runtime(created: Created) -> None:
    descriptor = os.pidfd_open(created.pid)
    os.kill(created.pid, 9)
    os.close(descriptor)
    assert not created.release()
    assert (created.directory / "exec.fifo").exists()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_versions_that_are_known_are_told_from_others(tmp_path: Path, runtime: str) -> None:
    known = KnownRuntimes.learn(runtime)
    assert known.has(runtime)
    copy = tmp_path / "runc"
    shutil.copy(runtime, copy)
    assert not known.has(str(copy))
    assert not known.has(str(tmp_path / "nothing"))


@pytest.mark.parametrize("program", ["/bin/true", "/nowhere/runc", "/bin/false"])
def test_a_program_that_is_no_runc_is_not_known(program: str) -> None:
    assert KnownRuntimes.learn(program) == KnownRuntimes()


WRAPPER = """#!/bin/sh
echo "$@" >> {log}
exec {runc} "$@"
"""


def wrapper(base: Path) -> Path:
    """A runtime of an unknown version that notes how it is called."""
    path = base / "wrapped"
    path.write_text(WRAPPER.format(log=base / "calls", runc=RUNTIMES[0]))
    path.chmod(0o755)
    return path


def test_a_runtime_that_is_not_known_is_asked_to_start(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        program = wrapper(scratch)

        async def body() -> None:
            request: Any = shim.create_request()
            options = shim.options()
            options.binary_name = str(program)
            request.options.value = options.SerializeToString()
            await shim.call("create", request)
            await shim.begin()
            assert await shim.wait() == 3
            await shim.delete()

        shim.run(body)
        calls = (scratch / "calls").read_text().splitlines()
        assert [call.split(" json ")[1].split()[0] for call in calls] == ["create", "start", "delete"]


def test_a_container_with_poststart_hooks_is_started_by_its_runtime(scratch: Path) -> None:
    def hooked(value: dict[str, Any]) -> None:
        value["hooks"] = {"poststart": [{"path": "/bin/touch", "args": ["touch", str(scratch / "hooked")]}]}

    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3", edit=hooked) as shim:

        async def body() -> None:
            await shim.create()
            await shim.begin()
            assert await shim.wait() == 3

        shim.run(body)
        assert (scratch / "hooked").exists()


def test_a_container_that_dies_before_its_start_is_not_started(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sleep", "1000") as shim:

        async def body() -> None:
            await shim.create()
            await shim.kill()
            assert await shim.wait() == 137
            code, text = await shim.outcome("start", task.StartRequest(id=shim.id))
            assert (code, text) == ("code 2", "cannot start a stopped process")

        shim.run(body)
