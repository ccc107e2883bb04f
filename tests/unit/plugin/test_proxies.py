"""Proxy plugins of the configuration."""

from __future__ import annotations

import logging

import pytest

from pycontainerd.config.model import ProxyPlugin
from pycontainerd.plugin.proxies import proxies


def test_a_proxy_is_known_by_the_short_and_the_full_name_of_its_type() -> None:
    found = proxies({"a": ProxyPlugin(type="snapshot"), "b": ProxyPlugin(type="io.containerd.content.v1")})
    assert [it.uri for it in found] == ["io.containerd.snapshotter.v1.a", "io.containerd.content.v1.b"]


def test_a_type_that_cannot_be_a_proxy_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert list(proxies({"a": ProxyPlugin(type="magic")})) == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "unknown proxy plugin type")
    ]
    assert caplog.records[0].levelno == logging.WARNING
