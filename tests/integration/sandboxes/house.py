"""A daemon with shims of tests (`program`), asked about sandboxes and the tasks in them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from tests.harness.asking import OverSocket, outcome, over_socket
from tests.harness.daemon import Daemon, Kind
from tests.integration.proxies.houses import Without

CONTROLLER: Final = sandbox_pb2.DESCRIPTOR.services_by_name["Controller"]
STORE: Final = sandbox_pb2.DESCRIPTOR.services_by_name["Store"]
CONTAINERS: Final = containers_pb2.DESCRIPTOR.services_by_name["Containers"]
TASKS: Final = tasks_pb2.DESCRIPTOR.services_by_name["Tasks"]
SPEC_URL: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
SHIMS: Final = (
    *("ttrpc3-proto", "ttrpc3-json", "ttrpc2-json", "ttrpc2-text", "ttrpc4-json", "grpc3-proto", "grpc3-json"),
    *("ttrpc1-json", "ttrpc3-fails", "ttrpc3-nothing", "ttrpc3-what"),
)
_TOP: Final = Path(__file__).parents[3]


@dataclass
class House:
    """A daemon, its clients, and the directory of its shims."""

    daemon: Daemon
    asker: OverSocket
    controller: str = "shim"
    """The id of the plugin that runs sandboxes."""

    def shim(self, kind: str) -> str:
        """The executable of a shim; see `program`."""
        return str(self.daemon.base / "shims" / f"containerd-shim-{kind}")

    def control(self, method: str, id_: str, *, sandboxer: str = "shim", **fields: Any) -> str:
        """What came of a call to the controller, without what differs from run to run."""
        request = getattr(sandbox_pb2, f"Controller{method.capitalize()}Request")
        return self._asked(CONTROLLER, method, request(sandbox_id=id_, sandboxer=sandboxer, **fields))

    def create(self, id_: str, kind: str = "ttrpc3-proto", **fields: Any) -> str:
        return self.control("create", id_, sandbox=self.sandbox(id_, kind), **fields)

    def sandbox(self, id_: str, kind: str = "ttrpc3-proto") -> types_pb2.Sandbox:
        """A sandbox whose shim is of *kind*, or of that runtime if it has a dot."""
        sandbox = types_pb2.Sandbox(sandbox_id=id_)
        sandbox.runtime.name = kind if "." in kind else self.shim(kind)
        sandbox.spec.type_url, sandbox.spec.value = SPEC_URL, b"{}"
        return sandbox

    def record(self, id_: str, kind: str = "ttrpc3-proto") -> None:
        """Stores the record of a sandbox."""
        answer = self._asked(STORE, "create", sandbox_pb2.StoreCreateRequest(sandbox=self.sandbox(id_, kind)))
        assert answer.startswith("sandbox {"), answer

    def container(self, id_: str, sandbox: str, kind: str = "ttrpc3-proto") -> None:
        """Stores the record of a container in a sandbox."""
        record = containers_pb2.Container(id=id_, sandbox=sandbox)
        record.runtime.name = self.shim(kind)
        record.spec.type_url, record.spec.value = SPEC_URL, b"{}"
        answer = self._asked(CONTAINERS, "create", containers_pb2.CreateContainerRequest(container=record))
        assert answer.startswith("container {"), answer

    def task(self, method: str, id_: str = "", **fields: Any) -> str:
        """What came of a call about a task."""
        names = {"create": "CreateTask", "delete": "DeleteTask", "list": "ListTasks"}
        request = getattr(tasks_pb2, f"{names.get(method, method.capitalize())}Request")
        which = {"container_id": id_} if id_ else {}
        return self._asked(TASKS, method, request(**which, **fields))

    def run_task(self, id_: str, **fields: Any) -> str:
        """Creates a task and starts it: what came of the first that failed, or of the start."""
        created = self.task("create", id_, **fields)
        return self.task("start", id_) if created.startswith("container_id") else created

    @property
    def namespace(self) -> str:
        return self.daemon.namespace

    def bundle(self, id_: str) -> Path:
        return self.daemon.state / f"io.containerd.sandbox.controller.v1.{self.controller}" / self.namespace / id_

    def task_bundle(self, id_: str) -> Path:
        return self.daemon.state / "io.containerd.runtime.v2.task" / self.namespace / id_

    def asked(self, id_: str) -> list[dict[str, Any]]:
        """What the shim of a sandbox was asked so far, without its own pid."""
        lines = [json.loads(self.plain(line)) for line in (self.bundle(id_) / "asked").read_text().splitlines()]
        return [{name: value for name, value in line.items() if name != "pid"} for line in lines]

    def shim_pid(self, id_: str) -> int:
        return int(json.loads((self.bundle(id_) / "asked").read_text().splitlines()[0])["pid"])

    def socket(self, group: str) -> Path:
        """Where a shim of a group serves."""
        return self.daemon.base / "k" / f"{self.namespace}-{group}"

    def _asked(self, contract: Any, method: str, request: Message) -> str:
        return self.plain(outcome(self.asker, contract, method, request, namespace=self.namespace))

    def plain(self, text: str) -> str:
        text = " ".join(text.split()).replace(str(self.daemon.base), "BASE").replace(self.namespace, "NAMESPACE")
        text = re.sub(r"\bpid: \d+", "pid: N", text)
        return re.sub(r"seconds: (?!17000)\d{10}( nanos: \d+)?", "seconds: NOW", text)


@contextmanager
def house(
    kind: Kind,
    base: Path,
    *,
    config: str = "",
    disabled: tuple[str, ...] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[House]:
    """A daemon of *kind* whose shims are those of tests, without the plugins that are *disabled*."""
    shims = base / "shims"
    shims.mkdir(parents=True)
    (base / "k").mkdir()
    for name in SHIMS:
        program = shims / f"containerd-shim-{name}"
        program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(_TOP)!r})\n"
            "from tests.integration.sandboxes.program import main\nmain()\n"
        )
        program.chmod(0o755)
    own = {"TEST_SHIM_SOCKETS": str(base / "k"), "CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1"}
    daemon = Without(kind, base, kind, extra_config=config, disabled=disabled, environment={**own, **environment})
    daemon.up()
    try:
        with over_socket(daemon.address) as asker:
            yield House(daemon, asker)
    finally:
        daemon.clear()


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    return os.path.exists(f"/proc/{pid}")
