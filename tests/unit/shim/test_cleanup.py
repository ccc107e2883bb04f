"""Clearing away what a shim has left."""

from __future__ import annotations

import json
from pathlib import Path

from pycontainerd.shim import cleanup


def test_a_runc_that_is_killed_is_run_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    program = tmp_path / "other-runc"
    program.write_text(f'#!/bin/sh\necho "$@" >>{runs}\nif [ "$(wc -l <{runs})" -eq 1 ]; then kill -9 $$; fi\n')
    program.chmod(0o755)
    (tmp_path / "options.json").write_text(json.dumps({"binary_name": str(program), "root": "/r"}))
    ended = cleanup.clean_up(str(tmp_path), "ns", "c")
    assert (ended.status, ended.warnings) == (137, ())
    assert [line.rpartition("json ")[2] for line in runs.read_text().splitlines()] == ["delete --force c"] * 2
