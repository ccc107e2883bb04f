"""The records that ctr makes of flags and images, beside the original's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.ctr_images import ODD, import_images
from tests.integration.ctr_oracle import Both, record


@pytest.fixture(scope="module")
def both(session_base: Path, busybox_archive: Path) -> Iterator[Both]:
    """A daemon with images and files; whose it is does not matter to a record."""
    with Daemon.start(STOCK, session_base / "ctr-specs") as daemon:
        base = daemon.base
        (base / "env").write_text("F=1\n\nF2\n# C=1\n#D=1\n A=3\nB=9=9\n")
        (base / "spec.json").write_text(daemon.ctr("oci", "spec").out)
        (base / "seccomp.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}')
        daemon.ctr("images", "import", "--label", "from=record", busybox_archive)
        import_images(daemon)
        yield Both(daemon, IMAGE)


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
