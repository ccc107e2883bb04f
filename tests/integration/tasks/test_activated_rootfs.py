"""A task on mounts that only the mount manager can make: the same against stock, which is right, and ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.runc import v1_pb2 as runc
from pycontainerd.api.containerd.services.containers import v1_pb2 as cs
from pycontainerd.api.containerd.services.mounts import v1_pb2 as mt
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tk
from pycontainerd.api.containerd.types_pb2 import Mount
from pycontainerd.errors import NotFound, Unknown
from tests.harness.asking import OverSocket, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon

CONTAINERS: Final = cs.DESCRIPTOR.services_by_name["Containers"]
MOUNTS: Final = mt.DESCRIPTOR.services_by_name["Mounts"]
TASKS: Final = tk.DESCRIPTOR.services_by_name["Tasks"]
SPEC: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"


class House:
    """A daemon with a root file system to run from."""

    def __init__(self, daemon: Daemon, asker: OverSocket) -> None:
        self.daemon = daemon
        self._asker = asker
        self.root = daemon.base / "rootfs"
        for name in ("bin", "proc", "dev"):
            (self.root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.root / "bin")

    def ask(self, service: Any, method: str, request: Any) -> Any:
        return self._asker.ask(service, method, request, namespace=self.daemon.namespace)

    def container(self, id_: str) -> None:
        spec = json.loads(self.daemon.ctr("oci", "spec").out)
        spec["process"] |= {"args": ["/bin/busybox", "sleep", "100"], "terminal": False}
        spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] in ("/proc", "/dev")]
        spec["linux"]["cgroupsPath"] = f"/{self.daemon.namespace}/{id_}"
        spec["root"] = {"path": "rootfs"}
        options = runc.Options(root=str(self.daemon.base / "runc")).SerializeToString()
        runtime = cs.Container.Runtime(
            name="io.containerd.runc.v2", options=AnyMessage(type_url="containerd.runc.v1.Options", value=options)
        )
        packed = AnyMessage(type_url=SPEC, value=json.dumps(spec).encode())
        record = cs.Container(id=id_, runtime=runtime, spec=packed)
        self.ask(CONTAINERS, "create", cs.CreateContainerRequest(container=record))

    def create(self, id_: str, source: str) -> None:
        """Makes a task on a bind of the root and a second one, whose source is a template."""
        self.container(id_)
        mounts = [
            Mount(type="bind", source=str(self.root), options=["rbind"]),
            Mount(type="format/bind", source=source, options=["rbind"]),
        ]
        self.ask(TASKS, "create", tk.CreateTaskRequest(container_id=id_, rootfs=mounts))

    def activation(self, name: str) -> Any:
        return self.ask(MOUNTS, "info", mt.InfoRequest(name=name)).info

    def end(self, id_: str) -> None:
        self.ask(TASKS, "kill", tk.KillRequest(container_id=id_, signal=9))
        self.ask(TASKS, "wait", tk.WaitRequest(container_id=id_))
        self.ask(TASKS, "delete", tk.DeleteTaskRequest(container_id=id_))


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def house(request: pytest.FixtureRequest, session_base: Path) -> Iterator[House]:
    with (
        Daemon.start(request.param, session_base / f"ar-{request.param}") as daemon,
        over_socket(daemon.address) as asker,
    ):
        yield House(daemon, asker)


def test_the_mounts_are_made_for_the_container_and_end_with_the_task(house: House) -> None:
    house.create("run", "{{ mount 0 }}")
    activation = house.activation("run")
    assert dict(activation.labels) == {"containerd.io/gc.bref.container": "run"}
    assert [mount.source for mount in activation.system] == [activation.active[0].mount_point]
    assert (Path(activation.active[0].mount_point) / "bin" / "busybox").exists()
    house.ask(TASKS, "start", tk.StartRequest(container_id="run"))
    house.end("run")
    with pytest.raises(NotFound):
        house.activation("run")
    assert not Path(activation.active[0].mount_point).exists()


def test_mounts_that_are_active_already_are_used(house: House) -> None:
    mounts = [
        Mount(type="bind", source=str(house.root), options=["rbind"]),
        Mount(type="format/bind", source="{{ mount 0 }}", options=["rbind"]),
    ]
    house.ask(MOUNTS, "activate", mt.ActivateRequest(name="active", mounts=mounts))
    house.create("active", "{{ mount 7 }}")
    house.ask(TASKS, "start", tk.StartRequest(container_id="active"))
    house.end("active")
    with pytest.raises(NotFound):
        house.activation("active")


@pytest.mark.parametrize(
    ("id_", "source", "text"),
    [
        ("template", "{{ mount 7 }}", "index out of bounds: 7"),
        ("missing", "{{ mount 0 }}/nope", "failed to create shim"),
    ],
)
def test_a_task_that_fails_leaves_no_mounts(id_: str, source: str, text: str, house: House) -> None:
    with pytest.raises(Unknown, match=text):
        house.create(id_, source)
    with pytest.raises(NotFound):
        house.activation(id_)
