"""How words of a command line become values: the rules of the original's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.commands.ctr.flags import (
    BOOL,
    DURATION,
    FLOAT,
    INT,
    INT64,
    INTS,
    STRINGS,
    UINT64,
    Flag,
    UsageError,
    Values,
    parse_duration,
    parse_value,
)

FLAGS = (
    Flag("quiet,q", BOOL),
    Flag("signal,s", default="TERM"),
    Flag("env", STRINGS),
    Flag("gpus", INTS),
    Flag("timeout", DURATION, env="T_TIMEOUT"),
    Flag("number", INT),
    Flag("snapshotter", default="x", env="T_SNAPSHOTTER"),
    Flag("needed", required=True),
)


def parsed(*words: str) -> tuple[Values, list[str]]:
    values = Values(FLAGS)
    return values, values.parse(words)


def test_options_end_at_the_first_word_that_is_none() -> None:
    values, rest = parsed("-q", "image", "-s", "9")
    assert (values["quiet"], values["signal"], rest) == (True, "TERM", ["image", "-s", "9"])


@pytest.mark.parametrize("word", ["-signal", "--signal", "-s", "--s"])
def test_one_dash_and_two_are_the_same(word: str) -> None:
    values, rest = parsed(word, "9", "x")
    assert (values["signal"], values["s"], rest) == ("9", "9", ["x"])


def test_a_value_may_follow_an_equals_sign() -> None:
    values, rest = parsed("--signal=a=b", "--signal=", "-q=false")
    assert (values["signal"], values["quiet"], rest) == ("", False, [])
    assert values.is_set("q")


def test_two_dashes_end_the_options() -> None:
    assert parsed("-q", "--", "-s")[1] == ["-s"]


def test_a_dash_alone_is_a_word() -> None:
    assert parsed("-", "-q")[1] == ["-", "-q"]


def test_lists_grow_and_commas_of_texts_stay() -> None:
    values, _ = parsed("--env", "A=1,2", "--env", "B", "--gpus", "1,2", "--gpus", "3")
    assert (values["env"], values["gpus"]) == (["A=1,2", "B"], [1, 2, 3])
    assert Values(FLAGS)["env"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "flag provided but not defined: -nope"),
        (["-qs"], "flag provided but not defined: -qs"),
        (["--signal"], "flag needs an argument: -signal"),
        (["-s"], "flag needs an argument: -s"),
        (["---q"], "bad flag syntax: ---q"),
        (["-=1"], "bad flag syntax: -=1"),
        (["-q=maybe"], 'invalid boolean value "maybe" for -q: parse error'),
        (["--number", "x"], 'invalid value "x" for flag -number: parse error'),
        (["--timeout", "5"], 'invalid value "5" for flag -timeout: parse error'),
    ],
)
def test_what_can_not_be_meant_is_said_in_the_original_s_words(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(*words)
    assert str(raised.value) == message


def test_the_environment_stands_in_for_flags_that_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_TIMEOUT", "2s")
    monkeypatch.setenv("T_SNAPSHOTTER", "")
    values, _ = parsed()
    values.take_environment()
    assert (values["timeout"], values["snapshotter"]) == (2.0, "")
    given_values, _ = parsed("--timeout", "1s")
    given_values.take_environment()
    assert given_values["timeout"] == 1.0


def test_an_empty_variable_is_nothing_to_a_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_TIMEOUT", "")
    values, _ = parsed()
    values.take_environment()
    assert not values.is_set("timeout")


def test_a_variable_that_can_not_be_meant_is_a_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_TIMEOUT", "soon")
    with pytest.raises(UsageError, match='could not parse "soon" as duration value from environment variable'):
        Values(FLAGS).take_environment()


def test_required_flags_that_are_missing_are_known() -> None:
    assert parsed()[0].missing() == ["needed"]
    assert parsed("--needed", "")[0].missing() == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("-2s", -2), ("3us", 3e-6), ("1µs", 1e-6), (".5s", 0.5)],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", ".s", "1x", "1 s", "1.2.3s", "--1s", "1s 2s", "+", "1h-2m"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(INT, "0x10", 16), (INT, "0o17", 15), (INT, "017", 15), (INT, "0b11", 3), (INT, "-5", -5), (INT, "1_000", 1000),
     (UINT64, "18446744073709551615", 2**64 - 1), (FLOAT, "1e3", 1000.0), (BOOL, "T", True), (BOOL, "0", False)],
)  # fmt: skip
def test_numbers_are_go_s(kind: str, text: str, value: object) -> None:
    assert parse_value(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [(INT, ""), (INT, " 1"), (INT, "089"),
     (INT, "1.0"), (INT, "\u0661"), (INT64, str(2**63)), (UINT64, "-1"), (UINT64, "+1"), (INT, "--1"),
     (UINT64, str(2**64)), (FLOAT, "x"), (FLOAT, " 1"), (BOOL, "yes")],
)  # fmt: skip
def test_other_numbers_are_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        parse_value(kind, text)


@given(st.lists(st.text(max_size=6), max_size=8))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        _, rest = parsed(*words)
    except UsageError:
        return
    assert rest == words[len(words) - len(rest) :]
