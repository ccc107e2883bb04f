"""Names of images as people write them, in their one full form; see the reference grammar of distribution.

busybox           docker.io/library/busybox:latest
example.com/x:2   example.com/x:2
"""

from __future__ import annotations

import re
from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.quoting import quote

DEFAULT_DOMAIN: Final = "docker.io"
_OFFICIAL: Final = "library"
_OLD_DOMAIN: Final = "index.docker.io"
_NAME_LIMIT: Final = 255

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_PART: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_TAG: Final = r"[\w][\w.-]{0,127}"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE: Final = re.compile(
    rf"((?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII
)
_HEX_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")


def normalized(reference: str) -> str:
    """The full form of *reference*. Raises Unknown with the words of the original."""
    try:
        return _normalized(reference)
    except ValueError as error:
        raise Unknown(f"normalize image ref {quote(reference)}: {error}") from None


def _normalized(reference: str) -> str:
    if _HEX_IDENTIFIER.fullmatch(reference):
        raise ValueError(f"invalid repository name ({reference}), cannot specify 64-byte hexadecimal strings")
    domain, path = _split_domain(reference)
    remote_name = path.partition(":")[0] if ":" in path else path.partition("@")[0]
    if remote_name.lower() != remote_name:
        raise ValueError(f"invalid reference format: repository name ({remote_name}) must be lowercase")
    match = _REFERENCE.fullmatch(f"{domain}/{path}")
    if match is None:
        raise ValueError("invalid reference format")
    name, tag, digest = match.groups()
    if len(name) - len(domain) - 1 > _NAME_LIMIT:
        raise ValueError(f"repository name must not be more than {_NAME_LIMIT} characters")
    # A digest says more than a tag, which is then left out.
    return f"{name}@{digest}" if digest else f"{name}:{tag or 'latest'}"


def _split_domain(reference: str) -> tuple[str, str]:
    domain, slash, rest = reference.partition("/")
    is_domain = bool(slash) and ("." in domain or ":" in domain or domain == "localhost" or domain.lower() != domain)
    if not is_domain:
        domain, rest = DEFAULT_DOMAIN, reference
    if domain == _OLD_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"{_OFFICIAL}/{rest}"
    return domain, rest


def object_of(reference: str) -> str:
    """What a full reference names in its repository: the tag, or `@` and the digest."""
    path = reference.partition("/")[2]
    match = re.search(r"[:@]", path)
    if match is None:
        return ""
    return path[match.start() :].removeprefix(":")
