"""Modules that are loaded when someone looks into them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pycontainerd.postponed import postpone

PROGRAM = """
import sys
import pycontainerd
from google.protobuf import empty_pb2, timestamp_pb2
from google.protobuf.internal import python_message
empty_pb2.Empty(), timestamp_pb2.Timestamp(seconds=1).ToDatetime()
print("google.protobuf.text_format" in sys.modules)
python_message.GeneratedProtocolMessageType
print("google.protobuf.text_format" in sys.modules)
"""


def test_what_protobuf_does_not_use_is_not_loaded_before_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_module_that_is_there_is_not_postponed() -> None:
    before = list(sys.meta_path)
    postpone("sys")
    assert sys.meta_path == before


def test_one_that_is_nowhere_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = list(sys.meta_path)
    postpone("nowhere_at_all")
    with pytest.raises(ModuleNotFoundError):
        __import__("nowhere_at_all")
    assert sys.meta_path == before
