"""Signals by name."""

from __future__ import annotations

import signal

from pycontainerd.errors import InvalidArgument

_REALTIME = 34
"""SIGRTMIN as programs see it: the C library keeps the two before it."""


def signal_number(text: str) -> int:
    """The number of the signal *text*: a name with or without SIG, `RTMIN+3`, or a number. Raises
    InvalidArgument.
    """
    if text.isdecimal():
        number = int(text)
        if number == 0:
            raise InvalidArgument(f"invalid signal: {text}", bare=True)
        return number
    name = text.upper().removeprefix("SIG")
    member = getattr(signal, f"SIG{name}", None)
    if isinstance(member, signal.Signals):
        return int(member)
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    if base in {"RTMIN", "RTMAX"} and offset.isdecimal():
        number = _REALTIME + int(offset) if base == "RTMIN" else 64 - int(offset)
        if _REALTIME <= number <= 64 and sign == ("+" if base == "RTMIN" else "-"):
            return number
    raise InvalidArgument(f"invalid signal: {text}", bare=True)
