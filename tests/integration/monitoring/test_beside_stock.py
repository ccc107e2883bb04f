"""The metrics of tasks at `/v1/metrics`: those of the stock daemon, name for name and label for label."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon, Kind


def listening_port() -> int:
    """A port that was free a moment ago: the original does not tell which one it has chosen by itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def asked(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/v1/metrics", timeout=60) as answer:
        body: bytes = answer.read()
    return body.decode()


def named(text: str) -> set[str]:
    """Names, help texts, types and labels of the metrics of tasks, without their values."""
    lines = [line for line in text.splitlines() if re.match(r"(# (HELP|TYPE) )?container_", line)]
    return {line if line.startswith("#") else line.rpartition(" ")[0] for line in lines}


def watched(kind: Kind, base: Path, archive: Path) -> tuple[set[str], set[str], str]:
    """What is told of a task that runs, and what when it is deleted."""
    port = listening_port()
    config = f"[plugins.'io.containerd.server.v1.metrics']\n  address = '127.0.0.1:{port}'"
    with Daemon.start(kind, base, config=config) as daemon:
        daemon.ctr("images", "import", archive)
        daemon.run("-d", IMAGE, "c", "/bin/sleep", "1000")
        running = asked(port)
        daemon.ctr("tasks", "rm", "-f", "c")
        deleted = asked(port)
        (plugin,) = [
            line for line in daemon.ctr("plugins", "ls").lines if line.startswith("io.containerd.monitor.task")
        ]
        return named(running.replace(daemon.namespace, "NAMESPACE")), named(deleted), " ".join(plugin.split())


def test_a_task_is_measured_as_by_the_original(scratch: Path, busybox_archive: Path) -> None:
    seen = {kind: watched(kind, scratch / str(kind), busybox_archive) for kind in (OURS, STOCK)}
    assert seen[OURS] == seen[STOCK]
    assert len(seen[OURS][0]) > 50
    assert not seen[OURS][1]
