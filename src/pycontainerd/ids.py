"""The source of random names, passed in wherever one is made."""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from typing import Protocol


class Ids(Protocol):
    """Where random names come from."""

    def unique(self) -> str:
        """`<nanosecond part of now>-<4 characters>`, as leases and extractions are named."""

    def uuid(self) -> str:
        """A random UUID of version 4, as text."""


class RandomIds:
    """Names that nobody can guess or meet twice."""

    def unique(self) -> str:
        return f"{time.time_ns() % 1_000_000_000}-{base64.urlsafe_b64encode(secrets.token_bytes(3)).decode()}"

    def uuid(self) -> str:
        return str(uuid.uuid4())
