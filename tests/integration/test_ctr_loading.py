"""What commands load: those that people put into loops load little."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, Daemon

PROGRAM = """
import sys
from pycontainerd.commands.ctr.app import run
code = run(sys.argv[1:])
sys.stdout.flush()
sys.stderr.write("LOADED " + " ".join(sys.modules) + "\\n")
sys.exit(code)
"""
HEAVY = {
    "asyncio",
    "click",
    "rich",
    "uvloop",
    "dataclasses_json",
    "grpc",
    "msgspec",
    "json",
    "subprocess",
    "tempfile",
    "ssl",
    "google.protobuf.text_format",
    "pickle",
}


@pytest.fixture(scope="module")
def daemon(session_base: Path, busybox_archive: Path) -> Iterator[Daemon]:
    with Daemon.start(OURS, session_base / "ctr-load") as started:
        started.ctr("images", "import", busybox_archive)
        started.ctr("containers", "create", IMAGE, "idle")
        yield started


def loaded_by(daemon: Daemon, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, env=daemon.env(), check=False
    )
    assert "LOADED" in done.stderr, done.stderr
    return set(done.stderr.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "words",
    [
        "version",
        "tasks ls -q",
        "tasks ls",
        "tasks kill idle",
        "tasks kill --help",
        "containers ls -q",
        "containers ls",
        "containers rm nope",
        "images ls -q",
        "images rm nope",
        "namespaces ls",
        "snapshots rm nope",
        "leases ls",
    ],
)
def test_a_command_for_loops_loads_little(daemon: Daemon, words: str) -> None:
    assert loaded_by(daemon, *words.split()) & HEAVY == set()


def test_a_command_loads_the_messages_of_its_services_only(daemon: Daemon) -> None:
    loaded = loaded_by(daemon, "tasks", "ls", "-q")
    services = {name.split(".")[4] for name in loaded if name.startswith("pycontainerd.api.containerd.services.")}
    assert services == {"tasks", "introspection"}


def test_a_command_loads_no_other_command(daemon: Daemon) -> None:
    loaded = loaded_by(daemon, "tasks", "ls", "-q")
    commands = {name for name in loaded if name.startswith("pycontainerd.commands.ctr.") and name.count(".") == 4}
    assert commands == {"pycontainerd.commands.ctr.tasks.list_"}


def test_even_a_run_loads_no_event_loop(daemon: Daemon) -> None:
    own = ("--fifo-dir", str(daemon.base / "fifo"), "--runc-root", str(daemon.base / "runc"))
    loaded = loaded_by(daemon, "run", *own, "--rm", IMAGE, "loads", "true")
    assert loaded & {"asyncio", "click", "rich", "uvloop", "grpc"} == set()


def test_help_and_completion_load_no_client(daemon: Daemon) -> None:
    for words in (("tasks", "kill", "--help"), ("run", "--generate-bash-completion")):
        loaded = loaded_by(daemon, *words)
        assert not any(name.startswith(("pycontainerd.client", "pycontainerd.rpc", "google")) for name in loaded)
