"""Errors as status codes and back: one table for both protocols.

What a store raises becomes a code, a message that ends in the text of its kind, and, when several errors were
joined, details (wire reference, section 9). What a server answers becomes the same error again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from pycontainerd import errors


class Code(IntEnum):
    """The numbers of google.rpc.Code, on the wire of both protocols."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Status(NamedTuple):
    """How a call ended. *details* are serialized google.protobuf.Any messages."""

    code: int
    message: str = ""
    details: tuple[bytes, ...] = ()


class StatusDetails(Exception):
    """What a status carried besides code and message; stands as the cause of the error that was made of it."""

    def __init__(self, details: Sequence[bytes]) -> None:
        super().__init__(f"{len(details)} details")
        self.details = tuple(details)

    def statuses(self) -> Iterator[Status]:
        """Those details that are statuses themselves: the other errors of several joined ones."""
        from google.protobuf.any_pb2 import Any
        from google.rpc.status_pb2 import Status as StatusMessage

        for detail in self.details:
            wrapped, message = Any.FromString(detail), StatusMessage()
            if wrapped.Unpack(message):
                inner = tuple(each.SerializeToString() for each in message.details)
                yield Status(message.code, message.message, inner)


_KINDS: Final[dict[type[errors.Error], Code]] = {
    errors.Unknown: Code.UNKNOWN,
    errors.InvalidArgument: Code.INVALID_ARGUMENT,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.ResourceExhausted: Code.RESOURCE_EXHAUSTED,
    errors.FailedPrecondition: Code.FAILED_PRECONDITION,
    errors.Aborted: Code.ABORTED,
    errors.OutOfRange: Code.OUT_OF_RANGE,
    errors.Unimplemented: Code.UNIMPLEMENTED,
    errors.Internal: Code.INTERNAL,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.DataLoss: Code.DATA_LOSS,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.Cancelled: Code.CANCELLED,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
}

_CLASSES: Final[dict[int, type[errors.Error]]] = {code: kind for kind, code in _KINDS.items()}

# These share a code with failed precondition and are told from it by the end of their text alone.
_TOLD_BY_TEXT: Final = (errors.Conflict, errors.NotModified)


def code_of(error: BaseException) -> Code:
    """The code of *error*'s kind; UNKNOWN for what is none of `errors.Error`."""
    for kind in type(error).__mro__:
        code = _KINDS.get(kind)
        if code is not None:
            return code
    return Code.UNKNOWN


def described(error: errors.Error) -> str:
    """*error* as the original's gRPC library prints it, where it does not unpack it."""
    code = code_of(error).name.title().replace("_", "").replace("Cancelled", "Canceled")
    return f"rpc error: code = {code} desc = {error.wire_text()}"


def is_expected(error: BaseException) -> bool:
    """Whether *error* consists of `errors.Error`s only; anything else is a defect that belongs in the log."""
    return all(isinstance(each, errors.Error) for each in _flat(error))


def to_status(error: BaseException) -> Status:
    """The status that *error* goes out as; each joined error after the first becomes a detail."""
    joined = list(_flat(error))
    first = joined[0]
    message = "\n".join(_text(each) for each in joined)
    details = tuple(_as_detail(to_status(each)) for each in joined[1:])
    if isinstance(first.__cause__, StatusDetails):
        details = first.__cause__.details + details
    return Status(code_of(first), message, details)


def from_status(code: int, message: str, details: Sequence[bytes] = ()) -> errors.Error:
    """The error that an answer of *code* means, its message without the text of its kind."""
    kind = _CLASSES.get(code, errors.Unknown)
    if kind is errors.FailedPrecondition:
        kind = next((each for each in _TOLD_BY_TEXT if message.endswith(each.kind)), kind)
    text = _without_kind(message, kind.kind)
    # Made without the text of its kind or with it twice, it is shown and passed on so.
    odd = text == message or (bool(kind.kind) and text.endswith(kind.kind))
    error = kind(message, bare=True) if odd else kind(text)
    if details:
        error.__cause__ = StatusDetails(details)
    return error


def _without_kind(message: str, kind: str) -> str:
    if not kind:
        return message
    return "" if message == kind else message.removesuffix(f": {kind}")


def _flat(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _flat(inner)
    else:
        yield error


def _text(error: BaseException) -> str:
    if isinstance(error, errors.Error):
        return error.wire_text()
    return str(error) or type(error).__name__


def _as_detail(status: Status) -> bytes:
    from google.protobuf.any_pb2 import Any

    return Any(type_url="type.googleapis.com/google.rpc.Status", value=encode_status(status)).SerializeToString()


def encode_status(status: Status) -> bytes:
    """*status* as a serialized google.rpc.Status, as `grpc-status-details-bin` carries it."""
    from google.protobuf.any_pb2 import Any
    from google.rpc.status_pb2 import Status as StatusMessage

    details = [Any.FromString(each) for each in status.details]
    message = StatusMessage(code=status.code, message=status.message, details=details)
    return bytes(message.SerializeToString())


def decode_details(data: bytes) -> tuple[bytes, ...]:
    """The details within a serialized google.rpc.Status; none when it can't be read."""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status as StatusMessage

    try:
        message = StatusMessage.FromString(data)
    except DecodeError:
        return ()
    return tuple(each.SerializeToString() for each in message.details)
