"""The set of modules of a shim is closed when it is forked: an upgrade of the package must not mix versions in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.shim.messages import ShimRequest, encode
from tests.integration.shim_process import OURS, ShimProcess
from tests.integration.test_shim_differences import SCENARIOS, Recorder, Scenario
from tests.integration.test_shim_streams import Fifo, logger

PROGRAM = """
import sys
from pycontainerd.shim import address, child

class Refuse:
    def find_spec(self, name, path=None, target=None):
        with open(sys.argv[2], "a") as file:
            file.write(name + "\\n")
        raise ImportError("refused: " + name)

child.warm()
listening = address.listen(sys.argv[1])
sys.meta_path.insert(0, Refuse())
sys.path_importer_cache.clear()
log = int(sys.argv[3])
sys.exit(child.main(sys.stdin.buffer.read(), [listening.detach(), log]))
"""


class ClosedShim(ShimProcess):
    """A shim whose imports are refused and noted."""

    process: subprocess.Popen[bytes]

    @property
    def imports(self) -> Path:
        return self.base / "imports"

    def run_start(self, id_: str) -> str:
        (self.base / "s").mkdir()
        path = self.base / "s" / "closed"
        log = os.open(self.bundle_of(id_) / "log", os.O_WRONLY)
        request = ShimRequest(
            namespace=self.namespace,
            id=id_,
            address=str(self.base / "grpc"),
            ttrpc_address=str(self.base / "events"),
            bundle=str(self.bundle_of(id_)),
            socket_path=str(path),
            env=self.environment(),
            debug=True,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path), str(self.imports), str(log)],
            stdin=subprocess.PIPE,
            env=self.environment(),
            pass_fds=[log],
        )
        os.close(log)
        assert self.process.stdin is not None
        self.process.stdin.write(encode(request))
        self.process.stdin.close()
        while not path.exists():
            assert self.process.poll() is None
        return f"unix://{path}"

    def clear(self) -> None:
        super().clear()
        assert self.process.wait(30) == 0


async def every_stream(shim: ShimProcess, record: Recorder) -> None:
    """Each kind of destination, used by execs."""
    await shim.create()
    await shim.begin()
    out, into = Fifo(shim, "out"), Fifo(shim, "in")
    out.open()
    program = logger(shim.base, "exec 5>&-")
    kinds: dict[str, dict[str, Any]] = {
        "fifo": {"stdout": str(out.path), "stdin": str(into.path)},
        "terminal": {"stdout": str(out.path), "stdin": str(into.path), "terminal": True},
        "silent": {"terminal": True},
        "file": {"stdout": f"file://{shim.base}/log/file"},
        "log": {"stdout": f"cri-log://{shim.base}/log/log?max-size=1", "stderr": "the same"},
        "logged": {"stdout": f"cri-log://{shim.base}/log/terminal", "terminal": True},
        "program": {"stdout": f"binary://{program}?a=b"},
        "programmed": {"stdout": f"binary://{program}", "terminal": True},
        "nowhere": {"stdout": f"{shim.base}/nowhere"},
        "unready": {"stdout": f"binary-v2://{program}"},
    }
    for name, fields in kinds.items():
        await record.exec(name, "/bin/echo", name, **fields)
        await record.start(name)
        await record.wait(name)
        await record.delete(name)
    out.close()


async def lost_daemon(shim: ShimProcess, record: Recorder) -> None:
    """Nobody takes the events, and a signal asks for a dump."""
    shim.stop_listening()
    await shim.create()
    await shim.begin()
    os.kill((await shim.call("connect", task.ConnectRequest(id="c1"))).shim_pid, signal.SIGUSR1)
    await shim.kill()
    await shim.wait()


@pytest.mark.parametrize(
    ("scenario", "arguments"),
    [*SCENARIOS, (every_stream, ("/bin/sleep", "1000")), (lost_daemon, ("/bin/sleep", "1000"))],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_call_and_no_error_imports_anything(scratch: Path, scenario: Scenario, arguments: tuple[str, ...]) -> None:
    with ClosedShim.start(OURS, scratch, *arguments) as shim:
        assert isinstance(shim, ClosedShim)
        record = Recorder(shim)

        async def body() -> None:
            await scenario(shim, record)

        shim.run(body)
        log = shim.log_of("c1")
        assert not shim.imports.exists(), (shim.imports.read_text(), log)
        assert "Traceback" not in log
