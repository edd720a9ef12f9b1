# Users and groups of this machine, by name or by number.
"""Parameter types `User` and `Group`, and what they stand for."""

import grp
import pwd

from wsrv.cli.units import OFF, Kind


class User(Kind):
    """A user of this machine, or OFF."""

    name = "user"
    allowed = f"a user of this machine, by name or number, or {OFF}"
    takes = (str, int)

    def _read(self, value: str | int) -> str:
        text = str(value)
        if text != OFF:
            _entry(text)
        return text


class Group(Kind):
    """A group of this machine."""

    name = "group"
    allowed = "a group of this machine, by name or number"
    takes = (str, int)

    def _read(self, value: str | int) -> str:
        of_group(str(value))
        return str(value)


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError) as error:
        raise ValueError(user) from error


def name_of(user: str) -> str:
    """The name of a user. Raises ValueError."""
    return _entry(user).pw_name


def of_user(user: str) -> tuple[int, int]:
    """The numbers of a user and of its group. Raises ValueError."""
    entry = _entry(user)
    return entry.pw_uid, entry.pw_gid


def of_group(group: str) -> int:
    """The number of a group. Raises ValueError."""
    try:
        return (grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)).gr_gid
    except (KeyError, OverflowError) as error:
        raise ValueError(group) from error
