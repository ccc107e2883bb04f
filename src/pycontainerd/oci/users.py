"""Users and groups of an image: its `/etc/passwd` and `/etc/group`, read inside its root file system.

The files are anybody's: they are opened below the root whatever links lie there, and read up to a limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import msgspec

from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.oci.spec import Process

FILE_LIMIT: Final = 4 << 20
"""Bytes that are read of a file of users; a longer one is an error."""

_ID_LIMIT: Final = 2**31 - 1


class Account(msgspec.Struct, frozen=True):
    """A line of /etc/passwd."""

    name: str
    uid: int
    gid: int


class Group(msgspec.Struct, frozen=True):
    """A line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...]


class Accounts:
    """The users and groups below one directory. A missing file has no entries."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._accounts: list[Account] | None = None
        self._groups: list[Group] | None = None

    @property
    def accounts(self) -> list[Account]:
        if self._accounts is None:
            self._accounts = [
                Account(fields[0], _number(fields[2]), _number(fields[3])) for fields in self._lines("etc/passwd", 4)
            ]
        return self._accounts

    @property
    def groups(self) -> list[Group]:
        if self._groups is None:
            self._groups = [
                Group(fields[0], _number(fields[2]), tuple(filter(None, fields[3].split(","))))
                for fields in self._lines("etc/group", 4)
            ]
        return self._groups

    def _lines(self, path: str, columns: int) -> Iterator[list[str]]:
        for line in _read_below(self._root, path).decode(errors="replace").splitlines():
            if line.strip():
                fields = line.strip().split(":")
                yield fields + [""] * (columns - len(fields))

    def by_uid(self, uid: int) -> Account | None:
        return next((account for account in self.accounts if account.uid == uid), None)

    def named(self, name: str) -> Account:
        """The user *name*. Raises NotFound."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise NotFound("no users found", bare=True)

    def gid_of(self, name: str) -> int:
        """The id of the group *name*. Raises NotFound."""
        for group in self.groups:
            if group.name == name:
                return group.gid
        raise NotFound("no groups found", bare=True)

    def memberships(self, user: str) -> list[int]:
        """The groups that list *user* as a member."""
        return [group.gid for group in self.groups if user in group.members]


def _read_below(root: str, path: str) -> bytes:
    from pycontainerd.system.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        file = openat2(directory, path, os.O_RDONLY | os.O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except FileNotFoundError:
        return b""
    finally:
        os.close(directory)
    with os.fdopen(file, "rb") as opened:
        data = opened.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise InvalidArgument(f"/{path} of the image is longer than {FILE_LIMIT} bytes")
    return data


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 11 else 0


def set_user(process: Process, user: str, accounts: Accounts) -> None:
    """Makes *process* run as *user*: `user`, `uid`, `user:group` and every mix; see image-spec, config.md.

    Raises InvalidArgument if *user* can't be meant, NotFound if a name is no user or group of *accounts*.
    """
    match user.split(":"):
        case [name]:
            uid = _id(name, "uid", user)
            account = accounts.named(name) if uid is None else accounts.by_uid(uid) or Account("", uid, 0)
            process.user.uid, process.user.gid = account.uid, account.gid
        case [name, group]:
            uid, gid = _id(name, "uid", user), _id(group, "gid", user)
            if uid is None:
                uid = accounts.named(name).uid if name else 0
            if gid is None:
                gid = accounts.gid_of(group) if group else 0
            process.user.uid, process.user.gid = uid, gid
        case _:
            raise InvalidArgument(f"invalid USER value {user}", bare=True)


def set_additional_gids(process: Process, user: str, accounts: Accounts) -> None:
    """Gives *process* the groups that list *user* (a name or an id) as a member, and its own group first."""
    name: str | None = user
    uid = _id(user, "uid", user)
    if uid is not None:
        account = accounts.by_uid(uid)
        name = account.name if account else None
    groups = accounts.memberships(name) if name else []
    own = process.user.gid
    process.user.additional_gids = groups if own in groups else [own, *groups]


def _id(text: str, kind: str, whole: str) -> int | None:
    """The number that *text* is, None if it is a name."""
    if not text.lstrip("+-").isdecimal():
        return None
    number = int(text)
    if not 0 <= number <= _ID_LIMIT:
        raise InvalidArgument(f'invalid USER value "{whole}": {kind} out of range', bare=True)
    return number
