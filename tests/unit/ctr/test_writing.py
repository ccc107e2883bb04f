"""How tables, sizes, ages, times, labels, log lines and JSON are written."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.api.containerd import events_pb2
from pycontainerd.commands.ctr import documents, logs, tables
from pycontainerd.commands.ctr.values import (
    age,
    binary_size,
    decimal_size,
    go_time,
    labels_text,
    parse_labels,
    rfc3339_nano,
)


def test_a_column_is_as_wide_as_its_longest_cell_and_the_padding() -> None:
    text = tables.layout(["NAME\tLABELS\t", "default\t\t", "n1\ta=b\t"], tables.NARROW)
    assert text == "NAME    LABELS \ndefault        \nn1      a=b    \n"


def test_text_after_the_last_tab_is_no_cell() -> None:
    text = tables.layout(["TASK\tPID\tSTATUS\t", "fdemo1\t4721\tRUNNING"], tables.WIDE)
    assert text == "TASK      PID     STATUS    \nfdemo1    4721    RUNNING\n"


def test_a_line_without_the_column_ends_it() -> None:
    text = tables.layout(["a\tb\t", "", "longer\tb\t"], tables.PROCESSES)
    assert text == "a    b    \n\nlonger    b    \n"


def test_tabs_fill_up_to_whole_stops() -> None:
    assert tables.layout(["REF\tSIZE\tAGE\t", "k2\t6B\t1 second\t"], tables.TABBED) == (
        "REF\tSIZE\tAGE\t\t\nk2\t6B\t1 second\t\n"
    )


cells = st.text(st.characters(codec="ascii", exclude_characters="\t\n"), max_size=9)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=6))
def test_cells_below_each_other_begin_at_one_place(rows: list[list[str]]) -> None:
    first, second = (max(len(row[column]) for row in rows) + 1 for column in (0, 1))
    expected = "".join(f"{row[0]:<{first}}{row[1]:<{second}}{row[2]}\n" for row in rows)
    assert tables.layout(["\t".join(row) for row in rows], tables.NARROW) == expected


@pytest.mark.parametrize(
    ("size", "binary", "decimal"),
    [
        (0, "0.0 B", "0B"),
        (422, "422.0 B", "422B"),
        (1023, "1023.0 B", "1.023kB"),
        (1024, "1.0 KiB", "1.024kB"),
        (1032860, "1008.7 KiB", "1.033MB"),
        (2 * 1024**3, "2.0 GiB", "2.147GB"),
        (999_999, "976.6 KiB", "1000kB"),
    ],
)
def test_sizes(size: int, binary: str, decimal: str) -> None:
    assert (binary_size(size), decimal_size(size)) == (binary, decimal)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("stamp", "nano", "go"),
    [
        (
            Timestamp(seconds=1795492120, nanos=954739100),
            "2026-11-24T03:48:40.9547391Z",
            "2026-11-24 03:48:40.9547391 +0000 UTC",
        ),
        (Timestamp(seconds=1795492120), "2026-11-24T03:48:40Z", "2026-11-24 03:48:40 +0000 UTC"),
        (Timestamp(seconds=-62135596800), "0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"),
    ],
)
def test_times(stamp: Timestamp, nano: str, go: str) -> None:
    assert (rfc3339_nano(stamp), go_time(stamp)) == (nano, go)


def test_labels_are_sorted_by_their_text() -> None:
    assert labels_text({"b": "1", "a": "2", "a.b": "0"}) == "a.b=0,a=2,b=1"
    assert (labels_text({}), labels_text({}, "")) == ("-", "")


def test_a_bare_label_is_true_or_what_the_command_says() -> None:
    assert parse_labels(["a=b=c", "d", "e="]) == {"a": "b=c", "d": "true", "e": ""}
    assert parse_labels(["d"], bare="") == {"d": ""}


def test_json_escapes_as_go_does() -> None:
    assert documents.dumps({"a": "<&>\u2028", "b": [], "c": {}}, indent=2) == (
        '{\n  "a": "\\u003c\\u0026\\u003e\\u2028",\n  "b": [],\n  "c": {}\n}'
    )


def test_a_message_is_written_with_the_names_of_the_wire() -> None:
    event = events_pb2.ContainerCreate(id="c", image="i")
    event.runtime.name = "r"
    event.runtime.options.type_url = "t"
    event.runtime.options.value = b"\x00\xff"
    assert documents.dumps(documents.message_value(event), indent=None) == (
        '{"id":"c","image":"i","runtime":{"name":"r","options":{"type_url":"t","value":"AP8="}}}'
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain-1.0/x@y^+", "plain-1.0/x@y^+"),
        ("", ""),
        ("two words", '"two words"'),
        ('say "x"\n', '"say \\"x\\"\\n"'),
        ("k=v", '"k=v"'),
        ("\x01\u200b", '"\\x01\\u200b"'),
    ],
)
def test_a_log_value_is_quoted_when_it_must_be(text: str, written: str) -> None:
    assert logs.quoted(text) == written


def test_a_log_line_off_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    logs.error("failed to x", error="no y")
    line = capfd.readouterr().err
    assert line.partition(" ")[2] == 'level=error msg="failed to x" error="no y"\n'
    assert line.startswith('time="')
