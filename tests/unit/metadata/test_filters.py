"""The filter language: what parses, what is refused with which words, what matches."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata import filters
from pycontainerd.metadata.filters import regexps
from pycontainerd.metadata.filters.regexps import Regexp
from pycontainerd.metadata.filters.sql import Columns


class Thing:
    """Something with a name, a place and labels."""

    def __init__(self, name: str = "", place: str = "", labels: dict[str, str] | None = None) -> None:
        self.name = name
        self.place = place
        self.labels = labels or {}

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        match path:
            case ["name", *_]:
                return self.name, bool(self.name)
            case ["at", "place", *_]:
                return self.place, bool(self.place)
            case ["labels", *rest]:
                return self.labels.get(".".join(rest), ""), ".".join(rest) in self.labels
            case _:
                return "", False


class Whole(Thing):
    """As some kinds are asked: a path is a field's or none, and what there is, be it empty, is present."""

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        match path:
            case ["name"]:
                return self.name, True
            case ["at", "place"]:
                return self.place, True
            case ["labels", *rest]:
                return self.labels.get(".".join(rest), ""), ".".join(rest) in self.labels
            case _:
                return "", False


def refusal(text: str) -> str:
    with pytest.raises(InvalidArgument) as raised:
        filters.compile([text])
    return raised.value.message


# Asked of stock 2.3.4; the differential tests ask again.
@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        (",", "[ >|,|< ]", "expected field or quoted"),
        (" ", "[ ]", "expected field or quoted"),
        ("name ", "[name ]", 'expected an operator ("=="|"!="|"~=")'),
        ("name==", "[name==]", "expected value or quoted"),
        ("name=x", "[name >|=|< x]", 'unsupported operator "="'),
        ("name==!x", "[name >|=|< =!x]", 'unsupported operator "==!"'),
        ('name=="a', '[name== >|"|< a]', "quoted literal not terminated"),
        ('name=="a\nb"', '[name== >|"|< a\nb"]', "quoted literal not terminated"),
        ("name==x,", "[name==x,]", "expected field or quoted"),
        ("name==x y", "[name==x >| |< y]", "unexpected input:  "),
        ("name==/x/", "[name== >|/|< x/]", "invalid quote encountered"),
        ("/x/==1", "[ >|/|< x/==1]", "invalid quote encountered"),
        ('name=="\\q"', '[name== >|"|< \\q"]', "illegal escape sequence"),
        ('name=="\\', '[name== >|"|< \\]', "illegal escape sequence"),
        ('name=="\\400"', '[name== >|"|< \\400"]', "unquoting failed: quote syntax error"),
        ('name=="\\u12"', '[name== >|"|< \\u12"]', "illegal numeric escape sequence"),
        ('name=="\\U00110000"', '[name== >|"|< \\U00110000"]', "unquoting failed: quote syntax error"),
        ("né==x", "[n >|\ufffd|< \ufffd==x]", 'expected an operator ("=="|"!="|"~=")'),
        ("name==\x00", "[name== >|\x00|< ]", "unexpected null"),
        ("name==a\x7fb", "[name==a >|\x7f|< b]", "unexpected input: \x7f"),
        ("labels.a-b==x", "[labels.a >|-|< b==x]", 'expected an operator ("=="|"!="|"~=")'),
    ],
)
def test_a_bad_filter_is_refused_with_the_words_of_stock(text: str, where: str, problem: str) -> None:
    assert refusal(text) == f"filters: parse error: {where}: {problem}: invalid argument"


@pytest.mark.parametrize(
    ("text", "thing", "passes"),
    [
        ("", Thing(), True),
        ("name", Thing(), False),
        ("name", Thing("x"), True),
        ("name==x", Thing("x"), True),
        ("name==x/|y:@=!~", Thing("x/|y:@=!~"), True),
        ('name==""', Thing(), False),
        ("name!=x", Thing(), True),
        ("name!=x", Thing("x"), False),
        ("name~=^x", Thing("xy"), True),
        ("name~=y", Thing("xyz"), True),
        ("name~=^$", Thing(), True),
        ("name~=[", Thing("["), False),
        ("name~=/a\\/b/", Thing("a/b"), True),
        ("name~=|a\\|b|", Thing("b"), True),
        ('name=="\\u00e9\\xc3\\xa9\\303\\251\\t"', Thing("ééé\t"), True),
        ('name!="\\xff"', Thing("x"), True),
        ("name==x,at.place==y", Thing("x", "y"), True),
        ("name==x,at.place==y", Thing("x", "z"), False),
        (" name == x, at. place==y", Thing("x", "y"), True),
        ("labels.a.b==1", Thing(labels={"a.b": "1"}), True),
        ('labels."a/b"==1', Thing(labels={"a/b": "1"}), True),
        ("labels.a!=1", Thing(), True),
        ("other", Thing("x"), False),
        ("other!=1", Thing("x"), True),
    ],
)
def test_what_passes_a_filter(text: str, thing: Thing, passes: bool) -> None:
    assert filters.compile([text]).matches(thing) is passes


def test_one_of_several_filters_is_enough_and_none_lets_all_pass() -> None:
    assert filters.compile(["name==a", "name==b"]).matches(Thing("b"))
    assert filters.compile([]).matches(Thing())
    assert filters.compile(["name==a", ""]).matches(Thing("b"))


@given(st.text(alphabet='nameé.,=!~"/|\\ x\n\0', max_size=12))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        compiled = filters.compile([text])
    except InvalidArgument as error:
        assert error.message.startswith("filters: parse error: [")  # noqa: PT017 - both are right, one is looked at
    else:
        compiled.matches(Thing("x"))


_texts = st.sampled_from(["", "a", "b", "ab", "é", "a.b", '"', "\xff"])
_paths = st.sampled_from(["name", "name.more", "at", "at.place", "labels", "labels.a", 'labels."a.b"', "labels.é", "x"])


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


_selectors = st.one_of(
    _paths.filter(lambda path: "é" not in path),
    st.builds(
        lambda path, operator, value: f"{path}{operator}{_quoted(value)}",
        _paths.filter(lambda path: "é" not in path),
        st.sampled_from(["==", "!=", "~="]),
        _texts,
    ),
)
_filters = st.lists(st.lists(_selectors, min_size=1, max_size=3).map(",".join), max_size=3)
_kinds = st.sampled_from([Thing, Whole])
_things = st.lists(
    st.tuples(_texts, _texts, st.dictionaries(st.sampled_from(["a", "a.b", "c"]), _texts.filter(bool), max_size=2)),
    max_size=6,
)

_COLUMNS = Columns({("name",): "objects.name", ("at", "place"): "objects.place"})
_WHOLE = structs.replace(_COLUMNS, whole=True, always=frozenset({"objects.name", "objects.place"}))


@given(_filters, _kinds, _things, st.sampled_from(["", "labels", "at"]))
@settings(max_examples=600, deadline=None)
def test_sql_finds_what_the_evaluator_finds(
    texts: list[str], kind: type[Thing], fields: list[tuple[str, str, dict[str, str]]], opaque: str
) -> None:
    things = [kind(*each) for each in fields]
    wanted = filters.compile(texts)
    columns = _WHOLE if kind is Whole else _COLUMNS
    condition = wanted.where(structs.replace(columns, opaque=lambda path: path[0] == opaque))
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE objects (id INTEGER PRIMARY KEY, name, place)")
        connection.execute("CREATE TABLE labels (owner, key, value)")
        for id_, thing in enumerate(things):
            connection.execute("INSERT INTO objects VALUES (?, ?, ?)", (id_, thing.name, thing.place))
            for key, value in thing.labels.items():
                connection.execute("INSERT INTO labels VALUES (?, ?, ?)", (id_, key, value))
        sql = f"SELECT id FROM objects WHERE {condition.sql}"  # noqa: S608 - what is tested
        found = {id_ for (id_,) in connection.execute(sql, condition.arguments)}
    finally:
        connection.close()
    right = {id_ for id_, thing in enumerate(things) if wanted.matches(thing)}
    assert found == right if condition.exact else found >= right


@pytest.mark.parametrize(
    "texts", [[",".join(["name!=x"] * 1100)], ["name==a"] * 1100, [",".join(["labels.a==b"] * 40)] * 40]
)
def test_more_selectors_than_an_expression_takes_are_left_to_the_evaluator(texts: list[str]) -> None:
    wanted = filters.compile(texts)
    condition = wanted.where(_COLUMNS)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE objects (id INTEGER PRIMARY KEY, name, place)")
        connection.execute("CREATE TABLE labels (owner, key, value)")
        connection.execute("INSERT INTO objects VALUES (1, 'a', '')")
        sql = f"SELECT id FROM objects WHERE {condition.sql}"  # noqa: S608 - what is tested
        assert connection.execute(sql, condition.arguments).fetchall() == [(1,)]
    assert not condition.exact
    assert wanted.matches(Thing("a", labels={"a": "b"}))


_atoms = st.sampled_from(
    ["a", "b", ".", "\\d", "\\w", "\\s", "[ab]", "[^a]", "[a-c0-9]", "\\.", "^", "$", "\\b", "(?:)", "1", "\\x61", "é"]
)
_patterns = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.builds(
            lambda part, operator: f"(?:{part}){operator}",
            inner,
            st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,}", "*?"]),
        ),
    ),
    max_leaves=8,
)


@given(_patterns, st.text(alphabet="ab1 .é_", max_size=10))
@settings(max_examples=500, deadline=None)
def test_a_pattern_finds_what_pythons_finds(pattern: str, text: str) -> None:
    ours = Regexp.compile(pattern)
    assert ours is not None
    theirs = re.compile(pattern.replace("$", "\\Z"), re.ASCII)
    assert ours.search(text) is (theirs.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?i)ÅNGSTRÖM", "\u212bngström", True),
        ("(?i)[k]", "\u212a", True),
        ("(?i:a)b", "Ab", True),
        ("(?i:a)b", "AB", False),
        ("(?i)a(?-i)b", "AB", False),
        ("a(?i)b|c", "C", True),
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b$", "a\nb\nc", False),
        ("b$", "b\n", False),
        ("\\Ab\\z", "b", True),
        ("\\Q.*\\E", "a.*b", True),
        ("\\Q.*\\E+x", "a.**x", True),
        ("\\Qa", "a", True),
        ("\\pL", "é", True),
        ("\\p{Lu}", "é", False),
        ("\\PL", "é", False),
        ("\\p{^L}", "1", True),
        ("[\\pN_]", "_", True),
        ("[[:alpha:]-]", "-", True),
        ("[[:^alpha:]]", "a", False),
        ("[]a]", "]", True),
        ("[^]a]", "a", False),
        ("[a-]", "-", True),
        ("x{", "x{", True),
        ("x{,2}", "x{,2}", True),
        ("x{2", "x{2", True),
        ("(?P<n>a)(?<m>b)", "ab", True),
        ("\\x{1F600}", "\U0001f600", True),
        ("\\101\\0", "A\0", True),
        ("\\_\\-", "_-", True),
        ("", "", True),
        ("a||b", "", True),
        ("(|a)*", "b", True),
        ("\\B", "", True),
        ("[\\w]", "é", False),
    ],
)
def test_patterns_are_gos(pattern: str, text: str, found: bool) -> None:
    regexp = Regexp.compile(pattern)
    assert regexp is not None
    assert regexp.search(text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        *("[", "[a", "(", "(a", ")", "a)", "*", "+a", "?", "a**", "a{2}{3}", "a+*", "a{1001}", "a{3,2}", "(?=a)"),
        *("(?<!a)", "(?P=n)", "(?P<n>a)(?P<n>b)", "(?P<>a)", "(?P<n", "\\1", "\\8", "\\C", "\\Z", "\\q", "\\", "\\x"),
        *("\\xg", "\\x{110000}", "\\p{Nope}", "\\p", "[b-a]", "[[:nope:]]", "[a-\\d]", "(?z)", "(?i-)", "(?-)", "\\é"),
        *("{2}", "(" * 200 + ")" * 200, "(?:a{1000}){1000}", "\udcff"),
    ],
)
def test_what_is_no_pattern_matches_nothing_and_is_logged(pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Regexp.compile(pattern) is None
    assert "error compiling filter regexp" in caplog.text


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)x", "(?:a?){50}a{50}", "(\\w+\\s?)+$!"])
def test_no_pattern_takes_more_than_its_length_times_that_of_the_text(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Backtracking would need 2 to the 300th steps; here they are counted.
    monkeypatch.setattr(regexps, "WORK_LIMIT", 60_000)
    regexp = Regexp.compile(pattern)
    assert regexp is not None
    assert regexp.search("a" * 300) is (pattern == "(?:a?){50}a{50}")
    assert regexp.search("a" * 300 + "b") is (pattern != "(.*)(.*)(.*)(.*)(.*)x" and "!" not in pattern)


def test_a_pattern_that_needs_too_much_work_matches_nothing_from_then_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    regexp = Regexp.compile("(?:a|b){100}c")
    assert regexp is not None
    monkeypatch.setattr(regexps, "WORK_LIMIT", 50)
    assert regexp.search("ab" * 100 + "c") is False
    monkeypatch.setattr(regexps, "WORK_LIMIT", 10_000_000)
    assert regexp.search("ab" * 100 + "c") is False
    assert caplog.text.count("needs too much work") == 1
