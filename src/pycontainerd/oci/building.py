"""The steps by which a spec is built. Each changes one thing; their order is the caller's.

What a step says about a container that can't be, it says in stock's words.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.oci import capabilities, devices
from pycontainerd.oci.defaults import DEFAULT_PATH, RWM
from pycontainerd.oci.image import ContainerConfig
from pycontainerd.oci.spec import CPU, Capabilities, DeviceRule, IDMapping, Memory, Mount, Namespace, Spec
from pycontainerd.oci.users import Accounts, set_additional_gids, set_user

NAMESPACE_TYPES: Final = ("pid", "network", "uts", "mount", "user", "ipc", "cgroup")


def merge_env(base: Iterable[str], changes: Iterable[str]) -> list[str]:
    """*base* with *changes*: `K=V` replaces or adds, a bare `K` removes. What is added twice stands twice."""
    result: list[str | None] = list(base)
    places = {entry.partition("=")[0]: place for place, entry in enumerate(result) if entry is not None}
    for change in changes:
        key, equals, _ = change.partition("=")
        if key in places:
            result[places[key]] = change if equals else None
        elif equals:
            result.append(change)
    return [entry for entry in result if entry]


def set_env(spec: Spec, changes: Iterable[str]) -> None:
    process = spec.the_process()
    process.env = merge_env(process.env, changes)


def replace_mounts(spec: Spec, mounts: Sequence[Mount]) -> None:
    """Adds *mounts*; mounts of before at one of their destinations go. `/run/` is not `/run` here, as in
    stock.
    """
    taken = {mount.destination for mount in mounts}
    spec.mounts = [mount for mount in spec.mounts if mount.destination not in taken]
    spec.mounts += mounts


def apply_image_config(spec: Spec, config: ContainerConfig, args: Sequence[str], accounts: Accounts) -> None:
    """Sets environment, arguments, directory, user and groups as the image says; *args* replace its command.

    There may be nothing to run after it. Raises what `set_user` raises.
    """
    process = spec.the_process()
    process.env = merge_env(config.env or [DEFAULT_PATH], process.env)
    process.args = [*(config.entrypoint or ()), *(args or config.cmd or ())]
    process.cwd = config.working_dir or "/"
    user = config.user
    if user:
        set_user(process, user, accounts)
    # The groups of root, when the image names nobody.
    set_additional_gids(process, user or "root", accounts)


def map_ids(spec: Spec, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Puts the container into a user namespace of its own."""
    linux = spec.the_linux()
    if not any(namespace.type == "user" for namespace in linux.namespaces):
        linux.namespaces.append(Namespace("user"))
    linux.uid_mappings, linux.gid_mappings = list(uids), list(gids)


def use_tty(spec: Spec) -> None:
    process = spec.the_process()
    process.terminal = True
    process.env.append("TERM=xterm")


def make_privileged(spec: Spec, *, host_devices: bool) -> None:
    """Takes away what keeps a container from its host: all capabilities, all of /proc and /sys, with all
    devices.
    """
    process, linux = spec.the_process(), spec.the_linux()
    held = list(capabilities.current())
    process.capabilities = Capabilities(bounding=held, effective=list(held), permitted=list(held))
    linux.masked_paths, linux.readonly_paths = [], []
    for mount in spec.mounts:
        if mount.type in {"sysfs", "cgroup"}:
            mount.options = ["rw" if option == "ro" else option for option in mount.options]
    linux.seccomp = None
    process.apparmor_profile = process.selinux_label = linux.mount_label = ""
    if host_devices:
        spec.the_resources().devices = [DeviceRule(True, access=RWM)]
        linux.devices += devices.host_devices()


def use_host_network(spec: Spec) -> None:
    linux = spec.the_linux()
    linux.namespaces = [namespace for namespace in linux.namespaces if namespace.type != "network"]
    spec.mounts += [Mount(path, "bind", path, ["rbind", "ro"]) for path in ("/etc/hosts", "/etc/resolv.conf")]
    set_env(spec, [f"HOSTNAME={socket.gethostname()}"])


def add_capabilities(spec: Spec, names: Iterable[str]) -> None:
    held = _capabilities(spec)
    for having in (held.bounding, held.effective, held.permitted):
        having += [name for name in dict.fromkeys(names) if name not in having]


def drop_capabilities(spec: Spec, names: Iterable[str]) -> None:
    held, gone = _capabilities(spec), set(names)
    held.bounding, held.effective, held.permitted, held.inheritable = (
        [name for name in having if name not in gone]
        for having in (held.bounding, held.effective, held.permitted, held.inheritable)
    )


def _capabilities(spec: Spec) -> Capabilities:
    process = spec.the_process()
    if process.capabilities is None:
        process.capabilities = Capabilities()
    return process.capabilities


def set_namespace(spec: Spec, kind: str, path: str) -> None:
    """Lets the container join the namespace at *path* instead of having its own of *kind*."""
    namespaces = spec.the_linux().namespaces
    for place, namespace in enumerate(namespaces):
        if namespace.type == kind:
            namespaces[place] = Namespace(kind, path)
            return
    namespaces.append(Namespace(kind, path))


def cpu(spec: Spec) -> CPU:
    """The CPU limits, made if there are none."""
    resources = spec.the_resources()
    if resources.cpu is None:
        resources.cpu = CPU()
    return resources.cpu


def limit_memory(spec: Spec, limit: int) -> None:
    """Limits memory to *limit* bytes."""
    resources = spec.the_resources()
    if resources.memory is None:
        resources.memory = Memory()
    resources.memory.limit = limit


def add_devices(spec: Spec, path: str) -> None:
    """Adds the device at *path*, or all below it, and lets the container use them.

    Raises NotFound if nothing is there, InvalidArgument if it is no device.
    """
    try:
        found = devices.devices_below(path)
    except FileNotFoundError as error:
        raise NotFound(f"error stating device path: stat {path}: no such file or directory", bare=True) from error
    except InvalidArgument as error:
        raise InvalidArgument(
            f'get device path: "{path}" containerPath: "" error: {error.message}', bare=True
        ) from error
    spec.the_linux().devices += found
    rules = spec.the_resources().devices
    rules += [DeviceRule(True, device.type, device.major, device.minor, RWM) for device in found]
