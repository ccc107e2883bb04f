"""Running containers with ctr, beside the original on one daemon: output, exit codes, and the records that
are stored.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.busybox_image import busybox_layer, oci_archive
from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.integration.ctr_oracle import Both, normal

ODD = "example.local/odd:1"
EMPTY = "example.local/empty:1"


def upper_layer() -> bytes:
    """A layer that replaces /etc/group by a link out of the image, and hides a file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (
            ("etc/groups", b"root:x:0:\nuser:x:1000:user\nmore:x:7:user\nzero:x:9:\n"),
            ("etc/.wh.group", b""),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def linking_layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("etc/group")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/groups"
        tar.addfile(member)
    return out.getvalue()


@pytest.fixture(scope="module", params=[STOCK], ids=str)
def both(request: pytest.FixtureRequest, session_base: Path, busybox_archive: Path) -> Iterator[Both]:
    """A daemon with three images: a plain one, one of several layers whose config says everything, an empty
    one.
    """
    with Daemon.start(request.param, session_base / f"ctr-run-{request.param}") as daemon:
        base = daemon.base
        odd = oci_archive(
            ODD,
            [busybox_layer(), upper_layer(), linking_layer()],
            User="user",
            WorkingDir="/var",
            Entrypoint=["sh", "-c"],
            Cmd=["echo $A; pwd; id; exit 7"],
            Env=["A=1", "B=2", "PATH=/bin"],
            Labels={"of": "image", "containerd.io/reserved": "x"},
            StopSignal="SIGINT",
        )
        (base / "odd.tar").write_bytes(odd)
        (base / "empty.tar").write_bytes(oci_archive(EMPTY, [busybox_layer()], Cmd=None, Env=None))
        (base / "env").write_text("F=1\n\nF2\n# C=1\n#D=1\n A=3\nB=9=9\n")
        (base / "spec.json").write_text(daemon.ctr("oci", "spec").out)
        (base / "seccomp.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}')
        for archive in (busybox_archive, base / "odd.tar", base / "empty.tar"):
            daemon.ctr("images", "import", "--label", "from=record", archive)
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


SPECS = [
    [],
    ["--env", "A=9", "--env", "PATH=/q", "--env", "A=8", "--env", "B"],
    ["--env-file", "{base}/env"],
    ["--env-file", "{base}/env", "--env", "F", "--env", "B=7", "--env", "N=1"],
    ["--mount", "type=bind,src=/tmp,dst=/mnt,options=rbind:ro"],
    ["--mount", "type=tmpfs,dst=/run/", "--mount", "type=tmpfs,dst=/a", "--mount", "type=bind,dst=/a"],
    ["--mount", 'type=bind,"src=/a,b",dst=/x'],
    ["--mount", "type=tmpfs,destination=/x,options="],
    ["--read-only", "--cwd", "/tmp", "--hostname", "h", "--sandbox", "sb"],
    ["--user", "user"],
    ["--user", "1000"],
    ["--user", "4242"],
    ["--user", "1000:10"],
    ["--user", "user:root"],
    ["--user", ":10"],
    ["--user", "1000:"],
    ["--user", ""],
    ["--tty", "--env", "TERM=vt100"],
    ["--net-host", "--mount", "type=tmpfs,dst=/etc/hosts"],
    ["--label", "l=m", "--label", "bare", "--annotation", "z=<&>", "--annotation", "a=b"],
    ["--privileged"],
    ["--privileged", "--seccomp", "--device", "/dev/null", "--cap-drop", "CAP_KILL"],
    ["--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_KILL", "--cap-add", "CAP_BOGUS"],
    ["--cap-add", "CAP_CHOWN", "--cap-add", "CAP_BPF", "--cap-add", "CAP_BPF", "--seccomp"],
    ["--seccomp"],
    ["--seccomp", "--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_SYS_CHROOT", "--cap-add", "CAP_SYS_TIME"],
    ["--seccomp", "--seccomp-profile", "{base}/seccomp.json"],
    ["--apparmor-profile", "profile"],
    ["--allow-new-privs=false"],
    ["--memory-limit", "100000000"],
    ["--memory-limit", "0x100000"],
    ["--cpu-quota", "5000", "--cpu-period", "10000"],
    ["--cpu-period", "10000"],
    ["--with-ns", "network:/proc/1/ns/net", "--with-ns", "user:/y", "--with-ns", "pid:/x"],
    ["--rootfs-propagation", "shared", "--rdt-class", "c"],
    ["--device", "/dev/net", "--device", "/dev/zero"],
    ["--snapshotter-label", "a=b"],
    ["--runc-binary", "runc", "--runc-root", "/x"],
    ["--runtime", "io.foo.v1", "--runtime-config-path", "/x"],
    ["--no-pivot", "--pid-file", "/nope/x"],
]

RUN_SPECS = [
    ["--cpus", "0.123456"],
    ["--cpuset-cpus", "0", "--cpuset-mems", "0", "--cpu-shares", "512"],
    ["--cpu-shares", "0"],
    ["--cgroup", "/{id}"],
    ["--cgroup", ""],
    ["--rlimit-nofile", "100:200"],
    ["--privileged", "--privileged-without-host-devices"],
    ["--uidmap", "0:1000:10"],
]


def record(daemon: Daemon, name: str) -> Any:
    """The record of a container, which is removed."""
    text = normal(daemon.ctr("containers", "info", name).out, name)
    daemon.ctr("containers", "rm", name)
    return json.loads(text)


@pytest.mark.parametrize("image", [IMAGE, ODD])
@pytest.mark.parametrize("flags", SPECS, ids=" ".join)
def test_create_stores_the_record_of_the_original(both: Both, flags: list[str], image: str) -> None:
    daemon, words = both.daemon, [flag.replace("{base}", str(both.daemon.base)) for flag in flags]
    records = []
    for program, name in ((STOCK, "name-s"), (OURS, "name-o")):
        daemon.ctr("containers", "create", *words, image, name, "true", by=program)
        records.append(record(daemon, name))
    assert records[1] == records[0]


@pytest.mark.parametrize("flags", RUN_SPECS, ids=" ".join)
def test_run_stores_the_record_of_the_original(both: Both, flags: list[str]) -> None:
    daemon = both.daemon
    records = []
    for program, name in ((STOCK, "name-s"), (OURS, "name-o")):
        words = [flag.replace("{id}", f"{daemon.namespace}-{name}") for flag in flags]
        daemon.run("--null-io", *words, IMAGE, name, "true", by=program)
        records.append(record(daemon, name))
    assert records[1] == records[0]


def test_a_spec_from_a_file_is_stored_as_the_original_stores_it(both: Both) -> None:
    records = []
    for program, name in ((STOCK, "name-s"), (OURS, "name-o")):
        both.daemon.ctr(
            "containers", "create", "--config", both.daemon.base / "spec.json", "--label", "a=b", name, by=program
        )
        records.append(record(both.daemon, name))
    assert records[1] == records[0]


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
