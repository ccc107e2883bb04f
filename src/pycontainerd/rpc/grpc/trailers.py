"""How a call ended, as header fields: `grpc-status`, `grpc-message`, `grpc-status-details-bin`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pycontainerd.rpc.grpc.headers import (
    CONTENT_TYPE,
    decode_binary,
    encode_binary,
    from_metadata,
    percent_decoded,
    percent_encoded,
)
from pycontainerd.rpc.http2.compression import encode
from pycontainerd.rpc.http2.frames import ErrorCode
from pycontainerd.rpc.http2.static_table import Field
from pycontainerd.rpc.status import Code, Status, decode_details, encode_status

RESPONSE: Final[tuple[Field, ...]] = ((b":status", b"200"), (b"content-type", CONTENT_TYPE))
RESPONSE_BLOCK: Final = encode(RESPONSE)
"""The headers of every answer that has messages."""

OK_BLOCK: Final = encode(((b"grpc-status", b"0"),))
OK: Final = Status(Code.OK)

_OF_HTTP: Final = {
    b"400": Code.INTERNAL,
    b"401": Code.UNAUTHENTICATED,
    b"403": Code.PERMISSION_DENIED,
    b"404": Code.UNIMPLEMENTED,
    b"429": Code.UNAVAILABLE,
    b"502": Code.UNAVAILABLE,
    b"503": Code.UNAVAILABLE,
    b"504": Code.UNAVAILABLE,
}

_OF_RESET: Final[dict[int, Code]] = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}


def trailers_block(status: Status, metadata: Sequence[tuple[str, str | bytes]] = (), *, only: bool) -> bytes:
    """The block that ends a call; *only*: it is the whole answer, so it begins as one."""
    if not status.code and not metadata and not only:
        return OK_BLOCK
    fields = [*(RESPONSE if only else ()), (b"grpc-status", b"%d" % status.code)]
    if status.message:
        fields.append((b"grpc-message", percent_encoded(status.message)))
    if status.details:
        fields.append((b"grpc-status-details-bin", encode_binary(encode_status(status))))
    return encode([*fields, *from_metadata(metadata)])


def refusal_block(http_status: int, status: Status, extra: Sequence[Field] = ()) -> bytes:
    """The block that answers what can't become a call."""
    return encode(
        (
            (b":status", b"%d" % http_status),
            (b"content-type", CONTENT_TYPE),
            *extra,
            (b"grpc-status", b"%d" % status.code),
            (b"grpc-message", percent_encoded(status.message)),
        )
    )


def status_of_trailers(fields: Sequence[Field]) -> Status:
    """The status that ends a call, from its trailers or from an answer without messages."""
    known = dict(fields)
    value = known.get(b"grpc-status")
    if value is None:
        return status_of_http(known.get(b":status", b"200"))
    if not value.isdigit() or len(value) > 9:
        return Status(Code.UNKNOWN, f"malformed grpc-status: {value!r}")
    details = known.get(b"grpc-status-details-bin")
    return Status(
        int(value),
        percent_decoded(known.get(b"grpc-message", b"")),
        decode_details(decode_binary(details)) if details is not None else (),
    )


def status_of_http(value: bytes) -> Status:
    """The status of an answer that isn't gRPC's."""
    if value == b"200":
        return Status(Code.INTERNAL, "server closed the stream without sending trailers")
    return Status(
        _OF_HTTP.get(value, Code.UNKNOWN), f"unexpected HTTP status code received from server: {value.decode()}"
    )


def status_of_reset(code: int) -> Status:
    """The status of a call whose stream the peer reset with *code*."""
    name = ErrorCode(code).name if code <= max(ErrorCode) else str(code)
    message = f"stream terminated by RST_STREAM with error code: {name}"
    return Status(_OF_RESET.get(code, Code.INTERNAL), message)
