"""Shims as executables."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.errors import Unknown
from pycontainerd.runtime import executable
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.runtime.model import Exit

ABOUT = Surroundings(
    address="/a", ttrpc_address="/a.ttrpc", publish_binary="/p", version="v", debug=False, socket_dir="", environment={}
)


def shim(directory: Path, kills: int) -> ShimBinary:
    """A shim whose `delete` is killed the first times."""
    answer = directory / "answer"
    answer.write_bytes(task_pb2.DeleteResponse(pid=7, exit_status=3).SerializeToString())
    program = directory / "shim"
    runs = directory / "runs"
    counted = f'echo >>{runs}\nif [ "$(/usr/bin/wc -l <{runs})" -le {kills} ]; then kill -9 $$; fi'
    program.write_text(f"#!/bin/sh\n{counted}\n/bin/cat {answer}\n")
    program.chmod(0o755)
    return ShimBinary(str(program), ours=False)


def deleted(directory: Path, binary: ShimBinary) -> Exit:
    bundle = Bundle("ns", "c", str(directory), str(directory))
    exit_, _ = asyncio.run(executable.delete(ABOUT, binary, bundle, timeout_s=60))
    return exit_


def test_a_deletion_that_is_killed_is_begun_again(tmp_path: Path) -> None:
    exit_ = deleted(tmp_path, shim(tmp_path, executable.DELETIONS - 1))
    assert (exit_.pid, exit_.status) == (7, 3)


def test_a_deletion_that_is_killed_each_time_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match="signal: 9"):
        deleted(tmp_path, shim(tmp_path, executable.DELETIONS))
    assert len((tmp_path / "runs").read_text().splitlines()) == executable.DELETIONS
