"""What a file says made into the struct that it means: strict in types, lenient with unknown keys.

A section is laid over the defaults of its struct: tables by key, everything else whole. Keys are found in any case,
as stock finds them. An unknown key is told and left out; a wrong type is refused with its key and the reason.
"""

from __future__ import annotations

import datetime as dt
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
import msgspec.structs

from pycontainerd.config.duration import Duration
from pycontainerd.errors import InvalidArgument

T = TypeVar("T")
Path = tuple[str, ...]
Unknown = Callable[[Path], None]
"""Called with each key that the struct lacks."""

_WORDS: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
    dt.datetime: "a date and time",
    dt.date: "a date",
    dt.time: "a time",
}


def decode(raw: Mapping[str, Any], struct: type[T], *, at: Path = (), unknown: Unknown = lambda path: None) -> T:
    """*raw*, which stands at *at* in its file, as a *struct*, over its defaults.

    Raises InvalidArgument that begins with the key.
    """
    return _over_struct(struct(), raw, struct, at, lambda path: unknown(path[len(at) :]))


def encode(value: Any) -> Any:
    """A struct as plain values in the order of its fields, without what is None or hidden when empty."""
    if isinstance(value, msgspec.Struct):
        hidden: frozenset[str] = getattr(value, "hidden_when_empty", frozenset())
        pairs = ((key, getattr(value, key)) for key in value.__struct_fields__)
        return {key: encode(it) for key, it in pairs if not (it is None or (key in hidden and is_empty(it)))}
    if isinstance(value, Mapping):
        return {key: encode(value[key]) for key in sorted(value, key=str.encode)}
    if isinstance(value, list | tuple):
        return [encode(element) for element in value]
    return str(value) if isinstance(value, Duration) else value


def is_empty(value: Any) -> bool:
    """Whether *value* is what a key has that nobody set."""
    if isinstance(value, msgspec.Struct):
        return all(is_empty(getattr(value, key)) for key in value.__struct_fields__)
    return not value


def _over_struct(base: T, raw: Any, struct: type[Any], path: Path, unknown: Unknown) -> T:
    _expect(raw, dict, path)
    fields = {info.encode_name: info for info in msgspec.structs.fields(struct)}
    folded = {name.lower(): name for name in fields}
    laid: dict[str, Any] = {}
    for key, value in raw.items():
        name = key if key in fields else folded.get(key.lower())
        if name is None:
            unknown((*path, key))
            continue
        info = fields[name]
        laid[info.name] = _over(getattr(base, info.name), value, info.type, (*path, key), unknown)
    return msgspec.structs.replace(base, **laid)  # type: ignore[type-var]


def _over(base: Any, raw: Any, wanted: Any, path: Path, unknown: Unknown) -> Any:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        wanted = next(argument for argument in arguments if argument is not type(None))
        return _over(base, raw, wanted, path, unknown)
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _over_struct(wanted() if base is None else base, raw, wanted, path, unknown)
    if origin is dict:
        _expect(raw, dict, path)
        laid = dict(base or {})
        for key, value in raw.items():
            laid[key] = _over(laid.get(key), value, arguments[1], (*path, key), unknown)
        return laid
    if origin in (list, tuple):
        _expect(raw, list, path)
        elements = (_over(None, it, arguments[0], (*path, str(number)), unknown) for number, it in enumerate(raw))
        return origin(elements)
    return _scalar(base, raw, wanted, path)


def _scalar(base: Any, raw: Any, wanted: Any, path: Path) -> Any:
    if wanted is Any:
        return _merged(base, raw)
    if wanted is Duration:
        return _duration(raw, path)
    if wanted is float and type(raw) is int:
        return float(raw)
    if wanted in _WORDS:
        _expect(raw, wanted, path)
        return raw
    try:
        return msgspec.convert(raw, wanted)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{key_text(path)}: {error}", bare=True) from None


def _merged(base: Any, raw: Any) -> Any:
    if isinstance(base, dict) and isinstance(raw, dict):
        return base | {key: _merged(base.get(key), value) for key, value in raw.items()}
    return raw


def _duration(raw: Any, path: Path) -> Duration:
    if isinstance(raw, Duration):
        return raw
    _expect(raw, str, path, wanted='a duration such as "1m30s"')
    try:
        return Duration.parse(raw)
    except InvalidArgument as error:
        raise InvalidArgument(f"{key_text(path)}: {error.message}", bare=True) from None


def _expect(raw: Any, kind: type[Any], path: Path, *, wanted: str = "") -> None:
    if type(raw) is not kind:
        text = f"expected {wanted or word(kind)}, got {word(type(raw))}"
        raise InvalidArgument(f"{key_text(path)}: {text}", bare=True)


def word(kind: type[Any]) -> str:
    """How people call a type of TOML."""
    return _WORDS.get(kind, kind.__name__)


def key_text(path: Path) -> str:
    """A path of keys as TOML writes it."""
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f"'{key}'" for key in path) or "the document"
