# Password files as `htpasswd -B` writes them: lines USER:HASH, where every hash is bcrypt's.
#
# Rule 1: other hashes are refused by name: too quick to try out (MD5, SHA-1), or another on each machine (crypt).
# Rule 2: a user that is not there costs as much work as one that is, so the time tells nobody who is.
# Rule 3: at start every fault is told. Later a file that cannot be read lets nobody in, and a bad line nobody by it.
"""Users and their passwords."""

import re
from pathlib import Path
from typing import NamedTuple

# What bcrypt looks at: 72 bytes of a password, as htpasswd has it too.
MAX_PASSWORD_BYTES = 72
# A file past this was not written for a site. 1 MiB is some 15,000 users.
MAX_FILE_BYTES = 1024 * 1024
# Each step doubles the work: 12 takes a quarter of a second, 16 four seconds.
MAX_COST = 15
_DEFAULT_COST = 10

_BCRYPT = re.compile(rb"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_OTHERS = (
    (re.compile(rb"\$apr1\$"), "MD5 (apr1)"),
    (re.compile(rb"\$1\$"), "MD5"),
    (re.compile(rb"\{SHA\}"), "SHA-1"),
    (re.compile(rb"\{SSHA\}"), "salted SHA-1"),
    (re.compile(rb"\$5\$"), "SHA-256 crypt"),
    (re.compile(rb"\$6\$"), "SHA-512 crypt"),
    (re.compile(rb"\$y\$|\$gy\$"), "yescrypt"),
    (re.compile(rb"\$7\$|\$scrypt\$"), "scrypt"),
    (re.compile(rb"\$argon2"), "Argon2"),
    (re.compile(rb"\$2"), "a bcrypt hash that is cut short or of an unknown kind"),
)


class Fault(NamedTuple):
    """What is wrong with a line, for a person."""

    line: int
    text: str


class Users:
    """The users of one file. Raises OSError from `read`; `faults` tells what was left out."""

    def __init__(self, text: bytes) -> None:
        self.faults: list[Fault] = []
        self._hashes: dict[bytes, bytes] = {}
        cost = 0
        for number, line in enumerate(text.splitlines(), start=1):
            user, colon, written = line.strip().partition(b":")
            if not line.strip() or line.lstrip().startswith(b"#"):
                continue
            fault = _fault(user, colon, written, self._hashes)
            if fault:
                self.faults.append(Fault(number, fault))
                continue
            self._hashes[user] = written
            cost = max(cost, int(written[4:6]))
        # Compared with where there is no such user; no password has it.
        self._nobody = b"$2b$%02d$%b" % (cost or _DEFAULT_COST, b"." * 53)

    @classmethod
    def read(cls, path: Path) -> "Users":
        """The users in the file at `path`. Raises OSError."""
        with path.open("rb") as file:
            return cls(file.read(MAX_FILE_BYTES))

    def same_as(self, other: "Users") -> bool:
        """Whether both have the same users with the same hashes."""
        return self._hashes == other._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, user: bytes, password: bytes) -> bool:
        """Whether this is the password of `user`. Takes as long as its bcrypt cost says, without the GIL."""
        import bcrypt

        written = self._hashes.get(user)
        tried = password[:MAX_PASSWORD_BYTES]
        try:
            same = bcrypt.checkpw(tried, written or self._nobody)
        except ValueError:
            # A salt that the grammar lets through and bcrypt does not.
            return False
        return same and written is not None


def _fault(user: bytes, colon: bytes, written: bytes, known: dict[bytes, bytes]) -> str:
    if not colon or not user:
        return "this is not USER:HASH"
    name = user.decode("utf-8", "replace")
    if user in known:
        return f"user {name} is there already"
    match = _BCRYPT.fullmatch(written)
    if match is not None and 4 <= int(match[1]) <= MAX_COST:
        return ""
    if match is not None:
        return f"user {name} has a hash of cost {match[1].decode()}; from 4 to {MAX_COST} are taken: htpasswd -B -C 12"
    kind = next(
        (kind for pattern, kind in _OTHERS if pattern.match(written)), "neither bcrypt nor known (crypt, or plain)"
    )
    return f"user {name} has a hash that is {kind}; only bcrypt is taken, make it anew with: htpasswd -B FILE {name}"
