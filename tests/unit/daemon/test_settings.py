"""The command line over the files."""

from __future__ import annotations

import os
from typing import Any

import msgspec.structs
import pytest

from pycontainerd.config.model import File, defaults
from pycontainerd.daemon.settings import Overrides, Settings
from pycontainerd.errors import InvalidArgument

GRPC = "io.containerd.server.v1.grpc"
TTRPC = "io.containerd.server.v1.ttrpc"


def file(**values: Any) -> File:
    return msgspec.structs.replace(defaults(), **values)


def test_without_words_the_file_holds() -> None:
    settings = Settings.of(Overrides().over(file(root="/r", state="/s")))
    assert (str(settings.root), str(settings.state)) == ("/r", "/s")
    assert settings.address == "/run/containerd/containerd.sock"
    assert settings.ttrpc_address == "/run/containerd/containerd.sock.ttrpc"


def test_an_address_takes_the_ttrpc_socket_and_its_owner_along() -> None:
    found = Overrides(address="/a").over(file(plugins={GRPC: {"address": "/b", "uid": 3, "gid": 4}}))
    assert found.plugins[GRPC] == {"address": "/a", "uid": 3, "gid": 4}
    assert found.plugins[TTRPC] == {"address": "/a.ttrpc", "uid": 3, "gid": 4}


def test_a_ttrpc_section_stays_where_it_is() -> None:
    found = Overrides(address="/a").over(file(plugins={TTRPC: {"address": "/t"}}))
    assert Settings.of(found).ttrpc_address == "/t"


def test_directories_are_made_absolute() -> None:
    found = Overrides(root="r", state="./s").over(defaults())
    assert (found.root, found.state) == (f"{os.getcwd()}/r", f"{os.getcwd()}/s")


def test_root_and_state_must_differ() -> None:
    with pytest.raises(InvalidArgument, match=r"^root and state must be different paths$"):
        Settings.of(Overrides(root="/x", state="/x/../x").over(defaults()))


def test_timeouts_are_seconds() -> None:
    settings = Settings.of(file(timeouts={"a": "1m", "b": "0"}))
    assert settings.timeouts == {"a": 60.0, "b": 0.0}


def test_a_timeout_that_is_none_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Settings.of(file(timeouts={"own": "soon"}))
    assert str(caught.value) == (
        "unable to parse soon into a time duration: timeouts.'own': time: invalid duration \"soon\""
    )


def test_the_word_for_the_level_beats_the_file() -> None:
    debug = msgspec.structs.replace(defaults().debug, level="info")
    assert Overrides(log_level="debug").over(file(debug=debug)).debug.level == "debug"
