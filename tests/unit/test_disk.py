"""Small steps on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pycontainerd import disk


def test_a_text_is_written_whole_though_the_kernel_takes_it_in_pieces(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1]))
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, data[:1], offset))
    disk.replace_text(str(scratch / "file"), "some text")
    monkeypatch.undo()
    assert (scratch / "file").read_text() == "some text"
