"""What can go wrong, as a caller may act on it.

    Error
     ├─ Unknown             nothing is known but the text
     ├─ InvalidArgument     asked for something that can't be meant
     ├─ NotFound
     ├─ AlreadyExists
     ├─ PermissionDenied
     ├─ ResourceExhausted   a limit is reached
     ├─ FailedPrecondition  the state of the object forbids it
     │   ├─ Conflict
     │   └─ NotModified
     ├─ Aborted
     ├─ OutOfRange
     ├─ Unimplemented
     ├─ Internal            a defect of ours or a broken file
     ├─ Unavailable         try again later
     ├─ DataLoss
     ├─ Unauthenticated
     ├─ Cancelled           the caller went away
     └─ DeadlineExceeded

Stores raise these; `rpc/` makes status codes of them and nothing else does. On the wire a message ends in the
text of its kind (`container "c1" in namespace "default": not found`): clients cut it off and find the kind by it.
"""

from __future__ import annotations

from typing import ClassVar, Self


class Error(Exception):
    """An error with a kind.

    *message* says what was asked, what is wrong and which object. *hint* says what to do, for people. A *bare*
    error goes to the wire without the text of its kind, as those do that the original makes in its gRPC layer.
    """

    kind: ClassVar[str] = "unknown"

    def __init__(self, message: str, *, hint: str = "", bare: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.bare = bare

    def wire_text(self) -> str:
        """The message as clients read it: with the kind's text at its end, once."""
        if self.bare or not self.kind or self.message.endswith(self.kind):
            return self.message
        return f"{self.message}: {self.kind}" if self.message else self.kind

    def within(self, context: str) -> Self:
        """The same error with *context* before its message, as `raise error.within("...") from error` wants it."""
        outer = type(self)(f"{context}: {self.message}", hint=self.hint, bare=self.bare)
        outer.__cause__ = self
        return outer

    def __str__(self) -> str:
        return self.wire_text()


class Unknown(Error):
    """An error of which only the text is known; goes to the wire as it is."""

    kind = ""


class InvalidArgument(Error):
    """The request can't be meant as it is."""

    kind = "invalid argument"


class NotFound(Error):
    """What was named does not exist."""

    kind = "not found"


class AlreadyExists(Error):
    """What was to be made exists."""

    kind = "already exists"


class PermissionDenied(Error):
    """The caller may not do this."""

    kind = "permission denied"


class ResourceExhausted(Error):
    """A limit is reached: a size, a number, a disk."""

    kind = "resource exhausted"


class FailedPrecondition(Error):
    """The state of the object forbids what was asked."""

    kind = "failed precondition"


class Conflict(FailedPrecondition):
    """Somebody else changed the object meanwhile."""

    kind = "conflict"


class NotModified(FailedPrecondition):
    """There was nothing to change."""

    kind = "not modified"


class Aborted(Error):
    """Given up in the middle; the whole may be tried again."""

    kind = "aborted"


class OutOfRange(Error):
    """An offset or a number lies outside of the object."""

    kind = "out of range"


class Unimplemented(Error):
    """Nothing here can do this."""

    kind = "not implemented"


class Internal(Error):
    """A defect: an invariant does not hold."""

    kind = "internal"


class Unavailable(Error):
    """Can't be done now; the caller may try again."""

    kind = "unavailable"


class DataLoss(Error):
    """Data is gone or damaged for good."""

    kind = "data loss"


class Unauthenticated(Error):
    """The caller's identity is missing or not believed."""

    kind = "unauthorized"


class Cancelled(Error):
    """The caller went away."""

    kind = "context canceled"


class DeadlineExceeded(Error):
    """The caller's time is over."""

    kind = "context deadline exceeded"
