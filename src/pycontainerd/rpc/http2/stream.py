"""One stream of a connection."""

from __future__ import annotations

from typing import Any


class Stream:
    """Where a stream stands, both ways. *owner* is the layer above's."""

    __slots__ = (
        "expected",
        "held",
        "id",
        "local_closed",
        "outbox",
        "outbox_end",
        "outbox_size",
        "owner",
        "receive_window",
        "remote_closed",
        "responded",
        "send_window",
        "trailers",
        "unacknowledged",
    )

    def __init__(self, number: int, send_window: int, receive_window: int) -> None:
        self.id = number
        self.owner: Any = None
        self.send_window = send_window
        self.receive_window = receive_window
        self.unacknowledged = 0
        """Bytes that were consumed and are not yet given back to the peer."""
        self.held = 0
        """Bytes that were received and are not yet consumed."""
        self.expected = -1
        """Bytes that the peer's content-length still promises; -1: it made no promise."""
        self.responded = False
        """Whether the first header fields of the peer have come."""
        self.local_closed = False
        self.remote_closed = False
        self.outbox: list[bytes | memoryview] | None = None
        self.outbox_size = 0
        self.outbox_end = False
        """Whether the stream ends with its outbox."""
        self.trailers: bytes | None = None
        """The block that ends the stream after its outbox."""
