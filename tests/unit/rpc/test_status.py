from __future__ import annotations

import pytest

from pycontainerd import errors
from pycontainerd.rpc.status import (
    Code,
    StatusDetails,
    code_of,
    decode_details,
    encode_status,
    from_status,
    is_expected,
    to_status,
)


def kinds() -> list[type[errors.Error]]:
    found, todo = [], [errors.Error]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind is not errors.Error and kind.__module__ == errors.__name__:
            found.append(kind)
    return found


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_a_code_and_comes_back(kind: type[errors.Error]) -> None:
    status = to_status(kind("what was asked"))
    assert (status.code == Code.UNKNOWN) == (kind is errors.Unknown)
    back = from_status(status.code, status.message)
    assert type(back) is kind
    assert back.wire_text() == status.message
    assert back.message == "what was asked"


@pytest.mark.parametrize(
    ("code", "message", "kind", "left"),
    [
        (5, "not found", errors.NotFound, ""),
        (5, "unknown thing", errors.NotFound, "unknown thing"),
        (9, "x: conflict", errors.Conflict, "x"),
        (9, "x: not modified", errors.NotModified, "x"),
        (9, "x: failed precondition", errors.FailedPrecondition, "x"),
        (2, "EOF", errors.Unknown, "EOF"),
        (99, "from the future", errors.Unknown, "from the future"),
    ],
)
def test_the_kind_is_found_by_code_and_text(code: int, message: str, kind: type[errors.Error], left: str) -> None:
    error = from_status(code, message)
    assert (type(error), error.message) == (kind, left)


def test_a_subclass_has_the_code_of_its_kind() -> None:
    class Locked(errors.Unavailable):
        pass

    assert code_of(Locked("x")) == Code.UNAVAILABLE


def test_what_nobody_declared_is_unknown_with_its_text() -> None:
    assert to_status(ValueError("odd")).message == "odd"
    assert to_status(KeyError()).message == "KeyError"
    assert to_status(OSError(2, "No such file")).code == Code.UNKNOWN
    assert not is_expected(ValueError("odd"))
    assert is_expected(errors.NotFound("x"))
    assert not is_expected(ExceptionGroup("", [errors.NotFound("x"), ValueError("odd")]))


def test_each_joined_error_after_the_first_is_a_detail() -> None:
    group = ExceptionGroup("", [errors.NotFound("a"), ExceptionGroup("", [errors.Conflict("b"), ValueError("c")])])
    status = to_status(group)
    assert (status.code, status.message) == (Code.NOT_FOUND, "a: not found\nb: conflict\nc")
    nested = list(StatusDetails(status.details).statuses())
    assert [(each.code, each.message) for each in nested] == [(9, "b: conflict"), (2, "c")]


def test_a_group_of_one_is_that_one() -> None:
    assert to_status(ExceptionGroup("", [errors.NotFound("a")])) == to_status(errors.NotFound("a"))


def test_details_survive_a_passage() -> None:
    status = to_status(ExceptionGroup("", [errors.NotFound("a"), errors.Conflict("b")]))
    passed = from_status(status.code, status.message, status.details)
    assert to_status(passed).details == status.details
    assert decode_details(encode_status(status)) == status.details
    assert decode_details(b"\xff\xff") == ()
