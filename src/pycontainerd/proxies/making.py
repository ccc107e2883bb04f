"""Which proxy stands for which type of plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pycontainerd.proxies.content import ProxyContent
from pycontainerd.proxies.differ import ProxyDiffer
from pycontainerd.proxies.remote import Remote
from pycontainerd.proxies.sandboxes import ProxySandboxController
from pycontainerd.proxies.snapshotter import ProxySnapshotter

Make = Callable[[Remote, str, Iterable[str]], Any]
"""Takes the remote, the id of the plugin, and its capabilities."""

PROXIES: Final[Mapping[str, Make]] = {
    "snapshotter": ProxySnapshotter,
    "content": lambda remote, _, __: ProxyContent(remote),
    "differ": lambda remote, _, __: ProxyDiffer(remote),
    "sandbox": lambda remote, id_, _: ProxySandboxController(remote, id_),
}
