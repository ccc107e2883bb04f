"""Sections made into structs."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from msgspec import field

from pycontainerd.config.decode import decode, encode
from pycontainerd.config.duration import Duration
from pycontainerd.config.section import Section
from pycontainerd.errors import InvalidArgument


class Inner(Section, frozen=True, kw_only=True):
    name: str = "inner"
    size: int = 1


class Outer(Section, frozen=True, kw_only=True):
    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"hidden"})

    on: bool = True
    ratio: float = 0.5
    words: tuple[str, ...] = ("a",)
    wait: Duration = Duration(1_000_000_000)
    inner: Inner = Inner(size=7)
    named: dict[str, Inner] = field(default_factory=lambda: {"first": Inner(name="default")})
    free: dict[str, Any] = field(default_factory=dict)
    maybe: Inner | None = None
    hidden: dict[str, str] = field(default_factory=dict)


def test_an_empty_section_is_the_defaults() -> None:
    assert decode({}, Outer) == Outer()


def test_a_section_is_laid_over_the_defaults_at_any_depth() -> None:
    found = decode({"inner": {"name": "x"}, "named": {"first": {"size": 2}, "second": {}}}, Outer)
    assert found.inner == Inner(name="x", size=7)
    assert found.named == {"first": Inner(name="default", size=2), "second": Inner()}


def test_a_list_replaces_the_default() -> None:
    assert decode({"words": []}, Outer).words == ()


def test_an_integer_is_a_float_where_one_is_wanted() -> None:
    assert decode({"ratio": 1}, Outer).ratio == 1.0


def test_keys_are_found_in_any_case() -> None:
    assert decode({"Words": ["b"], "INNER": {"Size": 3}}, Outer) == Outer(words=("b",), inner=Inner(size=3))


def test_unknown_keys_are_told_with_their_path_and_left_out() -> None:
    told: list[tuple[str, ...]] = []
    raw = {"what": 1, "inner": {"else": 2}, "named": {"n": {"deep": 3}}}
    assert decode(raw, Outer, unknown=told.append).named["n"] == Inner()
    assert told == [("what",), ("inner", "else"), ("named", "n", "deep")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"on": 1}, "on: expected a boolean, got an integer"),
        ({"ratio": "x"}, "ratio: expected a float, got a string"),
        ({"words": "a"}, "words: expected an array, got a string"),
        ({"words": ["a", 1]}, "words.1: expected a string, got an integer"),
        ({"wait": 5}, 'wait: expected a duration such as "1m30s", got an integer'),
        ({"wait": "5"}, 'wait: time: missing unit in duration "5"'),
        ({"inner": 3}, "inner: expected a table, got an integer"),
        ({"inner": {"size": 1.5}}, "inner.size: expected an integer, got a float"),
        ({"inner": {"size": True}}, "inner.size: expected an integer, got a boolean"),
        ({"named": {"a b": {"name": []}}}, "named.'a b'.name: expected a string, got an array"),
        ({"maybe": {"size": "1"}}, "maybe.size: expected an integer, got a string"),
    ],
)
def test_a_wrong_type_is_refused_with_its_key_and_the_reason(raw: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(raw, Outer)
    assert str(caught.value) == reason


def test_values_are_printed_in_the_order_of_the_struct_and_maps_sorted() -> None:
    value = Outer(free={"b": 1, "a": {"d": 1, "c": 2}})
    plain = encode(value)
    assert list(plain) == ["on", "ratio", "words", "wait", "inner", "named", "free"]
    assert list(plain["free"]) == ["a", "b"]
    assert list(plain["free"]["a"]) == ["c", "d"]
    assert plain["wait"] == "1s"


def test_a_hidden_key_is_printed_when_it_is_set() -> None:
    assert encode(Outer(hidden={"k": "v"}))["hidden"] == {"k": "v"}


def test_what_is_printed_decodes_to_what_it_was() -> None:
    value = Outer(maybe=Inner(size=9), hidden={"k": "v"}, wait=Duration(1))
    assert decode(encode(value), Outer) == value
