"""The runtime spec of a container, built from flags in the original's order."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from pycontainerd.commands.ctr.container.mount_flag import parse_mount
from pycontainerd.errors import InvalidArgument, NotFound, Unknown
from pycontainerd.oci import building, seccomp, spec
from pycontainerd.oci.defaults import default_device_rules, default_spec
from pycontainerd.oci.image import ContainerConfig
from pycontainerd.oci.spec import IDMapping, IntelRdt, Rlimit, Spec
from pycontainerd.oci.users import Accounts, set_additional_gids, set_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycontainerd.api.containerd.types_pb2 import Mount
    from pycontainerd.commands.ctr.context import Context

CPU_PERIOD = 100_000
"""Microseconds of the period in which `--cpus` is counted."""


def load_config(path: str, labels: dict[str, str]) -> Spec:
    """The spec in the file *path*. Raises InvalidArgument."""
    try:
        with open(path, "rb") as file:
            loaded = spec.decode(file.read(spec.SPEC_LIMIT + 1), name=path)
    except OSError as error:
        reason = f"open {path}: {(error.strerror or '').lower()}"
        raise InvalidArgument(f"cannot load spec config file: {reason}", bare=True) from error
    if labels:
        loaded.annotations |= labels
    return loaded


def build_spec(
    ctx: Context,
    container_id: str,
    args: Sequence[str],
    *,
    image: ContainerConfig | None,
    rootfs: AbstractContextManager[str],
    labels: dict[str, str],
) -> Spec:
    """The spec for an image, or with no *image* for the directory that the first argument of the command
    names.

    *rootfs* gives the root file system to look users up in. Raises as the steps of `oci.building` do.
    """
    built = default_spec(ctx.namespace, container_id)
    built.the_resources().devices += default_device_rules()
    if ctx.text("env-file"):
        built.the_process().env += _read_env_file(ctx.text("env-file"))
    building.set_env(built, ctx.texts("env"))
    building.replace_mounts(built, [parse_mount(text) for text in ctx.texts("mount")])
    with rootfs as root:
        _set_process(ctx, built, args, image, Accounts(root))
    _set_privileges(ctx, built)
    _set_limits(ctx, built)
    _set_namespaces(ctx, built)
    _set_devices(ctx, built)
    _set_annotations(ctx, built, labels)
    return built


@contextmanager
def mounted(mounts: Iterable[Mount], *, written: bool = False) -> Iterator[str]:
    """The root file system of a snapshot, to read from; *written* tells that somebody may have written to it."""
    made = list(mounts)
    layer = "" if written else _only_layer(made)
    if layer:
        yield layer
        return
    from pycontainerd.mounts import model
    from pycontainerd.mounts.temporary import temporary

    ours = [model.Mount(each.type, each.source, each.target, tuple(each.options)) for each in made]
    with temporary(model.read_only(ours), os.environ.get("TMPDIR", "/tmp")) as root:  # noqa: S108 - made by mkdtemp
        yield root


def _only_layer(mounts: Sequence[Mount]) -> str:
    """The one layer below a snapshot that nobody has written to: that is its root file system, without a
    mount.
    """
    if len(mounts) != 1 or mounts[0].type != "overlay":
        return ""
    lower = [option.removeprefix("lowerdir=") for option in mounts[0].options if option.startswith("lowerdir=")]
    return lower[0] if len(lower) == 1 and not set(lower[0]) & {":", "\\"} else ""


def directory(path: str) -> AbstractContextManager[str]:
    """A root file system that is there."""
    return nullcontext(path)


def _read_env_file(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [line for line in file.read().splitlines() if line]


def _set_process(
    ctx: Context, built: Spec, args: Sequence[str], image: ContainerConfig | None, accounts: Accounts
) -> None:
    process = built.the_process()
    if image is None:
        built.the_root().path = os.path.abspath(ctx.argument(0))
    else:
        building.apply_image_config(built, image, args, accounts)
    if _optional(ctx, "uidmap") and _optional(ctx, "gidmap"):
        uids, gids = (parse_id_mappings(ctx.texts(name)) for name in ("uidmap", "gidmap"))
        building.map_ids(built, uids, gids)
    if ctx.flag("read-only"):
        built.the_root().readonly = True
    if args:
        process.args = list(args)
    if ctx.text("cwd"):
        process.cwd = ctx.text("cwd")
    if ctx.text("user"):
        set_user(process, ctx.text("user"), accounts)
        set_additional_gids(process, ctx.text("user"), accounts)
    if ctx.flag("tty"):
        building.use_tty(built)


def _optional(ctx: Context, name: str) -> list[str]:
    """A list that only `run` has a flag for."""
    return ctx.texts(name) if ctx.has(name) else []


def parse_id_mappings(texts: Iterable[str]) -> list[IDMapping]:
    """Maps of ids, as `container-id:host-id:size`. Raises InvalidArgument."""
    return [_id_mapping(text) for text in texts]


def _id_mapping(text: str) -> IDMapping:
    parts = text.split(":")
    if len(parts) != 3:
        raise InvalidArgument("user namespace mappings require the format `container-id:host-id:size`", bare=True)
    numbers = []
    for part, what in zip(parts, ("container id", "host id", "size"), strict=True):
        if not part.isdecimal() or int(part) >= 1 << 32:
            reason = "value out of range" if part.isdecimal() else "invalid syntax"
            raise InvalidArgument(
                f'invalid {what} for user namespace remapping: strconv.ParseUint: parsing "{part}": {reason}', bare=True
            )
        numbers.append(int(part))
    return IDMapping(*numbers)


def _set_privileges(ctx: Context, built: Spec) -> None:
    process = built.the_process()
    alone = ctx.has("privileged-without-host-devices") and ctx.flag("privileged-without-host-devices")
    if ctx.flag("privileged"):
        building.make_privileged(built, host_devices=not alone)
    elif alone:
        raise InvalidArgument("can't use 'privileged-without-host-devices' without 'privileged' specified", bare=True)
    if ctx.flag("net-host"):
        building.use_host_network(built)
    for flag, change in (("cap-add", building.add_capabilities), ("cap-drop", building.drop_capabilities)):
        names = ctx.texts(flag)
        if any(not name.startswith("CAP_") for name in names):
            raise InvalidArgument("capabilities must be specified with 'CAP_' prefix", bare=True)
        change(built, names)
    _set_seccomp(ctx, built)
    _set_apparmor(ctx, built)
    if ctx.is_set("allow-new-privs"):
        # Giving the flag is enough, even as =false: so it is in the original.
        process.no_new_privileges = False


def _set_seccomp(ctx: Context, built: Spec) -> None:
    path = ctx.text("seccomp-profile")
    if not ctx.flag("seccomp"):
        if path:
            raise InvalidArgument("seccomp must be set to true, if using a custom seccomp-profile", bare=True)
        return
    if path:
        built.the_linux().seccomp = _load_profile(path)
        return
    held = built.the_process().capabilities
    built.the_linux().seccomp = seccomp.default_profile(held.bounding if held else ())


def _load_profile(path: str) -> spec.Seccomp:
    try:
        with open(path, "rb") as file:
            return spec.decode_seccomp(file.read(spec.SPEC_LIMIT + 1), name=path)
    except OSError as error:
        reason = f"open {path}: {(error.strerror or '').lower()}"
        raise InvalidArgument(f'cannot load seccomp profile "{path}": {reason}', bare=True) from error


def _set_apparmor(ctx: Context, built: Spec) -> None:
    profile, default = ctx.text("apparmor-profile"), ctx.text("apparmor-default-profile")
    if profile and default:
        raise InvalidArgument("apparmor-profile conflicts with apparmor-default-profile", bare=True)
    if default:
        from pycontainerd.oci.apparmor import load_default_profile

        load_default_profile(default)
    if profile or default:
        built.the_process().apparmor_profile = profile or default


def _set_limits(ctx: Context, built: Spec) -> None:
    if ctx.has("cpus"):
        _set_run_limits(ctx, built)
    quota, period = ctx.integer("cpu-quota"), ctx.integer("cpu-period")
    if quota != -1 or period:
        limits = building.cpu(built)
        limits.quota, limits.period = quota, period
    if ctx.integer("memory-limit"):
        building.limit_memory(built, ctx.integer("memory-limit"))


def _set_run_limits(ctx: Context, built: Spec) -> None:
    if ctx.number("cpus") > 0:
        if ctx.integer("cpu-quota") != -1 or ctx.integer("cpu-period"):
            raise InvalidArgument("cpus and quota/period should be used separately", bare=True)
        limits = building.cpu(built)
        limits.quota, limits.period = int(ctx.number("cpus") * CPU_PERIOD), CPU_PERIOD
    if ctx.text("cpuset-cpus"):
        building.cpu(built).cpus = ctx.text("cpuset-cpus")
    if ctx.text("cpuset-mems"):
        building.cpu(built).mems = ctx.text("cpuset-mems")
    if ctx.integer("cpu-shares") > 0:
        building.cpu(built).shares = ctx.integer("cpu-shares")
    if ctx.text("rlimit-nofile"):
        _set_nofile(built, ctx.text("rlimit-nofile"))


def _set_nofile(built: Spec, text: str) -> None:
    soft, colon, hard = text.partition(":")
    numbers = []
    for part in (soft, hard if colon else soft):
        if not part.isdecimal():
            raise InvalidArgument(
                f'failed to parse rlimit-nofile "{text}": strconv.ParseUint: parsing "{part}": invalid syntax',
                bare=True,
            )
        numbers.append(int(part))
    process = built.the_process()
    process.rlimits = [limit for limit in process.rlimits if limit.type != "RLIMIT_NOFILE"]
    process.rlimits.append(Rlimit("RLIMIT_NOFILE", hard=numbers[1], soft=numbers[0]))


def _set_namespaces(ctx: Context, built: Spec) -> None:
    for text in ctx.texts("with-ns"):
        kind, colon, path = text.partition(":")
        if not colon:
            raise InvalidArgument(
                "joining a Linux namespace using --with-ns requires the format 'nstype:path'", bare=True
            )
        if kind not in building.NAMESPACE_TYPES:
            raise InvalidArgument(f"the Linux namespace type specified in --with-ns is not valid: {kind}", bare=True)
        building.set_namespace(built, kind, path)
    if ctx.has("cgroup") and ctx.is_set("cgroup"):
        built.the_linux().cgroups_path = ctx.text("cgroup")
    if ctx.text("rootfs-propagation"):
        built.the_linux().rootfs_propagation = ctx.text("rootfs-propagation")
    if ctx.text("hostname"):
        built.hostname = ctx.text("hostname")


def _set_devices(ctx: Context, built: Spec) -> None:
    for path in ctx.texts("device"):
        if _names_cdi_device(path):
            raise Unknown(f"CDI device injection failed: unresolvable CDI devices {path}")
        building.add_devices(built, path)
    if ctx.is_set("gpus"):
        raise Unknown(
            "detect GPU vendor failed: no known GPU vendor detected in CDI specs, only AMD and NVIDIA are supported"
        )
    if ctx.text("blockio-class"):
        raise NotFound(
            f'blockio-class error: no OCI BlockIO parameters for class "{ctx.text("blockio-class")}"', bare=True
        )
    if ctx.text("rdt-class"):
        built.the_linux().intel_rdt = IntelRdt(ctx.text("rdt-class"))


def _names_cdi_device(text: str) -> bool:
    vendor, slash, rest = text.partition("/")
    return bool(vendor and slash and "=" in rest)


def _set_annotations(ctx: Context, built: Spec, labels: dict[str, str]) -> None:
    built.annotations |= labels
    for text in ctx.texts("annotation"):
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidArgument(f"invalid key=value format annotation: {text}", bare=True)
        built.annotations[key] = value
