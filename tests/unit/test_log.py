"""Log lines."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from pycontainerd import log
from pycontainerd.errors import InvalidArgument, Unavailable

TIME = re.compile(r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d)"')


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What the log writes to, with the logging of the test run put back at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def line(out: io.StringIO) -> str:
    return out.getvalue().rstrip("\n")


def test_a_line_has_time_level_message_and_fields_by_name(out: io.StringIO) -> None:
    log.configure("", "", out)
    logging.getLogger("x").info("loading plugin", extra=log.fields(type="t.v1", id="a b", empty=""))
    assert TIME.match(line(out))
    assert TIME.sub("", line(out)) == ' level=info msg="loading plugin" empty= id="a b" type=t.v1'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("serving...", "serving..."),
        ("/a/b@c^d+e-f_g", "/a/b@c^d+e-f_g"),
        ("", ""),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nend\t", '"line\\nend\\t"'),
        ("é", '"é"'),
        ("\x00\x7f\u200b", '"\\x00\\x7f\\u200b"'),
    ],
)
def test_a_value_is_quoted_where_logrus_quotes_it(out: io.StringIO, value: str, written: str) -> None:
    log.configure("", "", out)
    logging.getLogger("x").warning("m", extra=log.fields(v=value))
    assert line(out).endswith(f" level=warning msg=m v={written}")


def test_a_json_line_is_one_object(out: io.StringIO) -> None:
    log.configure("", "json", out)
    logging.getLogger("x").error("a\nb", extra=log.fields(z=1, error=Unavailable("disk")))
    told = json.loads(line(out))
    assert list(told) == ["error", "level", "msg", "time", "z"]
    assert (told["error"], told["level"], told["msg"], told["z"]) == ("disk: unavailable", "error", "a\nb", 1)


def test_an_exception_becomes_the_field_error(out: io.StringIO) -> None:
    log.configure("", "", out)
    logging.getLogger("x").warning("m", exc_info=ValueError("no good"))
    assert line(out).endswith(' msg=m error="no good"')


def test_the_level_is_a_threshold(out: io.StringIO) -> None:
    log.configure("WARN", "text", out)
    logging.getLogger("x").info("no")
    logging.getLogger("x").warning("yes")
    assert line(out).endswith("msg=yes")


@pytest.mark.parametrize("name", ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic", "Info"])
def test_levels_have_the_names_of_stock(name: str) -> None:
    assert log.level_of(name) in (5, 10, 20, 30, 40, 50)


def test_an_unknown_level_or_format_is_refused_with_the_words_of_stock(out: io.StringIO) -> None:
    with pytest.raises(InvalidArgument) as caught:
        log.configure("loud", "", out)
    assert str(caught.value) == 'not a valid logrus Level: "loud"'
    with pytest.raises(InvalidArgument) as caught:
        log.configure("", "xml", out)
    assert str(caught.value) == "unknown log format: xml"
