"""Ends of pipes with one owner each."""

from __future__ import annotations

import os

import pytest

from pycontainerd.system.pipes import pipe


def test_an_end_is_closed_once_by_its_owner_or_by_the_block() -> None:
    with pipe() as (reading, writing):
        kept, given = reading.fd, writing.fd
        os.write(writing.fd, b"x")
        writing.close()
        writing.close()
        assert os.read(reading.fd, 2) == b"x"
        assert os.read(reading.fd, 2) == b""
    for fd in (kept, given):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
