"""Records are what Kubernetes reads, wherever the bytes are cut on their way."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.shim.logs.record import LONGEST, STDOUT, Records, Stamps

STAMP = b"2026-11-24T07:46:57.000000001Z"


def records(limit: int, *pieces: bytes) -> bytes:
    made = Records(STDOUT, limit)
    return b"".join(made.feed(piece, STAMP) for piece in pieces) + made.finish(STAMP)


def parts(data: bytes) -> list[tuple[str, bytes]]:
    """Tag and text of each record; what stands before them is checked."""
    assert data.endswith(b"\n") or not data
    found = []
    for line in data.split(b"\n")[:-1]:
        stamp, stream, tag, text = line.split(b" ", 3)
        assert (stamp, stream) == (STAMP, b"stdout")
        found.append((tag.decode(), text))
    return found


def expected(data: bytes, limit: int) -> list[tuple[str, bytes]]:
    """The rules, said as simply as can be: one line after the other."""
    found = []
    *lines, rest = data.split(b"\n")
    for line in lines:
        line = line.removesuffix(b"\r")  # noqa: PLW2901 - one only
        while len(line) > limit:
            found.append(("P", line[:limit]))
            line = line[limit:]  # noqa: PLW2901 - what is left of it
        found.append(("F", line))
    while len(rest) - rest.endswith(b"\r") > limit:
        found.append(("P", rest[:limit]))
        rest = rest[limit:]
    return [*found, ("P", rest)] if rest else found


@pytest.mark.parametrize(
    ("pieces", "result"),
    [
        ([b"one\ntwo\n"], [("F", b"one"), ("F", b"two")]),
        ([b"o", b"ne", b"\n\n"], [("F", b"one"), ("F", b"")]),
        ([b"unended"], [("P", b"unended")]),
        ([b"dos\r\nline\r", b"\n"], [("F", b"dos"), ("F", b"line")]),
        ([b"12345678\n"], [("F", b"12345678")]),
        ([b"123456789\n"], [("P", b"12345678"), ("F", b"9")]),
        ([b"12345678\r", b"\n"], [("F", b"12345678")]),
        ([b"0123456789abcdef", b"g\n"], [("P", b"01234567"), ("P", b"89abcdef"), ("F", b"g")]),
        ([], []),
    ],
)
def test_lines_become_records(pieces: list[bytes], result: list[tuple[str, bytes]]) -> None:
    assert parts(records(8, *pieces)) == result


@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc", b"12345", b"0123456789"])), st.data())
def test_where_the_bytes_are_cut_changes_nothing(words: list[bytes], data: st.DataObject) -> None:
    text = b"".join(words)
    limit = data.draw(st.integers(1, 12))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert parts(records(limit, *pieces)) == expected(text, limit)


def test_without_a_limit_a_line_is_held_up_to_a_mebibyte() -> None:
    found = parts(records(0, *[b"x" * 65536] * 24, b"\n"))
    assert [(tag, len(text)) for tag, text in found] == [("P", LONGEST), ("F", LONGEST // 2)]


def test_a_time_has_nine_digits_in_utc() -> None:
    stamps = Stamps()
    assert stamps.of(1_000_000_000_000_000_001) == b"2001-09-09T01:46:40.000000001Z"
    assert stamps.of(1_000_000_000_999_999_999) == b"2001-09-09T01:46:40.999999999Z"
    assert stamps.of(1_000_000_001_000_000_000) == b"2001-09-09T01:46:41.000000000Z"
    assert stamps.of(time.time_ns()).endswith(b"Z")
