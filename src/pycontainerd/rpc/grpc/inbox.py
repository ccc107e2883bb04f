"""What came for a call and was not yet read, and how the peer's window opens as it is read."""

from __future__ import annotations

from collections import deque

from pycontainerd.rpc.driver import Waiter
from pycontainerd.rpc.grpc.endpoint import Endpoint
from pycontainerd.rpc.grpc.messages import Assembler, Decompress
from pycontainerd.rpc.http2.events import DataReceived
from pycontainerd.rpc.http2.stream import Stream


class Inbox:
    """The messages of one direction of a call, for one reader.

    A slow reader holds no more than a window of the stream; only who waits for a message gets one that is larger.
    """

    __slots__ = (
        "_arrived",
        "_assembler",
        "_consumed",
        "_ended",
        "_endpoint",
        "_error",
        "_messages",
        "_read",
        "_stream",
        "_waiter",
    )

    def __init__(self, endpoint: Endpoint, stream: Stream, decompress: Decompress | None) -> None:
        self._endpoint = endpoint
        self._stream = stream
        self._assembler = Assembler(endpoint.message_limit, decompress)
        self._messages: deque[tuple[bytes, int]] | None = None
        self._waiter: Waiter[None] | None = None
        self._ended = False
        self._error: BaseException | None = None
        # Bytes of the stream so far: what came, what was read, what of it the peer was told to send again.
        self._arrived = 0
        self._read = 0
        self._consumed = 0

    def use(self, decompress: Decompress) -> None:
        """Compressed messages are undone by *decompress*: the peer has told so."""
        self._assembler.decompress = decompress

    def feed(self, event: DataReceived) -> None:
        """Takes data. Raises `errors.Error` when it is no message or one that is too large."""
        self._arrived += event.size
        self._read += event.size - sum(map(len, event.pieces))  # padding
        complete = self._assembler.feed(event.pieces)
        if complete:
            if self._messages is None:
                self._messages = deque()
            self._messages += complete
            self._wake()
        elif self._waiter is not None:
            self._give_back(self._arrived)
        if event.ended:
            self.end(None)

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes; *error* is raised to the reader after what has come."""
        if self._ended:
            return
        self._ended = True
        self._error = error
        self._wake()

    @property
    def cut_off(self) -> bool:
        """Whether the data ended within a message."""
        return self._assembler.cut_off

    async def next(self) -> bytes | None:
        """The next message; None after the last one. Raises the error that ended the call."""
        while not self._messages:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            self._give_back(self._arrived)
            self._waiter = self._endpoint.driver.waiter()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, size = self._messages.popleft()
        self._read += size
        self._give_back(self._read)
        return message

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set(None)

    def _give_back(self, upto: int) -> None:
        size = upto - self._consumed
        if size > 0:
            self._consumed = upto
            self._endpoint.core.consume(self._stream, size)
            self._endpoint.flush()
