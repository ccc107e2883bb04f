"""What a service sees of one call besides its request."""

from __future__ import annotations

import re
from typing import Final

from pycontainerd.errors import FailedPrecondition, InvalidArgument
from pycontainerd.quoting import quote
from pycontainerd.rpc.driver import Peer

NAMESPACE_HEADER: Final = "containerd-namespace"
NAMESPACE_TTRPC: Final = "containerd-namespace-ttrpc"
LEASE_HEADER: Final = "containerd-lease"

IDENTIFIER_LIMIT: Final = 76
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*")
_IDENTIFIER_TEXT: Final = r"^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$"


def check_identifier(text: str) -> str:
    """Returns *text* if it is an identifier: a namespace, a container, a task, an exec, a part of a topic.

    Raises InvalidArgument with the words of the original.
    """
    if not text:
        raise InvalidArgument("identifier must not be empty")
    if len(text.encode()) > IDENTIFIER_LIMIT:
        raise InvalidArgument(f"identifier {quote(text)} greater than maximum length ({IDENTIFIER_LIMIT} characters)")
    if not _IDENTIFIER.fullmatch(text):
        raise InvalidArgument(f"identifier {quote(text)} must match {_IDENTIFIER_TEXT}")
    return text


Metadata = tuple[tuple[str, str | bytes], ...]
"""Headers of a call in order; the values of keys that end in `-bin` are bytes."""


class Call:
    """One call: who asks, in which namespace, until when.

    *deadline* is a time of the driver's clock. The call of a client that goes away is cancelled by the driver.
    """

    __slots__ = ("deadline", "metadata", "path", "peer", "trailers")

    def __init__(
        self, path: str, metadata: Metadata = (), peer: Peer | None = None, deadline: float | None = None
    ) -> None:
        self.path = path
        self.metadata = metadata
        self.peer = peer
        self.deadline = deadline
        self.trailers: list[tuple[str, str | bytes]] = []

    def first(self, key: str) -> str | None:
        """The first value of header *key*: Go clients put the newest in front."""
        for name, value in self.metadata:
            if name == key and isinstance(value, str):
                return value
        return None

    @property
    def namespace(self) -> str:
        """The namespace of the call. Raises FailedPrecondition if it has none, InvalidArgument if it is none."""
        value = self.namespace_or_empty
        if not value:
            raise FailedPrecondition("namespace is required")
        try:
            return check_identifier(value)
        except InvalidArgument as error:
            raise error.within("namespace validation") from None

    @property
    def namespace_or_empty(self) -> str:
        """The namespace as it was sent, or nothing: the streaming service takes both."""
        return self.first(NAMESPACE_HEADER) or self.first(NAMESPACE_TTRPC) or ""

    @property
    def lease(self) -> str | None:
        """The lease that takes what this call makes, if the client named one."""
        return self.first(LEASE_HEADER) or None
