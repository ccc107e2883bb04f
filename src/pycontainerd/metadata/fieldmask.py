"""Field masks over maps: `labels` replaces all, `labels.<key>` one, the rest of the path being the key as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def key_of(path: str, field: str) -> str | None:
    """The key that *path* names in the map *field*, None if it names none: `labels.a.b` is `a.b` of `labels`."""
    if path.startswith(field) and path[len(field) : len(field) + 1] == ".":
        return path[len(field) + 1 :]
    return None


def patched(
    current: Mapping[str, str], sent: Mapping[str, str], paths: Iterable[str], field: str = "labels"
) -> dict[str, str]:
    """*current* as *paths* change it to *sent*; without paths it is *sent*. A value that is empty or wasn't sent goes.

    Paths to other fields are left to the caller.
    """
    paths = list(paths)
    if not paths:
        return dict(sent)
    result = dict(current)
    for path in paths:
        if path == field:
            result = dict(sent)
        elif (key := key_of(path, field)) is not None:
            value = sent.get(key, "")
            if value:
                result[key] = value
            else:
                result.pop(key, None)
    return result
