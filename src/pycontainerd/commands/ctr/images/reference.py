"""Names of images as people may write them: the grammar of registries, see the distribution specification."""

from __future__ import annotations

import re

from pycontainerd.errors import InvalidArgument

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?"
)
_NAME_LIMIT = 255


def check_reference(text: str) -> None:
    """Raises InvalidArgument if *text* is no name of an image."""
    if not _REFERENCE.fullmatch(text) or len(text.partition("@")[0]) > _NAME_LIMIT:
        raise InvalidArgument(
            f'error parsing reference: "{text}" is not a valid repository/tag invalid reference format', bare=True
        )
