"""The static table of header compression (RFC 7541, appendix A); index 0 is not used."""

from __future__ import annotations

from typing import Final

Field = tuple[bytes, bytes]

_TEXT: Final = b"""
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""


def _fields() -> tuple[Field, ...]:
    lines = [line.partition(b" ") for line in _TEXT.split(b"\n")[1:-1]]
    return ((b"", b""), *((name, value) for name, _, value in lines))


STATIC: Final = _fields()
STATIC_COUNT: Final = len(STATIC)

WHOLE: Final = {field: index for index, field in enumerate(STATIC) if index}
"""Indexes of whole fields."""

NAMES: Final = {name: index for index, (name, _) in reversed(list(enumerate(STATIC))) if index}
"""The lowest index of each name."""
