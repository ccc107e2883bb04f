"""The text that `containerd config` prints."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.config.toml import dumps

SCALARS = (
    st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))
    | st.datetimes(timezones=st.just(dt.UTC) | st.none())
    | st.dates()
    | st.times()
)
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_printed_reads_as_what_it_was(document: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(document)) == document


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("plain", "'plain'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ('say "x"', "'say \"x\"'"),
        ("both' \"", '"both\' \\""'),
        ("line\n", '"line\\n"'),
        ("\x01é", '"\\u0001é"'),
        ("back\\slash", "'back\\slash'"),
        (True, "true"),
        (1.0, "1.0"),
        (1e-05, "0.00001"),
        (1e21, "1000000000000000000000.0"),
        (-0.0, "-0.0"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        ([1, [2]], "[1, [2]]"),
        ([], "[]"),
        ([1, {"a": "b"}], "[1, {a = 'b'}]"),
    ],
)
def test_a_value_has_the_form_of_stock(value: Any, printed: str) -> None:
    assert dumps({"key": value}) == f"key = {printed}\n"


def test_tables_follow_plain_keys_and_are_indented() -> None:
    document = {
        "plugins": {"io.x.v1": {"tab": {}, "a": 1, "list": [{"b": 2}, {"c": {"d": 3}}]}, "bare": {}},
        "version": 4,
    }
    assert dumps(document) == (
        "version = 4\n"
        "\n"
        "[plugins]\n"
        "  [plugins.'io.x.v1']\n"
        "    a = 1\n"
        "\n"
        "    [plugins.'io.x.v1'.tab]\n"
        "\n"
        "    [[plugins.'io.x.v1'.list]]\n"
        "      b = 2\n"
        "\n"
        "    [[plugins.'io.x.v1'.list]]\n"
        "      [plugins.'io.x.v1'.list.c]\n"
        "        d = 3\n"
        "\n"
        "  [plugins.bare]\n"
    )
