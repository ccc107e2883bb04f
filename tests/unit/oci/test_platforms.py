"""Platforms: one form, and what runs where."""

from __future__ import annotations

import os

import pytest

from pycontainerd.errors import InvalidArgument
from pycontainerd.oci import platforms
from pycontainerd.oci.image import Descriptor, Platform

HERE = platforms.host()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("Linux/x86_64", "linux/amd64"),
        ("linux/x86-64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64/v8", "linux/arm64"),
        ("linux/arm64/9", "linux/arm64/v9"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/5", "linux/arm/v5"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("windows(10.0.17763+win32k)/amd64", "windows/amd64"),
        ("riscv64", "linux/riscv64"),
        ("arm", "linux/arm"),
    ],
)
def test_a_specifier_means_one_platform(text: str, meant: str) -> None:
    assert platforms.format_platform(platforms.parse(text)) == meant


def test_an_operating_system_alone_is_completed_from_this_machine() -> None:
    assert platforms.parse("windows") == Platform(HERE.architecture, "windows", variant=HERE.variant)


def test_version_and_features_of_the_operating_system_are_kept() -> None:
    platform = platforms.parse("windows(10.0.17763+win32k)/amd64")
    assert (platform.os_version, platform.os_features) == ("10.0.17763", ("win32k",))
    assert platforms.format_all(platform) == "windows(10.0.17763+win32k)/amd64"


@pytest.mark.parametrize("text", ["", "*", "linux/*", "linux/amd64/v1/x", "a/b c", "nonsense", "/", "linux/"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        platforms.parse(text)


@pytest.mark.parametrize(
    ("machine", "order"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm64", ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        (
            "linux/arm64/v8.2",
            ["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64"] + [f"linux/arm/v{n}" for n in (8, 7, 6, 5)],
        ),
        (
            "linux/arm64/v9.1",
            ["linux/arm64/v9.1", "linux/arm64/v9"]
            + [f"linux/arm64/v8.{n}" for n in (6, 5, 4, 3, 2, 1)]
            + ["linux/arm64"]
            + [f"linux/arm/v{n}" for n in (8, 7, 6, 5)],
        ),
        ("linux/s390x", ["linux/s390x"]),
    ],
)
def test_a_machine_prefers_what_is_nearest(machine: str, order: list[str]) -> None:
    matcher = platforms.only(platforms.parse(machine))
    assert [platforms.format_platform(platform) for platform in matcher.platforms] == order


def test_strict_takes_nothing_but_itself() -> None:
    matcher = platforms.only_strict(platforms.parse("linux/amd64"))
    assert matcher(platforms.parse("linux/amd64"))
    assert not matcher(platforms.parse("linux/386"))


def test_a_feature_that_the_machine_lacks_keeps_an_image_out() -> None:
    erofs = Platform("amd64", "linux", os_features=("erofs",))
    assert not platforms.matches(Platform("amd64", "linux"), erofs)
    assert platforms.matches(erofs, Platform("amd64", "linux"))


def test_select_puts_the_best_first_and_the_unmarked_last() -> None:
    def manifest(digest: str, platform: Platform | None) -> Descriptor:
        return Descriptor("m", digest, 1, platform=platform)

    offered = [
        manifest("none", None),
        manifest("386", Platform("386", "linux")),
        manifest("s390x", Platform("s390x", "linux")),
        manifest("amd64", Platform("amd64", "linux")),
    ]
    chosen = platforms.select(offered, platforms.only(platforms.parse("linux/amd64")))
    assert [descriptor.digest for descriptor in chosen] == ["amd64", "386", "none"]


def test_the_host_is_what_the_kernel_says() -> None:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    assert HERE.architecture == names.get(os.uname().machine, HERE.architecture)
    assert HERE.os == "linux"
