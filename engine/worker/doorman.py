# Who may pass: the password files as this worker knows them, and the verdicts that it remembers.
#
#   credentials ──remembered?──> yes or no
#        │no
#        └──> a trial for the pool: bcrypt, some 100 ms without the GIL ──> note()
#
# Rule 1: a verdict is remembered under a keyed digest of user and password, never under these; the key is this
#         process's own and never leaves it.
# Rule 2: a verdict holds for REMEMBERED_NS and for one reading of its file: a file that has changed is read anew within
#         a second, and everything that was remembered of it is forgotten, trials under way included.
# Rule 3: no remembered verdict, no entry. What cannot be read lets nobody in.
"""Passwords in a worker."""

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wsrv.engine.http.basic import Credentials
from wsrv.engine.static.passwords import Users

REMEMBERED_NS = 60_000_000_000
# Verdicts of one file. Who tries passwords makes many; the oldest leave first.
MAX_REMEMBERED = 4096
_CHECK_INTERVAL_NS = 1_000_000_000
# A file that was written so short a time ago may change again within the same stamp.
_RESTED_NS = 2_100_000_000


class Trial(NamedTuple):
    """A password to be tried out: `work` is for the pool, and returns whether it is right."""

    ticket: tuple[str, Path, bytes]
    work: Callable[[], bool]
    users: Users


class _Book:
    """One password file, and what was found out by it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = Users(b"")
        self.verdicts: dict[bytes, tuple[int, bool]] = {}
        self._stamp: tuple[int, ...] | None = None

    def look(self) -> None:
        """Read the file anew if it is not the one that was read."""
        try:
            seen = os.stat(self.path)
            stamp = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
            if stamp == self._stamp:
                return
            users = Users.read(self.path)
        except OSError as error:
            if self._stamp is None and not len(self.users):
                return
            _warn(f"{self.path}: {error.strerror}; nobody is let in by it")
            self._take(Users(b""), None)
            return
        for fault in users.faults if not users.same_as(self.users) else ():
            _warn(f"{self.path}:{fault.line}: {fault.text}")
        rested = abs(time.time_ns() - seen.st_ctime_ns) > _RESTED_NS
        self._take(users, stamp if rested else None)

    def _take(self, users: Users, stamp: tuple[int, ...] | None) -> None:
        self._stamp = stamp
        if not users.same_as(self.users):
            self.users = users
            self.verdicts.clear()


class Doorman:
    """Knows the users of every password file in `paths`. Made in the process that serves."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._books = {path: _Book(path) for path in paths}
        self._key = secrets.token_bytes(32)
        self._next_check_ns = 0
        for book in self._books.values():
            book.look()

    def check(self, now_ns: int) -> None:
        """Look, at most once a second of `now_ns`, whether a file has changed."""
        if now_ns < self._next_check_ns:
            return
        self._next_check_ns = now_ns + _CHECK_INTERVAL_NS
        for book in self._books.values():
            book.look()

    def verdict(self, file: Path, credentials: Credentials, now_ns: int) -> bool | None:
        """Whether these credentials are right, as far as that is remembered at `now_ns`."""
        known = self._books[file].verdicts.get(self._digest(credentials))
        return known[1] if known is not None and now_ns < known[0] else None

    def trial(self, file: Path, credentials: Credentials) -> Trial:
        """What has to be done to find out. Two of the same credentials have the same ticket."""
        users = self._books[file].users
        work = partial(users.has, credentials.user, credentials.password)
        return Trial(("password", file, self._digest(credentials)), work, users)

    def note(self, trial: Trial, right: bool, now_ns: int) -> bool:
        """Remember what a trial has shown; whether it lets the client in, which it does not if the file has changed."""
        _, file, digest = trial.ticket
        book = self._books[file]
        if book.users is not trial.users:
            return False
        book.verdicts.pop(digest, None)
        if len(book.verdicts) >= MAX_REMEMBERED:
            del book.verdicts[next(iter(book.verdicts))]
        book.verdicts[digest] = (now_ns + REMEMBERED_NS, right)
        return right

    def _digest(self, credentials: Credentials) -> bytes:
        # The user has no colon, so the two cannot run into each other.
        return hashlib.blake2b(b"%b:%b" % credentials, key=self._key, digest_size=32).digest()


def _warn(text: str) -> None:
    print(f"wsrv: warning: {text}", file=sys.stderr, flush=True)
