"""Calls of the Tasks service, one after the other, to our daemon and shim and to the stock ones: the same answers.

A story is a list of named calls; what is another in every run (pids, times, figures) is taken out of the answers.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from tests.conftest import IMAGE
from tests.harness.asking import OverSocket, outcome, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.harness.differences import deliberate
from tests.harness.fake_runc import FakeRunc
from tests.integration.tasks.house import REQUESTS

TASKS = tasks_pb2.DESCRIPTOR.services_by_name["Tasks"]
SNAPSHOTS = snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"]
LEASE: Final = "kept"
"""Keeps from the collector what is checkpointed."""
CRIU_TAR: Final = "application/vnd.containerd.container.criu.checkpoint.criu.tar"


def pack(message: Message) -> AnyMessage:
    return AnyMessage(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def document(kind: str, value: Any) -> AnyMessage:
    url = f"types.containerd.io/opencontainers/runtime-spec/1/{kind}"
    return AnyMessage(type_url=url, value=json.dumps(value).encode())


def process(*arguments: str, **changes: Any) -> AnyMessage:
    plain = {"args": arguments, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    return document("Process", plain | changes)


class Teller:
    """A daemon with containers, the calls that were made, and what came of them."""

    def __init__(self, daemon: Daemon, asker: OverSocket, runc: FakeRunc) -> None:
        self.daemon = daemon
        self.runc = runc
        self.said: list[tuple[str, str]] = []
        self._asker = asker
        self._fifos = 0

    def told(self, story: Callable[[Teller], None]) -> list[tuple[str, str]]:
        """What is said in *story*, which leaves no task; its containers are removed."""
        self.said = []
        story(self)
        self.daemon.ctr("containers", "rm", *self.daemon.ctr("containers", "ls", "-q").lines)
        self.runc.take()
        return self.said

    def add(self, id_: str, *command: str) -> None:
        """A container without a task."""
        own = ("--runc-root", self.daemon.base / "runc", "--runc-binary", self.runc.path)
        self.daemon.ctr("containers", "create", *own, IMAGE, id_, *command)

    def rootfs(self, id_: str) -> list[types_pb2.Mount]:
        request = snapshots_pb2.MountsRequest(snapshotter="overlayfs", key=id_)
        return list(self._asker.ask(SNAPSHOTS, "mounts", request, namespace=self.daemon.namespace).mounts)

    def fifo(self) -> str:
        """A fifo that is open for reading and writing, as clients have theirs."""
        self._fifos += 1
        path = self.daemon.base / f"fifo{self._fifos}"
        os.mkfifo(path)
        os.open(path, os.O_RDWR | os.O_NONBLOCK)
        return str(path)

    def __call__(self, method: str, container_id: str = "c", **fields: Any) -> str:
        """Makes a call, notes it, and returns what came of it."""
        if method not in {"list", "metrics"}:
            fields["container_id"] = container_id
        request = REQUESTS[method](**fields)
        text = outcome(self._asker, TASKS, method, request, namespace=self.daemon.namespace, lease=LEASE)
        if method == "list_pids":  # in the order of the pids, which may have begun anew
            text = "processes ".join(sorted(re.sub(r"pid: \d+", "pid: N", text).split("processes ")))
        shown = [f"{key}={value}" for key, value in fields.items() if isinstance(value, (str, int, bool))]
        self.said.append((f"{method} {self._plain(' '.join(shown))}", self._plain(text)))
        return text

    def delete_created(self) -> None:
        """Deletes a task that was never started, of whose end we tell more."""
        text = self("delete")
        if "exit_status" in text:
            assert self.daemon.kind is OURS, deliberate("created-end-told")
            self.said[-1] = self.said[-1][0], "pid: N\nexited_at {\n  seconds: N\n}\n"

    def _plain(self, text: str) -> str:
        text = text.replace("\xa0", " ")  # protobuf in Go chooses at random
        text = text.replace(str(self.daemon.base), "BASE").replace(self.daemon.namespace, "NAMESPACE")
        text = re.sub(r"\b(seconds|nanos|pid): -?\d+", r"\1: N", text)
        text = re.sub(r'value: ".*"', "value", text) if "cgroups" in text else text
        text = re.sub(r"usage: \d+", "usage: N", text)
        text = re.sub(r'(digest: )".*"', r"\1DIGEST", text)
        return text.replace(": exit status 1", "")


@contextmanager
def teller(kind: Kind, base: Path, archive: Path) -> Iterator[Teller]:
    open_before = set(os.listdir("/proc/self/fd"))
    with Daemon.start(kind, base) as daemon, over_socket(daemon.address) as asker:
        daemon.ctr("images", "import", archive)
        daemon.ctr("leases", "create", "--id", LEASE)
        try:
            yield Teller(daemon, asker, FakeRunc.make(daemon.base))
        finally:
            for fd in set(os.listdir("/proc/self/fd")) - open_before:
                if _is_fifo_of(fd, daemon.base):
                    os.close(int(fd))


def _is_fifo_of(fd: str, base: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(f"{base}/fifo")
    except FileNotFoundError:
        return False


def options_of_a_task(tell: Teller) -> None:
    """Options of runc, one by one, and what is none."""
    tell.add("c", "/bin/sleep", "1000")
    rootfs = tell.rootfs("c")
    root = str(tell.daemon.base / "runc")
    tell("create", options=AnyMessage(type_url="nope"))
    tell("create", options=pack(runc_pb2.ProcessDetails()))
    tell("create", options=AnyMessage(type_url="containerd.runc.v1.Options", value=b"\xff"))
    for changes in (
        {"no_pivot_root": True},
        {"no_new_keyring": True},
        {"io_uid": 7, "io_gid": 8},
        {"criu_work_path": str(tell.daemon.base / "work")},
    ):
        given: dict[str, Any] = {"root": root, "binary_name": str(tell.runc.path)} | changes
        tell("create", rootfs=rootfs, options=pack(runc_pb2.Options(**given)))
        tell.said.append((tell._plain(str(changes)), tell._plain(str([_command(line) for line in tell.runc.take()]))))
        tell.delete_created()
        tell.runc.take()
    tell("create", rootfs=rootfs, options=pack(runc_pb2.Options(root=root, binary_name="no-such-runc")))
    tell("create", rootfs=rootfs, runtime_path="/no/such/shim")
    tell("get")


def _command(line: str) -> str:
    return line.partition("--log-format json ")[2]


def checkpoints(tell: Teller) -> None:
    """Where a checkpoint may come from and go to."""
    tell.add("c", "/bin/sleep", "1000")
    rootfs = tell.rootfs("c")
    there = str(tell.daemon.base / "there")
    wrong = types_pb2.Descriptor(media_type="text/plain", digest="sha256:" + "1" * 64, size=3)
    absent = types_pb2.Descriptor(media_type=CRIU_TAR, digest="sha256:" + "1" * 64, size=3)
    tell("checkpoint")
    tell("checkpoint", "nope")
    tell("create", rootfs=rootfs, checkpoint=wrong)
    tell("create", rootfs=rootfs, checkpoint=absent)
    tell("create", rootfs=rootfs)
    tell("checkpoint")
    tell("start")
    tell("checkpoint", options=AnyMessage(type_url="nope"))
    tell("checkpoint", options=pack(runc_pb2.Options()))
    every = runc_pb2.CheckpointOptions(
        open_tcp=True,
        external_unix_sockets=True,
        terminal=True,
        file_locks=True,
        empty_namespaces=["network", "uts"],
        image_path=there,
        work_path=str(tell.daemon.base / "work"),
    )
    tell.runc.take()
    tell("checkpoint", options=pack(every))
    tell.said.append(("all options", tell._plain(str([_command(line) for line in tell.runc.take()]))))
    tell("pause")
    kept = tell("checkpoint")
    tell("resume")
    tell("get")
    tell("kill", signal=9)
    tell("wait")
    tell("checkpoint")
    tell("delete")
    options = runc_pb2.Options(
        root=str(tell.daemon.base / "runc"), binary_name=str(tell.runc.path), criu_image_path=there
    )
    tell("create", rootfs=rootfs, options=pack(options))
    for method in ("pause", "resume", "checkpoint"):
        tell(method)
    tell("update", resources=document("LinuxResources", {}))
    tell("exec", exec_id="e", spec=process("/bin/true"))
    tell("get")
    tell("start")
    tell("start")
    tell("list_pids")
    tell("kill", signal=9, all=True)
    tell("wait")
    tell("delete")
    annotated = types_pb2.Descriptor(media_type=CRIU_TAR, annotations={"RestoreFromPath": f"{there}-refused"})
    os.mkdir(f"{there}-refused")
    tell("create", rootfs=rootfs, checkpoint=annotated)
    tell("start")
    annotated.annotations["RestoreFromPath"] = there
    with tarfile.open(tell.daemon.base / "rootfs-diff.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("changed"))
    tell("create", rootfs=rootfs, checkpoint=annotated)
    tell("start")
    tell("get")
    tell("exec", exec_id="e", spec=process("/bin/cat", "/changed"))
    tell("start", exec_id="e")
    tell("wait", exec_id="e")
    tell("kill", signal=9)
    tell("wait")
    tell("delete")
    digest = re.search(r'digest: "(sha256:\w+)"', kept)
    assert digest is not None
    stored = types_pb2.Descriptor(media_type=CRIU_TAR, digest=digest[1], size=3584)
    tell("create", rootfs=rootfs, checkpoint=stored)
    tell("start")
    tell("kill", signal=9)
    tell("wait")
    tell("delete")


def execs(tell: Teller) -> None:
    """Many execs, some with terminals, with all that can be done to them."""
    tell.add("c", "/bin/sleep", "1000")
    tell("create", rootfs=tell.rootfs("c"))
    tell("exec", exec_id="early", spec=process("/bin/sleep", "1000"))
    tell("start", exec_id="early")
    tell("start")
    for number in range(8):
        name = f"e{number}"
        terminal = number % 2 == 0
        streams = {"stdout": tell.fifo(), "stderr": "" if terminal else tell.fifo()}
        tell("exec", exec_id=name, spec=process("/bin/sh", "-c", f"exit {number}"), terminal=terminal, **streams)
        tell("get", exec_id=name)
        tell("start", exec_id=name)
        tell("wait", exec_id=name)
        tell("get", exec_id=name)
        tell("resize_pty", exec_id=name, width=80, height=25)
        tell("close_io", exec_id=name, stdin=True)
        tell("start", exec_id=name)
    for number in range(8):
        tell("delete_process", exec_id=f"e{number}")
    tell("delete_process", exec_id="e0")
    stdin, stdout = tell.fifo(), tell.fifo()
    tell("exec", exec_id="t", spec=process("/bin/cat"), stdin=stdin, stdout=stdout, terminal=True)
    tell("start", exec_id="t")
    tell("resize_pty", exec_id="t", width=80, height=25)
    tell("resize_pty", exec_id="t", width=70000, height=70000)
    tell("delete_process", exec_id="t")
    tell("list_pids")
    tell("kill", exec_id="t", signal=9)
    tell("wait", exec_id="t")
    tell("delete_process", exec_id="t")
    tell("exec", exec_id="bad", spec=process("/bin/true", cwd="relative"))
    tell("start", exec_id="bad")
    tell("get", exec_id="bad")
    tell("exec", exec_id="user", spec=process("/bin/true", user={"uid": 4711, "gid": 1}))
    tell("start", exec_id="user")
    tell("wait", exec_id="user")
    tell("kill", exec_id="early", signal=0)
    tell("kill", signal=9)
    tell("wait", exec_id="early")
    tell("wait")
    tell("exec", exec_id="late", spec=process("/bin/true"))
    tell("get", exec_id="early")
    tell("delete")


def looks_and_limits(tell: Teller) -> None:
    """What is asked and changed of a task that runs."""
    for id_ in ("c", "d"):
        tell.add(id_, "/bin/sleep", "1000")
        tell("create", id_, rootfs=tell.rootfs(id_))
        tell("start", id_)
    namespace = tell.daemon.namespace
    for filters in (
        [],
        ["id==c"],
        ["id~=^[cd]$"],
        ["id!=c"],
        ["namespace==other"],
        [f"namespace=={namespace},id==d"],
        ["id==c", "id==d"],
        ["runtime==io.containerd.runc.v2"],
        ["id"],
        ["nope"],
        ["id=="],
        ["id===c"],
    ):
        text = tell("metrics", filters=filters)
        found = sorted(re.findall(r'^  id: "(\w)"', text, re.MULTILINE))
        tell.said[-1] = f"metrics {filters}".replace(namespace, "NAMESPACE"), str(found) if "cgroups" in text else text
    tell("update", resources=document("LinuxResources", {"pids": {"limit": 77}, "cpu": {"shares": 512}}))
    tell("update", resources=document("LinuxResources", {"memory": {"limit": 1}}), annotations={"a": "b"})
    wrong: tuple[Any, ...] = ({"memory": {"limit": "much"}}, [])
    for broken in wrong:
        text = tell("update", resources=document("LinuxResources", broken))
        tell.said[-1] = f"update {broken}", text.partition(":")[0]  # why JSON is none is said by another parser
    tell("list_pids")
    tell("close_io")
    tell("close_io", exec_id="nope")
    tell("close_io", exec_id="nope", stdin=True)
    tell("resize_pty", width=1, height=1)
    tell("get", exec_id="nope")
    tell("delete_process")
    tell("kill", signal=65)
    tell("pause")
    tell("kill", signal=15)
    tell("get")
    tell("update", resources=document("LinuxResources", {"pids": {"limit": 78}}))
    tell("resume")
    tell("kill", signal=9, all=True)
    tell("wait")
    tell("metrics", filters=["id==nope"])
    tell("delete")
    tell("delete")
    tell("kill", "d", signal=9)
    tell("wait", "d")
    tell("delete", "d")


STORIES: Final = (options_of_a_task, checkpoints, execs, looks_and_limits)


@pytest.fixture(scope="module")
def pair(session_base: Path, busybox_archive: Path) -> Iterator[tuple[Teller, Teller]]:
    """Our daemon and the stock one, for all stories."""
    with (
        teller(OURS, session_base / "co", busybox_archive) as ours,
        teller(STOCK, session_base / "cs", busybox_archive) as stock,
    ):
        yield ours, stock


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_calls_are_answered_as_by_the_original(pair: tuple[Teller, Teller], story: Callable[[Teller], None]) -> None:
    ours, stock = (tell.told(story) for tell in pair)
    for mine, theirs in zip(ours, stock, strict=True):
        assert mine == theirs
