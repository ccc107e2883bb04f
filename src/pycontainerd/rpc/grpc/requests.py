"""The head of a request: what its header fields ask for, or why it can't become a call."""

from __future__ import annotations

from collections.abc import Sequence

from pycontainerd.errors import Error
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.grpc.headers import CONTENT_TYPE, MalformedTimeout, parse_timeout, to_metadata
from pycontainerd.rpc.grpc.messages import ENCODINGS, Decompress, decompressor
from pycontainerd.rpc.grpc.trailers import refusal_block
from pycontainerd.rpc.http2.static_table import Field
from pycontainerd.rpc.service import Handler, ServiceTable
from pycontainerd.rpc.status import Code, Status, to_status


class RequestHead:
    """What a client asked for. Heads that come again are the same object."""

    __slots__ = ("decompress", "handler", "metadata", "path", "refusal", "timeout_s")

    def __init__(self) -> None:
        self.path = ""
        self.handler: Handler | None = None
        self.metadata: Metadata = ()
        self.timeout_s: float | None = None
        self.decompress: Decompress | None = None
        self.refusal = b""
        """The block that answers it when it is no call of ours."""


def parse_head(fields: Sequence[Field], table: ServiceTable) -> RequestHead:
    """The head that *fields* mean. The checks stand in the order in which the original makes them."""
    head = RequestHead()
    known = dict(fields)
    content_type = known.get(b"content-type", b"")
    if not _is_grpc(content_type):
        text = f'invalid gRPC request content-type "{content_type.decode(errors="replace")}"'
        head.refusal = refusal_block(415, Status(Code.INVALID_ARGUMENT, text))
    elif known[b":method"] != b"POST":
        method = known[b":method"].decode(errors="replace")
        text = f'Received a HEADERS frame with :method "{method}" which should be POST'
        head.refusal = refusal_block(405, Status(Code.INTERNAL, text))
    else:
        _parse_call(head, known, fields, table)
    return head


def _parse_call(head: RequestHead, known: dict[bytes, bytes], fields: Sequence[Field], table: ServiceTable) -> None:
    timeout = known.get(b"grpc-timeout")
    try:
        head.timeout_s = parse_timeout(timeout) if timeout is not None else None
        head.metadata = to_metadata(fields)
    except (MalformedTimeout, Error) as error:
        head.refusal = refusal_block(400, Status(Code.INTERNAL, str(error)))
        return
    head.path = known[b":path"].decode(errors="replace")
    head.handler = table.find(head.path)
    if head.handler is None:
        head.refusal = refusal_block(200, _unknown(head.path, table))
        return
    try:
        head.decompress = decompressor(known.get(b"grpc-encoding", b"identity"))
    except Error as error:
        head.refusal = refusal_block(200, to_status(error), ((b"grpc-accept-encoding", ENCODINGS),))


def _is_grpc(content_type: bytes) -> bool:
    rest = content_type.lower().removeprefix(CONTENT_TYPE)
    return rest != content_type.lower() and rest[:1] in (b"", b"+", b";")


def _unknown(path: str, table: ServiceTable) -> Status:
    service, separator, method = path.removeprefix("/").rpartition("/")
    if not separator:
        return Status(Code.UNIMPLEMENTED, f'malformed method name: "{path}"')
    if table.has_service(service):
        return Status(Code.UNIMPLEMENTED, f"unknown method {method} for service {service}")
    return Status(Code.UNIMPLEMENTED, f"unknown service {service}")
