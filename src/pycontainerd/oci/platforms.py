"""Platforms: reading them, bringing them to one form, and choosing the manifest that runs best on a machine.

Facts of stock's platform library; the vectors of preference are what it prints for each architecture.
"""

from __future__ import annotations

import os as _os
import re
from collections.abc import Callable, Iterable
from typing import Final

from pycontainerd.errors import InvalidArgument
from pycontainerd.oci.image import Descriptor, Platform

_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")
_OS_PART: Final = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")

_OPERATING_SYSTEMS: Final = frozenset((
    "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl",
    "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
))  # fmt: skip
_ARCHITECTURES: Final = frozenset((
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64",
    "mips64le", "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x",
    "sparc", "sparc64", "wasm",
))  # fmt: skip
_MACHINES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armv6l": "arm/v6",
    "armv7l": "arm/v7",
    "armv8l": "arm/v8",
    "loongarch64": "loong64",
}
"""What uname(2) calls machines; the others have one name."""


def parse(text: str) -> Platform:
    """The platform that *text* means: `os`, `architecture`, `os/architecture` or `os/architecture/variant`.

    The operating system may carry `(version+feature…)`. What is left out is taken from this machine.
    Raises InvalidArgument.
    """
    if "*" in text:
        raise InvalidArgument(f'"{text}": wildcards not yet supported')
    parts = text.split("/", 3)
    if len(parts) > 3:
        raise InvalidArgument(f'"{text}": cannot parse platform specifier')
    head = _OS_PART.fullmatch(parts[0])
    if head is None or not all(_PART.fullmatch(part) for part in parts[1:]):
        bad = parts[0] if head is None else next(part for part in parts[1:] if not _PART.fullmatch(part))
        raise InvalidArgument(
            f'"{bad}" is an invalid component of "{text}": platform specifier component must match "{_PART.pattern}"'
        )
    if len(parts) == 1:
        return _parse_single(text, head)
    variant = parts[2] if len(parts) == 3 else ""
    return normalize(_with_os(head, Platform(parts[1], head[1], variant=variant)))


def _parse_single(text: str, head: re.Match[str]) -> Platform:
    operating_system = _normal_os(head[1])
    if operating_system in _OPERATING_SYSTEMS:
        here = host()
        return normalize(_with_os(head, Platform(here.architecture, operating_system, variant=here.variant)))
    architecture, variant = _normal_architecture(head[1], "")
    if architecture == "arm" and variant == "v7":
        variant = ""
    if architecture in _ARCHITECTURES:
        return Platform(architecture, host().os, variant=variant)
    raise InvalidArgument(f'"{text}": unknown operating system or architecture')


def _with_os(head: re.Match[str], platform: Platform) -> Platform:
    features = tuple(sorted(set((head[3] or "").split("+")[1:])))
    return Platform(
        platform.architecture,
        platform.os,
        _unescaped(head[2] or ""),
        tuple(map(_unescaped, features)),
        platform.variant,
    )


def _unescaped(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _normal_os(name: str) -> str:
    name = name.lower()
    return "darwin" if name == "macos" else name


def _normal_architecture(name: str, variant: str) -> tuple[str, str]:
    name, variant = name.lower(), variant.lower()
    match name:
        case "i386":
            return "386", ""
        case "x86_64" | "x86-64" | "amd64":
            return "amd64", "" if variant == "v1" else variant
        case "aarch64" | "arm64":
            return "arm64", _NORMAL_ARM64.get(variant, variant)
        case "armhf":
            return "arm", "v7"
        case "armel":
            return "arm", "v6"
        case "arm":
            return "arm", f"v{variant}" if variant in {"5", "6", "7", "8"} else variant or "v7"
        case _:
            return name, variant


_NORMAL_ARM64: Final = {"8": "", "v8": "", "v8.0": "", "9": "v9", "v9.0": "v9", "9.0": "v9"}


def normalize(platform: Platform) -> Platform:
    """*platform* in the one form that is compared and printed."""
    architecture, variant = _normal_architecture(platform.architecture, platform.variant)
    features = tuple(sorted(set(platform.os_features)))
    return Platform(architecture, _normal_os(platform.os), platform.os_version, features, variant)


def format_platform(platform: Platform) -> str:
    """`os/architecture[/variant]`, as people type it; `unknown` if it names no operating system."""
    if not platform.os:
        return "unknown"
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def format_all(platform: Platform) -> str:
    """As `format_platform`, with version and features of the operating system:
    `windows(10.0.17763+win32k)/amd64`.
    """
    if not platform.os:
        return "unknown"
    inside = "+".join((platform.os_version, *sorted(platform.os_features)))
    head = f"{platform.os}({inside})" if inside else platform.os
    return "/".join(part for part in (head, platform.architecture, platform.variant) if part)


def host() -> Platform:
    """The platform of this machine, normalised."""
    machine = _os.uname().machine
    architecture, _, variant = _MACHINES.get(machine, machine).partition("/")
    return normalize(Platform(architecture, "linux", variant=variant))


def matches(wanted: Platform, offered: Platform) -> bool:
    """Whether an image for *offered* is one for *wanted*: equal, and it needs no feature that *wanted* lacks."""
    wanted, offered = normalize(wanted), normalize(offered)
    return (
        (wanted.os, wanted.architecture, wanted.variant) == (offered.os, offered.architecture, offered.variant)
        and set(offered.os_features) <= set(wanted.os_features)
        and (wanted.os != "windows" or _windows_matches(wanted.os_version, offered.os_version))
    )


def _windows_matches(wanted: str, offered: str) -> bool:
    # Windows runs images of its own build, and any when one of both sides names none.
    return not wanted or not offered or wanted.split(".")[:3] == offered.split(".")[:3]


def _preferences(platform: Platform) -> list[Platform]:
    """*platform* and what else runs on it, best first."""
    return [
        Platform(architecture, platform.os, platform.os_version, platform.os_features, variant)
        for architecture, variant in [(platform.architecture, platform.variant), *_compatible(platform)]
    ]


def _compatible(platform: Platform) -> list[tuple[str, str]]:
    match platform.architecture:
        case "amd64":
            level = _number(platform.variant, "v")
            lower = [("amd64", f"v{n}") for n in range(level - 1, 0, -1)] if level > 1 else []
            return [*lower, ("386", "")]
        case "arm":
            return [("arm", f"v{n}") for n in range(_number(platform.variant, "v") - 1, 4, -1)]
        case "arm64":
            return [*_compatible_arm64(platform.variant), *(("arm", f"v{n}") for n in range(8, 4, -1))]
        case _:
            return []


def _compatible_arm64(variant: str) -> list[tuple[str, str]]:
    if variant == "v9" or variant.startswith("v9."):
        minor = max(_number(variant, "v9."), 0)
        lower = [("arm64", f"v9.{n}" if n else "v9") for n in range(minor - 1, -1, -1)]
        # Armv9.x is Armv8.(x+5) and more; the architecture ends at 8.9.
        return lower + [("arm64", f"v8.{n}" if n else "v8") for n in range(min(minor + 5, 9), -1, -1)]
    minor = _number(variant, "v8.")
    return [("arm64", f"v8.{n}" if n else "v8") for n in range(minor - 1, -1, -1)]


def _number(variant: str, prefix: str) -> int:
    rest = variant.removeprefix(prefix)
    return int(rest) if rest.isdecimal() and variant.startswith(prefix) and len(rest) < 4 else -1


class Matcher:
    """A choice of platforms in the order of preference."""

    __slots__ = ("_groups", "platforms")

    def __init__(self, groups: Iterable[Iterable[Platform]]) -> None:
        self._groups = tuple(tuple(normalize(platform) for platform in group) for group in groups)
        self.platforms = tuple(platform for group in self._groups for platform in group)

    def rank(self, offered: Platform) -> int | None:
        """The place of *offered*: 0 is best, None doesn't run."""
        for place, platform in enumerate(self.platforms):
            if matches(platform, offered):
                return place
        return None

    def __call__(self, offered: Platform) -> bool:
        return self.rank(offered) is not None


def only(platform: Platform) -> Matcher:
    """*platform* and all that runs on it, best first."""
    return Matcher([_preferences(normalize(platform))])


def only_strict(platform: Platform) -> Matcher:
    """*platform* and nothing else."""
    return Matcher([[platform]])


def any_of(platforms: Iterable[Platform], *, order: Callable[[Platform], Matcher] = only_strict) -> Matcher:
    """Each of *platforms*, the first best."""
    return Matcher(order(platform).platforms for platform in platforms)


def default() -> Matcher:
    """What runs on this machine."""
    return only(host())


def default_strict() -> Matcher:
    """This machine's platform and nothing else."""
    return only_strict(host())


def select(manifests: Iterable[Descriptor], matcher: Matcher) -> list[Descriptor]:
    """The manifests of an index that run on *matcher*, best first; those without a platform come last."""
    ranked: list[tuple[int, Descriptor]] = []
    for descriptor in manifests:
        place = len(matcher.platforms) if descriptor.platform is None else matcher.rank(descriptor.platform)
        if place is not None:
            ranked.append((place, descriptor))
    ranked.sort(key=lambda pair: pair[0])
    return [descriptor for _, descriptor in ranked]
