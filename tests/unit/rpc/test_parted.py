"""Requests whose large field stays where it came."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.api.containerd.services.content.v1_pb2 import WriteContentRequest
from pycontainerd.rpc import parted

KIND = parted.PartedType(WriteContentRequest, WriteContentRequest.DATA_FIELD_NUMBER)
LARGE = b"x" * (parted.SMALL + 1)


def whole(found: parted.Parted[WriteContentRequest]) -> WriteContentRequest:
    """The request with its field back in place."""
    message = WriteContentRequest()
    message.CopyFrom(found.message)
    message.data = bytes(found.data)
    return message


@given(
    st.builds(
        WriteContentRequest,
        action=st.sampled_from([0, 1, 2]),
        ref=st.text(),
        total=st.integers(-(2**63), 2**63 - 1),
        expected=st.text(),
        offset=st.integers(-(2**63), 2**63 - 1),
        data=st.one_of(st.binary(), st.just(LARGE)),
        labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=100),
    )
)
def test_a_request_is_what_it_was(message: WriteContentRequest) -> None:
    assert whole(KIND.FromString(message.SerializeToString())) == message


def test_a_large_field_is_not_copied() -> None:
    data = WriteContentRequest(ref="r", offset=7, data=LARGE, labels={"a": "b"}).SerializeToString()
    found = KIND.FromString(data)
    assert isinstance(found.data, memoryview)
    assert found.data.obj is data
    assert found.message == WriteContentRequest(ref="r", offset=7, labels={"a": "b"})


def test_unknown_fields_are_kept() -> None:
    unknown = bytes([15 << 3 | 1]) + b"12345678" + bytes([14 << 3 | 5]) + b"1234"
    data = unknown + WriteContentRequest(data=LARGE).SerializeToString() + unknown
    assert KIND.FromString(data).message.SerializeToString() == unknown + unknown


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    data = WriteContentRequest(data=LARGE).SerializeToString() + WriteContentRequest(data=b"last").SerializeToString()
    assert KIND.FromString(data).data == b"last"


def test_a_message_of_many_fields_is_left_to_the_library() -> None:
    data = WriteContentRequest(offset=1).SerializeToString() * parted.SMALL
    found = KIND.FromString(data)
    assert (found.message.offset, found.data) == (1, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\x0f" + LARGE,
        b"\x32\xff\xff\xff\x7f" + LARGE,
        WriteContentRequest(data=LARGE).SerializeToString() + b"\x80",
        b"\xff" * (parted.SMALL + 1),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        KIND.FromString(data)
