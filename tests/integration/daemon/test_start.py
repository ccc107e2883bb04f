"""How the daemon starts, refuses to start, and stops."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd.events_pb2 import TaskOOM
from tests.harness import peers
from tests.harness.daemon import OURS, STOCK, Daemon, Kind, end_processes_below, remove_cgroups_of
from tests.harness.machine import MARK, SESSION

START_S = 60


def modes(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.lstat().st_mode) for path in paths]


def refused(base: Path, config: str, *words: str) -> str:
    """Starts a daemon that must not start, and returns the last line that it says."""
    base.mkdir(exist_ok=True)
    file = base / "refused.toml"
    file.write_text(config)
    command = [str(peers.ours("containerd")), "--config", str(file), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=START_S, env=environment(base), check=False, cwd=base
        )
    finally:
        end_processes_below(base)
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()[-1]


def environment(base: Path) -> dict[str, str]:
    """The environment of a daemon, by which what it leaves is found."""
    return os.environ | {MARK: SESSION, "CONTAINERD_ADDRESS": str(base / "x.sock")}


def config(base: Path, extra: str = "", **top: str) -> str:
    """A configuration whose directories lie below *base*."""
    words = {"root": str(base / "root"), "state": str(base / "state")} | top
    lines = "\n".join(f"{key} = '{value}'" for key, value in words.items())
    return (
        f"version = 4\n{lines}\n[plugins.'io.containerd.server.v1.grpc']\naddress = '{base}/x.sock'\n"
        f"[plugins.'io.containerd.server.v1.ttrpc']\naddress = '{base}/x.sock.ttrpc'\n"
        f"[plugins.'io.containerd.shim.v1.manager']\nsocket_dir = '{base}/s'\n"
        f"[plugins.'io.containerd.internal.v1.opt']\npath = '{base}/opt'\n{extra}"
    )


def test_directories_and_sockets_have_the_modes_of_stock(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        ttrpc = Path(f"{daemon.address}.ttrpc")
        assert modes(daemon.root, daemon.state, daemon.address, ttrpc) == [0o700, 0o711, 0o660, 0o660]
        assert modes(daemon.root / "tmpmounts") == [0o700]


def test_the_process_is_found_by_its_name(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        found = subprocess.run(["pidof", "containerd"], capture_output=True, text=True, check=True).stdout.split()
        assert str(daemon.pid) in found
        assert Path(f"/proc/{daemon.pid}/comm").read_text() == "containerd\n"
        words = Path(f"/proc/{daemon.pid}/cmdline").read_bytes().split(b"\0")
        assert os.path.basename(words[0]) == b"containerd"
        assert words[1] == b"--config"


def test_a_second_daemon_on_a_living_socket_is_refused_and_the_first_goes_on(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        said = refused(scratch / "second", config(scratch / "second"), "--address", str(daemon.address))
        assert said == f"containerd: {daemon.address} is served by a living daemon"
        assert "Server:" in daemon.ctr("version").out
    assert not (scratch / "second" / "root").exists()


def test_a_daemon_of_ours_does_not_take_the_socket_of_stock(scratch: Path) -> None:
    with Daemon.start(STOCK, scratch / "d") as daemon:
        said = refused(scratch / "second", config(scratch / "second"), "--address", str(daemon.address))
        assert said == f"containerd: {daemon.address} is served by a living daemon"
        assert "Server:" in daemon.ctr("version").out


def test_two_daemons_never_share_a_root(scratch: Path) -> None:
    limit = "[timeouts]\n'io.containerd.timeout.bolt.open' = '50ms'\n"
    with Daemon.start(OURS, scratch / "d") as daemon:
        said = refused(scratch / "second", config(scratch / "second", limit, root=str(daemon.root)))
        assert said == f"containerd: {daemon.root}: another daemon has this root"


def test_a_daemon_waits_for_the_root_and_takes_it_when_it_is_free(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as first:
        base = scratch / "second"
        base.mkdir()
        (base / "c.toml").write_text(config(base, root=str(first.root)))
        with supervised(base, "--config", str(base / "c.toml")) as (process, states):
            first.stop()
            assert states.recv(100) == b"READY=1"
            process.send_signal(signal.SIGTERM)
            assert process.wait(START_S) == 0


def test_after_a_kill_the_next_daemon_takes_the_socket_over(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        daemon.kill()
        assert daemon.address.is_socket()
        daemon.up()
        assert "Server:" in daemon.ctr("version").out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_daemon_and_its_sockets_go(scratch: Path, number: signal.Signals) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        assert daemon.signal(number) == 0
        assert not daemon.address.exists()
        assert not Path(f"{daemon.address}.ttrpc").exists()


def test_the_service_manager_hears_of_start_and_stop(scratch: Path) -> None:
    (scratch / "c.toml").write_text(config(scratch))
    with supervised(scratch, "--config", str(scratch / "c.toml")) as (process, states):
        assert states.recv(100) == b"READY=1"
        assert (scratch / "x.sock").is_socket()
        process.send_signal(signal.SIGTERM)
        assert states.recv(100) == b"STOPPING=1"
        assert process.wait(START_S) == 0


@contextmanager
def supervised(base: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A daemon of ours, and the socket on which it tells its supervisor how it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as states:
        states.bind(str(base / "notify"))
        states.settimeout(START_S)
        command = [str(peers.ours("containerd")), *words]
        environ = environment(base) | {"NOTIFY_SOCKET": str(base / "notify")}
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
            try:
                yield process, states
            finally:
                process.kill()
                end_processes_below(base)


def test_a_user_signal_writes_the_stacks(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d", environment={"TMPDIR": str(scratch)}) as daemon:
        written = scratch / f"containerd.{daemon.pid}.stacks.log"
        os.kill(daemon.pid, signal.SIGUSR1)
        # The answer to a call that was sent after the signal comes after it was handled.
        daemon.ctr("version")
        assert "MainThread" in written.read_text()
        assert "=== BEGIN stack dump ===" in daemon.log.read_text()


def test_a_broken_pipe_kills_nobody(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d") as daemon:
        os.kill(daemon.pid, signal.SIGPIPE)
        assert "Server:" in daemon.ctr("version").out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root = [", "containerd: failed to load TOML from {file}: failed to unmarshal TOML at row 1 column 9: "),
        (
            "version = 4\nroot = 3",
            "containerd: failed to load TOML from {file}: root: expected a string, got an integer",
        ),
        (
            "version = 4\n[plugins.'io.containerd.gc.v1.scheduler']\nschedule_delay = '5'",
            "containerd: failed to load TOML from {file}: plugins.'io.containerd.gc.v1.scheduler'.schedule_delay: ",
        ),
        ("version = 4\nimports = ['gone.toml']", "containerd: open {base}/gone.toml: no such file or directory"),
        ("version = 4\n[debug]\nlevel = 'loud'", 'containerd: not a valid logrus Level: "loud"'),
        ("version = 4\n[debug]\nformat = 'xml'", "containerd: unknown log format: xml"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(scratch: Path, text: str, said: str) -> None:
    wanted = said.format(file=scratch / "refused.toml", base=scratch)
    assert refused(scratch, text, "--root", str(scratch / "r"), "--state", str(scratch / "s")).startswith(wanted)
    assert not (scratch / "r").exists()


def test_root_and_state_must_differ(scratch: Path) -> None:
    said = refused(scratch, config(scratch, root=str(scratch / "x"), state=str(scratch / "x")))
    assert said == "containerd: root and state must be different paths"


@pytest.mark.parametrize("name", ["root", "state", "temp"])
def test_a_directory_that_is_a_file_is_refused_by_its_name(scratch: Path, name: str) -> None:
    (scratch / "file").write_text("")
    assert refused(scratch, config(scratch, **{name: str(scratch / "file")})) == (
        f"containerd: mkdir {scratch}/file: not a directory"
    )


def test_a_root_that_is_read_only_is_refused(scratch: Path) -> None:
    readonly = scratch / "ro"
    readonly.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", readonly], check=True)
    try:
        assert refused(scratch, config(scratch, root=str(readonly))) == (
            f"containerd: chmod {readonly}: read-only file system"
        )
        assert refused(scratch, config(scratch, root=str(readonly / "below"))) == (
            f"containerd: mkdir {readonly}/below: read-only file system"
        )
    finally:
        subprocess.run(["umount", readonly], check=True)


def test_an_address_that_is_no_socket_is_refused(scratch: Path) -> None:
    (scratch / "file").write_text("precious")
    said = refused(scratch, config(scratch), "--address", str(scratch / "file"))
    assert said.startswith(f"containerd: failed to get listener for main endpoint: {scratch}/file: is there and")
    assert (scratch / "file").read_text() == "precious"


def test_a_required_plugin_that_does_not_start_ends_the_start(scratch: Path) -> None:
    uri = "io.containerd.snapshotter.v1.devmapper"
    said = refused(scratch, f"required_plugins = ['{uri}']\n" + config(scratch))
    assert said.startswith(f"containerd: load required plugin {uri}: ")
    assert said.endswith("skip plugin")


def test_a_required_plugin_that_does_not_exist_is_named(scratch: Path) -> None:
    said = refused(scratch, "required_plugins = ['com.example.v1.x']\n" + config(scratch))
    assert said == "containerd: required plugin [com.example.v1.x] not included"


def test_the_log_can_be_json(scratch: Path) -> None:
    with Daemon.start(OURS, scratch / "d", config="[debug]\nformat = 'json'\nlevel = 'debug'\n") as daemon:
        daemon.stop()
        lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert {"level": "info", "msg": "starting containerd"}.items() <= lines[0].items()
    assert any(line["msg"].startswith("containerd successfully booted in ") for line in lines)


def test_the_daemon_joins_its_cgroup_and_sets_its_oom_score(scratch: Path) -> None:
    name = f"{SESSION}-daemon"
    file = scratch / "c.toml"
    file.write_text("oom_score = 7\n" + config(scratch, f"[cgroup]\npath = '/{name}'\n"))
    try:
        with supervised(scratch, "--config", str(file)) as (process, states):
            assert states.recv(100) == b"READY=1"
            assert f":/{name}\n" in Path(f"/proc/{process.pid}/cgroup").read_text()
            assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "7\n"
    finally:
        remove_cgroups_of(name)


@pytest.mark.parametrize("kind", [STOCK, OURS], ids=str)
def test_an_event_is_published_from_the_command_line(scratch: Path, kind: Kind) -> None:
    payload = TaskOOM(container_id="c1").SerializeToString()
    event = Any(type_url="containerd.events.TaskOOM", value=payload).SerializeToString()
    with Daemon.start(kind, scratch / "d") as daemon:
        words = ["--address", str(daemon.address), "publish", "--namespace", "n", "--topic", "/tasks/oom"]
        with subprocess.Popen([peers.stock("ctr"), "events"], stdout=subprocess.PIPE, env=daemon.env()) as follower:
            assert follower.stdout is not None
            seen = b""
            try:
                while b"c1" not in seen:
                    # The follower may not have subscribed yet: events go on until it has seen one.
                    subprocess.run([peers.ours("containerd"), *words], input=event, check=True)
                    if select.select([follower.stdout], [], [], 0.2)[0]:
                        seen += os.read(follower.stdout.fileno(), 4096)
            finally:
                follower.kill()
    assert b" n /tasks/oom " in seen
