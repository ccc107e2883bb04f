"""Plugins that installed packages bring, in a daemon."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.harness import peers
from tests.harness.daemon import OURS, Daemon, end_processes_below
from tests.harness.machine import MARK, SESSION

START_S = 60


def install(site: Path, body: str) -> dict[str, str]:
    """A package with one plugin, `com.example.v1.mine`; returns the environment in which Python finds it."""
    info = site / "foreign-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text("[pycontainerd.plugins]\nmine = foreign:mine\n")
    (site / "foreign.py").write_text(
        "from pycontainerd.plugin.registration import plugin\n"
        "@plugin('com.example.v1', 'mine', requires=['io.containerd.event.v1'])\n"
        f"async def mine(init):\n{body}"
    )
    return {"PYTHONPATH": str(site)}


def test_a_plugin_of_an_installed_package_starts_with_the_daemon(scratch: Path) -> None:
    body = (
        "    init.exports['found'] = type(init.plugins.single('io.containerd.event.v1')).__name__\n    return 'mine'\n"
    )
    with Daemon.start(OURS, scratch / "d", environment=install(scratch / "site", body)) as daemon:
        told = daemon.ctr("plugins", "ls", "-d", "id==mine").out
    assert "com.example.v1" in told
    assert "Exchange" in told


def test_a_start_that_hangs_is_given_up_at_the_second_signal(scratch: Path) -> None:
    """The first one waits until the daemon has started, as in stock."""
    os.mkfifo(scratch / "reached")
    body = (
        f"    open({str(scratch / 'reached')!r}, 'w').close()\n    import asyncio\n    await asyncio.Event().wait()\n"
    )
    environment = os.environ | {MARK: SESSION} | install(scratch / "site", body)
    file = scratch / "c.toml"
    file.write_text(
        f"version = 4\nroot = '{scratch}/root'\nstate = '{scratch}/state'\n"
        f"[plugins.'io.containerd.shim.v1.manager']\nsocket_dir = '{scratch}/s'\n"
        f"[plugins.'io.containerd.internal.v1.opt']\npath = '{scratch}/opt'\n"
    )
    command = [str(peers.ours("containerd")), "--config", str(file), "--address", str(scratch / "x")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            with open(scratch / "reached") as reached:
                reached.read()
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            assert process.wait(START_S) == 0
        finally:
            process.kill()
            end_processes_below(scratch)
    assert not (scratch / "x").exists()
