"""What a list of header fields means for the stream that it comes on. Blocks that come again are checked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pycontainerd.rpc.http2.compression import HeaderBlock
from pycontainerd.rpc.http2.semantics import Malformed, check_request, check_response, check_trailers
from pycontainerd.rpc.http2.static_table import Field
from pycontainerd.rpc.http2.stream import Stream


def begin(stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
    """A request's head begins *stream*; *ended*: it is all of the request. Raises Malformed."""
    stream.expected = _promised(block, check_request)
    if ended and stream.expected > 0:
        raise Malformed("a request that promises data and has none")
    stream.responded = True


def go_on(stream: Stream, block: HeaderBlock, *, ended: bool) -> None:
    """Headers on a stream that we know: the answer to a request of ours, or trailers. Raises Malformed."""
    if stream.responded:
        if not block.trails:
            check_trailers(block.fields)
            block.trails = True
        if not ended or stream.expected > 0:
            raise Malformed("trailers that end nothing, or too little data before them")
        return
    expected = _promised(block, check_response)
    stream.responded = not (b":status", b"100") <= block.fields[0] < (b":status", b"200")
    if ended and not stream.responded:
        raise Malformed("an answer that is only informational ends the stream")
    stream.expected = -1 if ended else expected


def _promised(block: HeaderBlock, check: Callable[[Sequence[Field]], int]) -> int:
    if block.promised is None:
        block.promised = check(block.fields)
    return block.promised
