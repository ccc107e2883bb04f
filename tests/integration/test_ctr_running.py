"""Running containers with ctr, beside the original on one daemon: output, exit codes, lives of processes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.busybox_image import busybox_layer
from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.integration.ctr_images import EMPTY, ODD, import_images
from tests.integration.ctr_oracle import Both, normal, record


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def both(request: pytest.FixtureRequest, session_base: Path, busybox_archive: Path) -> Iterator[Both]:
    """A daemon with three images."""
    with Daemon.start(request.param, session_base / f"ctr-run-{request.param}") as daemon:
        daemon.ctr("images", "import", busybox_archive)
        import_images(daemon)
        yield Both(daemon, IMAGE)


RUNS = [
    ["{image}", "{id}", "echo", "hello"],
    ["{image}", "{id}", "sh", "-c", "echo out; echo err >&2; exit 3"],
    ["{image}", "{id}", "sh", "-c", "kill -TERM $PPID; sleep 0; exit 1"],
    ["{image}", "{id}", "nosuch"],
    ["{image}", "{id}", "sh", "-c", "-t"],
    ["-t=false", "{image}", "{id}", "tty"],
    ["--null-io", "{image}", "{id}", "sh", "-c", "echo x; exit 2"],
    ["--log-uri", "nope", "{image}", "{id}", "true"],
    ["--user", "user", "{image}", "{id}", "id"],
    ["--user", "nobody", "{image}", "{id}", "id"],
    ["--cwd", "/nope", "{image}", "{id}", "pwd"],
    ["--env", "A=B", "--hostname", "host", "{image}", "{id}", "sh", "-c", "echo $A; hostname; pwd"],
    ["--read-only", "{image}", "{id}", "sh", "-c", "echo > /x"],
    ["--cpus", "1", "--cpu-quota", "4", "{image}", "{id}", "true"],
    ["--rlimit-nofile", "100:200", "{image}", "{id}", "sh", "-c", "ulimit -n; ulimit -Hn"],
    ["--rlimit-nofile", "x", "{image}", "{id}", "true"],
    ["--platform", "linux/s390x", "{image}", "{id}", "true"],
    ["--platform", "bogus", "{image}", "{id}", "true"],
    ["--snapshotter", "bogus", "{image}", "{id}", "true"],
    ["--snapshotter", "native", "{image}", "{id}", "echo", "native"],
    ["--runtime", "nope", "{image}", "{id}", "true"],
    ["--privileged-without-host-devices", "{image}", "{id}", "true"],
    ["--with-ns", "bogus:/x", "{image}", "{id}", "true"],
    ["--with-ns", "network", "{image}", "{id}", "true"],
    ["--uidmap", "0:1", "--gidmap", "0:1:1", "{image}", "{id}", "true"],
    ["--uidmap", "a:1:1", "--gidmap", "0:1:1", "{image}", "{id}", "true"],
    ["--device", "/dev/nope", "{image}", "{id}", "true"],
    ["--device", "/etc/passwd", "{image}", "{id}", "true"],
    ["--gpus", "0", "{image}", "{id}", "true"],
    ["--blockio-class", "x", "{image}", "{id}", "true"],
    ["--seccomp-profile", "/nope", "{image}", "{id}", "true"],
    ["--seccomp", "--seccomp-profile", "/nope", "{image}", "{id}", "true"],
    ["--apparmor-default-profile", "x", "--apparmor-profile", "y", "{image}", "{id}", "true"],
    ["--cap-add", "CHOWN", "{image}", "{id}", "true"],
    ["--annotation", "a", "{image}", "{id}", "true"],
    ["--mount", "", "{image}", "{id}", "true"],
    ["--mount", "type=x,foo=bar", "{image}", "{id}", "true"],
    ["--runc-systemd-cgroup", "{image}", "{id}", "true"],
    ["--runtime", "a.b.v1", "--runc-binary", "x", "{image}", "{id}", "true"],
    ["--env-file", "/nope", "{image}", "{id}", "true"],
    ["--user", "a:b:c", "{image}", "{id}", "true"],
    ["--user", "5000000000", "{image}", "{id}", "true"],
    [ODD, "{id}"],
    [ODD, "{id}", "echo", "args"],
    [EMPTY, "{id}", "env"],
    [EMPTY, "{id}"],
    ["nope", "{id}"],
    [],
    ["{image}"],
    ["--config", "/nope", "{id}"],
    ["--config", "/nope", "{id}", "x"],
    ["--detach", "{image}", "{id}"],
]


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_a_run_ends_as_the_original_s_does(both: Both, words: list[str]) -> None:
    # A run that fails may leave its snapshot; what the original leaves, a later run must not find.
    own = f"{{id}}-{RUNS.index(words)}"
    both.same("run", "--rm", *(word.replace("{id}", own) for word in words))


def test_a_directory_is_a_root_file_system(both: Both) -> None:
    root = both.daemon.base / "rootfs"
    with tarfile.open(fileobj=io.BytesIO(busybox_layer())) as layer:
        layer.extractall(root)
    records = []
    for program, name in ((STOCK, "name-s"), (OURS, "name-o")):
        flags = ("--rootfs", "--user", "user")
        result = both.daemon.run(*flags, root, name, "/bin/id", by=program)
        records.append((result.out, result.code, record(both.daemon, name)))
    assert records[1] == records[0]


def test_the_stored_spec_is_dumped(both: Both) -> None:
    dumped = []
    for program, name in ((STOCK, "name-s"), (OURS, "name-o")):
        file = both.daemon.base / f"dump-{name}"
        both.daemon.run("--rm", "--dump-config", file, IMAGE, name, "true", by=program)
        dumped.append(normal(file.read_text(), name))
    assert dumped[1] == dumped[0]


@pytest.fixture
def running(both: Both) -> Iterator[str]:
    """A container that runs."""
    both.daemon.run("-d", "--null-io", "--label", "x=y", IMAGE, "runs", "sleep", "1000")
    yield "runs"
    both.daemon.ctr("tasks", "rm", "-f", "runs", check=False)
    both.daemon.ctr("containers", "rm", "runs")


@pytest.mark.parametrize(
    "words",
    [
        ["{name}", "sh", "-c", "echo out; echo err >&2; exit 4"],
        ["--cwd", "/tmp", "{name}", "pwd"],
        ["--user", "user", "{name}", "id"],
        ["--user", "nobody", "{name}", "id"],
        ["{name}", "nosuch"],
        ["{name}"],
        ["--log-uri", "x", "--fifo-dir", "y", "{name}", "true"],
        ["--log-uri", "x", "--tty", "{name}", "true"],
    ],
    ids=" ".join,
)
def test_an_exec_ends_as_the_original_s_does(both: Both, running: str, words: list[str]) -> None:
    both.same("tasks", "exec", "--exec-id", "{id}", *(word.replace("{name}", running) for word in words))


def test_a_process_goes_through_its_life_alike(both: Both, running: str) -> None:
    exec_flags = ("--exec-id", "{id}")
    assert both.same("tasks", "exec", "-d", *exec_flags, running, "sleep", "1000").code == 0
    assert both.same("tasks", "kill", *exec_flags, running).code == 0
    assert both.same("tasks", "rm", *exec_flags, "--force", running).code in {143, 137}
    both.same("tasks", "rm", *exec_flags, running)


@pytest.mark.parametrize("program", [STOCK, OURS], ids=str)
def test_a_paused_task_is_listed_as_paused_until_it_is_resumed(both: Both, running: str, program: Kind) -> None:
    both.daemon.ctr("tasks", "pause", running, by=program)
    assert "PAUSED" in both.same("tasks", "ls").out
    both.same("tasks", "pause", running)
    both.daemon.ctr("tasks", "resume", running, by=program)
    assert "RUNNING" in both.same("tasks", "ls").out
