"""Digests and the times that are written into files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.content import times
from pycontainerd.content.model import Digest, InvalidDigest
from pycontainerd.metadata.times import parse_rfc3339

FORMAT = "invalid checksum digest format"
LENGTH = "invalid checksum digest length"
UNSUPPORTED = "unsupported digest algorithm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", FORMAT),
        ("x", FORMAT),
        ("sha256", FORMAT),
        ("sha256:", FORMAT),
        (":aa", FORMAT),
        ("sha256:zz", LENGTH),
        ("sha256:x:y", LENGTH),
        ("sha256:../../x", LENGTH),
        ("sha256:" + "a" * 65, LENGTH),
        ("sha384:" + "a" * 64, LENGTH),
        ("sha256:" + "A" * 64, FORMAT),
        ("sha256:" + "a" * 63 + "g", FORMAT),
        ("sha256:" + "é" * 32, FORMAT),
        ("sha256:" + "a" * 63 + "\n", FORMAT),
        ("md5:" + "a" * 32, UNSUPPORTED),
        ("sha256+b64:" + "a" * 64, UNSUPPORTED),
        ("md5:&", FORMAT),
        ("a..b:cc", FORMAT),
        ("SHA256:" + "a" * 64, FORMAT),
        ("日本:aa", FORMAT),
    ],
)
def test_a_text_that_is_no_digest_is_refused_in_the_words_of_the_original(text: str, message: str) -> None:
    with pytest.raises(InvalidDigest) as refused:
        Digest.parse(text)
    assert refused.value.message == message


@given(st.sampled_from([("sha256", 64), ("sha384", 96), ("sha512", 128)]), st.data())
def test_a_digest_is_read_as_it_is_written(form: tuple[str, int], data: st.DataObject) -> None:
    algorithm, digits = form
    text = f"{algorithm}:{data.draw(st.text('0123456789abcdef', min_size=digits, max_size=digits))}"
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_505_998_636_805_550, "2026-11-24T07:39:58.63680555Z"),
        (1_795_505_998_000_000_001, "2026-11-24T07:39:58.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_written_as_go_writes_it(time_ns: int, text: str) -> None:
    assert times.format_ns(time_ns) == text
    assert parse_rfc3339(text) == time_ns


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_every_time_survives_the_file(time_ns: int) -> None:
    assert parse_rfc3339(times.format_ns(time_ns)) == time_ns
