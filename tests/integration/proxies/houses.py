"""Two daemons: one that has its snapshots, content and layers from the other, over that one's socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.daemon import OURS, STOCK, Daemon, Kind

SCHEDULER = "io.containerd.gc.v1.scheduler"
BUILT_IN = (
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.content.v1.content",
    "io.containerd.differ.v1.walking",
)


@dataclass
class Without(Daemon):
    """A daemon without some plugins."""

    disabled: tuple[str, ...] = ()

    def config(self) -> str:
        names = "".join(f"'{name}', " for name in self.disabled)
        return super().config().replace("disabled_plugins = [", f"disabled_plugins = [{names}")


@contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    daemon.base.mkdir(parents=True)
    daemon.up()
    try:
        yield daemon
    finally:
        daemon.clear()


@dataclass(frozen=True)
class House:
    """A daemon in front of another, and what it calls the snapshotter that the other serves."""

    ahead: Daemon
    behind: Daemon
    snapshotter: str

    def there(self, *arguments: str) -> list[str]:
        """What the daemon behind says of the namespace of the one in front."""
        return self.behind.ctr("-n", self.ahead.namespace, *arguments).lines

    def snapshots(self, *arguments: str) -> list[str]:
        """`ctr snapshots` in front."""
        return self.ahead.ctr("snapshots", "--snapshotter", self.snapshotter, *arguments).lines

    def snapshots_there(self) -> list[str]:
        found = self.there("snapshots", "--snapshotter", self.snapshotter, "ls")
        return [line.split()[0] for line in found[1:]]


@contextmanager
def pair(front: Kind, base: Path, *, collects: bool = True) -> Iterator[House]:
    """A daemon of *front* that proxies to the other kind, which collects nothing by itself, as a plugin would not.

    The front one neither, unless it *collects*. Stock takes no proxy with the id of a built-in plugin, so ours gets a
    snapshotter of another name to serve.
    """
    snapshotter, other = ("overlayfs", "walking") if front is OURS else ("layers", "remote")
    back = STOCK if front is OURS else OURS
    overlayfs = ("layers", "pycontainerd.snapshots.plugin", "overlayfs_snapshotter")
    environment = {} if back is STOCK else renamed(base / "site", *overlayfs)
    disabled = (SCHEDULER,) if back is STOCK else (SCHEDULER, BUILT_IN[0])
    behind = Without(back, base / "b", back, environment=environment, disabled=disabled)
    config = f"""
[proxy_plugins.{snapshotter}]
  type = 'snapshot'
  address = '{behind.address}'
  capabilities = ['rebase']
  [proxy_plugins.{snapshotter}.exports]
    root = '{behind.root}/io.containerd.snapshotter.v1.overlayfs'
[proxy_plugins.remote]
  type = 'content'
  address = '{behind.address}'
[proxy_plugins.{other}{"2" if other == "remote" else ""}]
  type = 'diff'
  address = '{behind.address}'
  platform = 'linux/arm64'
"""
    if front is STOCK:
        config += "[plugins.'io.containerd.service.v1.diff-service']\n  default = ['remote2']\n"
    if not collects:
        config += f"[plugins.'{SCHEDULER}']\n  startup_delay = '1h'\n  schedule_delay = '1h'\n"
    ahead = Without(front, base / "f", front, extra_config=config, disabled=BUILT_IN)
    with running(behind), running(ahead):
        yield House(ahead, behind, snapshotter)


def renamed(site: Path, id_: str, module: str, registration: str) -> dict[str, str]:
    """The environment in which a daemon of ours has a plugin once more, with another id."""
    name = f"renamed_{id_.replace('-', '_')}"
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(f"[pycontainerd.plugins]\n{id_} = {name}:other\n")
    (site / f"{name}.py").write_text(
        "from msgspec.structs import replace\n"
        f"from {module} import {registration}\n"
        f"other = replace({registration}, id={id_!r})\n"
    )
    return {"PYTHONPATH": str(site)}
