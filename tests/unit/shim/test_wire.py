"""The few messages of the executable, against protobuf itself."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.shim import wire
from pycontainerd.spawner import quick
from pycontainerd.spawner.messages import Setting, StartShim, decode_request

texts = st.text(max_size=300)


@given(texts, texts, st.sampled_from([-8, -4, 0, 4, 12]), texts)
def test_parameters_are_read_as_protobuf_writes_them(id_: str, url: str, level: int, directory: str) -> None:
    params = bootstrap_pb2.BootstrapParams(instance_id=id_, log_level=level, socket_dir=directory)  # type: ignore[arg-type]
    params.extensions.add().value.type_url = url
    fields = wire.parse(params.SerializeToString())
    assert (wire.text(fields, 1), wire.signed(fields, 3), wire.text(fields, 9)) == (id_, level, directory)
    (extension,) = wire.message(fields, 8)
    assert [wire.text(value, 1) for value in wire.message(extension, 1)] == [url]


@given(texts, st.integers(0, 2**31 - 1))
def test_protobuf_reads_what_is_written(address: str, version: int) -> None:
    result = bootstrap_pb2.BootstrapResult.FromString(wire.encode({1: version, 2: address, 3: "ttrpc"}))
    assert (result.version, result.address, result.protocol) == (version, address, "ttrpc")


@given(st.integers(0, 2**32 - 1), st.integers(-(2**60), 2**60))
def test_an_answer_to_delete_is_read_with_its_time(pid: int, at_ns: int) -> None:
    data = wire.encode({1: pid, 2: 137, 3: wire.timestamp(at_ns)})
    answer = task_pb2.DeleteResponse.FromString(data)
    assert (answer.pid, answer.exit_status) == (pid, 137)
    assert answer.exited_at.seconds * 1_000_000_000 + answer.exited_at.nanos == at_ns


@given(st.binary(max_size=40))
def test_any_bytes_are_fields_or_a_value_error(data: bytes) -> None:
    try:
        fields = wire.parse(data)
    except ValueError:
        return
    assert sum(len(values) for values in fields.values()) <= len(data)


@pytest.mark.parametrize("data", [b"\x08", b"\x0a\x05ab", b"\x0b", b"\xff" * 11])
def test_what_is_cut_or_unknown_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|wire type"):
        wire.parse(data)
    with pytest.raises(DecodeError):
        bootstrap_pb2.BootstrapParams.FromString(data)


@given(
    st.binary(max_size=300), st.lists(texts, max_size=5), st.dictionaries(st.integers(0, 20), st.integers(-1, 2**62))
)
def test_the_spawner_reads_the_quick_request_as_its_own(
    request: bytes, title: list[str], limits: dict[int, int]
) -> None:
    setting = {"environment": None, "directory": "/d", "title": title, "oom_raise": 1, "soft_limits": limits}
    data = quick.packed({"type": "StartShim", "setting": setting, "request": request})
    expected = Setting(None, directory="/d", title=tuple(title), oom_raise=1, soft_limits=limits)
    assert decode_request(data) == StartShim(expected, request)
