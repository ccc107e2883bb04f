"""Durations in Go's syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.config.duration import Duration
from pycontainerd.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "nanoseconds", "printed"),
    [
        ("0", 0, "0s"),
        ("5s", 5_000_000_000, "5s"),
        ("1m", 60_000_000_000, "1m0s"),
        ("4h", 14_400_000_000_000, "4h0m0s"),
        ("1h0.5s", 3_600_500_000_000, "1h0m0.5s"),
        ("1500ms", 1_500_000_000, "1.5s"),
        ("100ms", 100_000_000, "100ms"),
        ("1us", 1000, "1µs"),
        ("1.5µs", 1500, "1.5µs"),
        ("1ns", 1, "1ns"),
        (".5s", 500_000_000, "500ms"),
        ("1.s", 1_000_000_000, "1s"),
        ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
        ("+3s", 3_000_000_000, "3s"),
        ("0.3s", 300_000_000, "300ms"),
        ("2562047h47m16.854775807s", (1 << 63) - 1, "2562047h47m16.854775807s"),
        ("-2562047h47m16.854775808s", -(1 << 63), "-2562047h47m16.854775808s"),
    ],
)
def test_a_duration_reads_and_prints_as_in_go(text: str, nanoseconds: int, printed: str) -> None:
    duration = Duration.parse(text)
    assert (int(duration), str(duration)) == (nanoseconds, printed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'time: invalid duration ""'),
        ("5", 'time: missing unit in duration "5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("s", 'time: invalid duration "s"'),
        ("-", 'time: invalid duration "-"'),
        (".s", 'time: invalid duration ".s"'),
        ("1s2", 'time: missing unit in duration "1s2"'),
        ("2562047h47m16.854775808s", 'time: invalid duration "2562047h47m16.854775808s"'),
    ],
)
def test_what_is_no_duration_is_refused_with_the_words_of_go(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Duration.parse(text)
    assert str(caught.value) == reason


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_every_duration_survives_being_printed(nanoseconds: int) -> None:
    assert Duration.parse(str(Duration(nanoseconds))) == nanoseconds


def test_a_duration_counts_seconds() -> None:
    assert Duration.parse("1m1.5s").seconds == 61.5
