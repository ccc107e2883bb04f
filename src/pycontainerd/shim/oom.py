"""Telling the daemon when the kernel has killed in a container for want of memory."""

from __future__ import annotations

import os

from pycontainerd.api.containerd import events_pb2
from pycontainerd.shim import steps
from pycontainerd.shim.host import Host
from pycontainerd.system import cgroup as kernel
from pycontainerd.system.cgroup import Cgroup


class OomWatch:
    """Watches one control group until it is closed or the group is gone."""

    def __init__(self, host: Host, container: str, bundle: str, cgroup: Cgroup, fd: int) -> None:
        self._host = host
        self._container = container
        self._bundle = bundle
        self._cgroup = cgroup
        self._fd = fd
        self._kills = self._count()
        host.loop.watch_read(fd, self._noticed)

    @classmethod
    def begin(cls, host: Host, container: str, bundle: str, cgroup: Cgroup) -> OomWatch | None:
        """Watches *cgroup*; None if it has no memory controller."""
        directory = cgroup.directory("memory")
        if directory is None:
            return None
        try:
            if cgroup.unified:
                _hand_on_controllers(host, directory)
                fd = kernel.event_inotify(directory)
            else:
                fd = kernel.oom_eventfd(directory)
        except OSError as error:
            host.journal.warning(f"container {container}: no notice of lack of memory: {error}")
            return None
        return cls(host, container, bundle, cgroup, fd)

    def close(self) -> None:
        """Stops, after a last look: the notice of what ended the container may still be on its way."""
        if self._fd >= 0:
            self._look()
            self._stop()

    def _noticed(self) -> None:
        self._look()
        if not self._cgroup.exists():
            self._stop()

    def _stop(self) -> None:
        self._host.loop.forget(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _look(self) -> None:
        if not self._cgroup.unified:
            # The counter moves as well when the group is removed: that is none.
            if _take(self._fd) and self._cgroup.read("memory", "memory.oom_control") is not None:
                self._publish()
            return
        kernel.read_inotify(self._fd)
        kills = self._count()
        if kills > self._kills:
            self._publish()
        self._kills = max(kills, self._kills)

    def _count(self) -> int:
        if not self._cgroup.unified:
            return 0
        return kernel.flat_keyed(self._cgroup.read("memory", "memory.events") or "").get("oom_kill", 0)

    def _publish(self) -> None:
        steps.note(self._bundle, "out of memory: the kernel has killed")
        self._host.publisher.publish("/tasks/oom", events_pb2.TaskOOM(container_id=self._container))


def _take(eventfd: int) -> int:
    try:
        return os.eventfd_read(eventfd)
    except BlockingIOError:
        return 0


def _hand_on_controllers(host: Host, directory: str) -> None:
    """Version 2: lets the groups beside and below the container's have every controller that the root has."""
    try:
        with open(os.path.join(kernel.ROOT, "cgroup.controllers"), encoding="ascii") as file:
            controllers = file.read().split()
        kernel.enable_controllers(os.path.dirname(directory), controllers)
    except OSError as error:
        host.journal.debug(f"controllers above {directory}: {error}")
