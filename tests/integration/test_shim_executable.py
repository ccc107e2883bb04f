"""The shim's program, called as daemons old and new call it, and as people do."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.shim import steps
from pycontainerd.shim.messages import ShimRequest, encode
from pycontainerd.spawner.client import BlockingClient
from pycontainerd.spawner.messages import Setting
from tests.harness import peers
from tests.harness.spawners import end_spawners, spawners
from tests.integration.shim_process import OURS, STOCK, ShimProcess, executable

DEFAULT_DIRECTORY = Path("/run/containerd/s")
PATH = peers.path_with(peers.STOCK)


def called(
    kind: str, *arguments: str, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(executable(kind)), *arguments], input=stdin, capture_output=True, env={"PATH": PATH}, cwd=cwd, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("-h",),
        ("--help",),
        ("-nonsense",),
        ("-id",),
        ("-debug=maybe", "start"),
        ("---id", "x"),
        ("start",),
        ("-id", "x", "delete"),
    ],
)
def test_both_programs_end_alike_for_bad_command_lines(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ours, stock = (called(kind, *arguments, cwd=tmp_path) for kind in (OURS, STOCK))
    assert (ours.returncode, ours.stdout) == (stock.returncode, stock.stdout)
    assert ours.stderr.splitlines()[:1] == [
        line.replace(str(executable(STOCK)).encode(), str(executable(OURS)).encode())
        for line in stock.stderr.splitlines()[:1]
    ]


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version_block_has_the_lines_of_the_original(flag: str) -> None:
    ours, stock = called(OURS, flag), called(STOCK, flag)
    assert ours.returncode == stock.returncode == 0
    lines = [line.decode().split(":")[0].strip() for line in ours.stdout.split(b"\n")]
    assert lines[1:] == ["Version", "Revision", "Python version", "", ""]
    assert b"v2.3.4+pycontainerd." in ours.stdout


def test_info_describes_the_runtime_as_the_original_does() -> None:
    options = runc_pb2.Options(binary_name="runc")
    given = AnyMessage(type_url=options.DESCRIPTOR.full_name, value=options.SerializeToString())
    ours, stock = (
        types_pb2.RuntimeInfo.FromString(called(kind, "-info", stdin=given.SerializeToString()).stdout)
        for kind in (OURS, STOCK)
    )
    assert ours.name == stock.name == "io.containerd.runc.v2"
    assert ours.options == stock.options
    assert ours.features.type_url == stock.features.type_url
    assert json.loads(ours.features.value).keys() == json.loads(stock.features.value).keys()


def test_info_without_a_runtime_has_no_features() -> None:
    options = runc_pb2.Options(binary_name="/nowhere/runc")
    given = AnyMessage(type_url=options.DESCRIPTOR.full_name, value=options.SerializeToString())
    info = types_pb2.RuntimeInfo.FromString(called(OURS, "-info", stdin=given.SerializeToString()).stdout)
    assert info.name == "io.containerd.runc.v2"
    assert not info.HasField("features")


def test_delete_of_what_is_not_there_answers_killed(scratch: Path) -> None:
    (scratch / "c1").mkdir()
    done = called(OURS, "-namespace", "x", "-id", "c1", "-bundle", str(scratch / "c1"), "delete", cwd=scratch / "c1")
    answer = task.DeleteResponse.FromString(done.stdout)
    assert (done.returncode, answer.pid, answer.exit_status) == (0, 0, 137)


@pytest.mark.parametrize("legacy", ["nothing", "options"])
def test_old_daemons_tell_by_flags_and_environment(scratch: Path, legacy: str) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        options = shim.options()
        message = AnyMessage(type_url=options.DESCRIPTOR.full_name, value=options.SerializeToString())
        stdin = message.SerializeToString() if legacy == "options" else b""
        shim.make_bundle("c2", shim.spec_of("c1"))
        done = shim.run_executable("c2", "start", stdin=stdin)
        result = bootstrap_pb2.BootstrapResult.FromString(done.stdout)
        assert (done.returncode, done.stderr, result.version) == (0, b"", 3)
        assert result.address.startswith(f"unix://{DEFAULT_DIRECTORY}/")
        first, shim.socket_path = shim.socket_path, Path(result.address.removeprefix("unix://"))

        async def body() -> None:
            await shim.call("shutdown", task.ShutdownRequest(id="c2"))
            while shim.socket_path.exists():
                await shim.loop.sleep(0.005)

        shim.run(body)
        shim.socket_path = first
        end_spawners(DEFAULT_DIRECTORY)


def test_the_bundle_has_what_the_original_leaves_there_and_a_journal(scratch: Path) -> None:
    seen = {}
    for kind in (OURS, STOCK):
        with ShimProcess.start(kind, scratch, "/bin/sleep", "1000") as shim:

            async def body(shim: ShimProcess = shim) -> None:
                await shim.create()
                await shim.begin()

            shim.run(body)
            files = {entry.name: entry.lstat().st_mode for entry in shim.bundle.iterdir()}
            options = json.loads((shim.bundle / "options.json").read_text())
            assert options == {"root": str(shim.base / "runc")}
            assert (shim.bundle / "runtime").read_text() == ""
            assert os.readlink(shim.bundle / "s") == str(shim.base / "s")
            seen[kind] = files
    assert seen[OURS].pop(steps.NAME) == stat.S_IFREG | 0o600
    assert seen[OURS] == seen[STOCK]


def test_a_shim_is_forked_from_the_spawner_of_the_socket_directory(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/true") as shim:
        assert len(spawners(shim.base / "s")) == 1


def test_a_second_shim_for_a_bundle_leaves_and_the_first_serves(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/true") as shim, socket.socket(socket.AF_UNIX) as listening:
        path = str(shim.base / "second")
        listening.bind(path)
        listening.listen()
        request = ShimRequest(shim.namespace, "c1", "", "", str(shim.bundle), path, env=shim.environment())
        with BlockingClient(str(shim.base / "s")) as spawner:
            second = spawner.start_shim(Setting.like_mine(), encode(request), [listening.fileno()])
        try:
            assert select.select([second.pidfd], [], [], 20)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(second.pidfd, signal.SIGKILL)
            os.close(second.pidfd)
        assert Path(path).exists()

        async def body() -> None:
            assert (await shim.call("connect", task.ConnectRequest(id="c1"))).shim_pid not in (0, second.pid)

        shim.run(body)


def test_a_shim_starts_where_no_spawner_can(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_spawner(self: ShimProcess) -> dict[str, str]:
        return before(self) | {"PYCONTAINERD_FAULT": "shim.spawner:fail"}

    before = ShimProcess.environment
    monkeypatch.setattr(ShimProcess, "environment", no_spawner)
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        assert spawners(shim.base / "s") == []

        async def body() -> None:
            await shim.create()
            await shim.begin()
            assert await shim.wait() == 3

        shim.run(body)


def test_a_socket_that_is_given_is_served_in_the_foreground(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        shim.make_bundle("c2", shim.spec_of("c1"))
        path = shim.base / "given"
        flags = ["-namespace", shim.namespace, "-id", "c2", "-address", "x", "-socket", str(path)]
        served = subprocess.Popen([str(executable(OURS)), *flags], env=shim.environment(), cwd=shim.bundle_of("c2"))
        first, shim.socket_path = shim.socket_path, path

        async def body() -> None:
            await shim.call("create", shim.create_request("c2"))
            await shim.call("start", task.StartRequest(id="c2"))
            assert (await shim.call("wait", task.WaitRequest(id="c2"))).exit_status == 3
            await shim.call("delete", task.DeleteRequest(id="c2"))
            await shim.call("shutdown", task.ShutdownRequest(id="c2"))

        while not path.exists():
            assert served.poll() is None
        shim.run(body)
        assert served.wait(30) == 0
        assert not path.exists()
        shim.socket_path = first
