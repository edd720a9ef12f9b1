# A line of the access log as a JSON object. One key after the other, in this order:
#
#   time        to the second, RFC 3339                        | stamp
#   client      its address; - where a proxy does not say      | opening
#   user        who has shown a password, or null              |
#   method, target, protocol                                   | request line; method and protocol null: it was none
#   status, bytes                                              | outcome
#   referer, user_agent, host                                  | client; null where it said nothing
#   duration    seconds, from the request to this record       | made for each request, as what follows
#   worker      the number of its slot
#   cache       hit, miss, negative (missing a moment ago), or null where none was asked
#   tls         its version, or null
#   request_id  of the process, and a number in it
#
# Rule 1: text of clients was escaped for all formats alike (\xHH); here its backslashes are escaped once more.
# Rule 2: a record is made before its answer can arrive, so a duration ends where the record is made: before the first
#         byte of a prebuilt answer is written, before the last piece of a streamed one.
"""The JSON format of the access log."""

import os
from datetime import datetime
from itertools import count
from time import monotonic_ns
from typing import ClassVar

_ID_BYTES = 6
_US_NS = 1000
_S_US = 1_000_000


class Json:
    """JSON Lines: everything that is known of a request. `worker` is the number of the slot."""

    NAME: ClassVar[str] = "json"

    def __init__(self, worker: int = 0) -> None:
        self._worker = worker
        # Other processes count from one too.
        self._process = os.urandom(_ID_BYTES).hex().encode()
        self._numbers = count(1)
        words = b'%b%b"method":"%b","target":"%b","protocol":"%b",%b%b'
        tail = b'"worker":%d,"cache":"hit","tls":null,"request_id":"%b-' % (worker, self._process)
        self._hit = words + b'"duration":%d.%06d,' + tail + b'%x"}\n'

    def weave(self, pieces: list[bytes], found_ns: int) -> bytes:
        """The lines of hits that were found at `found_ns`."""
        took = divmod((monotonic_ns() - found_ns) // _US_NS, _S_US)
        hit, numbers, each = self._hit, self._numbers, iter(pieces)
        return b"".join(
            [
                hit % (stamp, opening, *line.split(b" "), outcome, client, *took, next(numbers))
                for opening, stamp, line, outcome, client in zip(each, each, each, each, each, strict=True)
            ]
        )

    def opening(self, peer: bytes) -> bytes:
        return b'"client":"%b","user":null,' % peer

    def named(self, opening: bytes, user: bytes) -> bytes:
        return b"%b%b," % (opening.removesuffix(b"null,"), _text(user))

    def stamp(self, epoch_seconds: int) -> bytes:
        return f'{{"time":"{datetime.fromtimestamp(epoch_seconds).astimezone().isoformat()}",'.encode()

    def outcome(self, status: int, body_bytes: int) -> bytes:
        return b'"status":%d,"bytes":%d,' % (status, body_bytes)

    def client(self, referer: bytes, user_agent: bytes, host: bytes = b"") -> bytes:
        return b'"referer":%b,"user_agent":%b,"host":%b,' % (_text(referer), _text(user_agent), _text(host))

    def line(self, pieces: tuple[bytes, bytes, bytes, bytes, bytes], began_ns: int, cache: bytes, tls: bytes) -> bytes:
        opening, stamp, line, outcome, client = pieces
        words = line.split(b" ")
        method, target, protocol = words if len(words) == 3 else (b"", line, b"")
        asked = b'"method":%b,"target":%b,"protocol":%b,' % (_text(method), _text(target), _text(protocol))
        took = b'"duration":%d.%06d,' % divmod((monotonic_ns() - began_ns) // _US_NS, _S_US)
        served = b'"worker":%d,"cache":%b,"tls":%b,' % (self._worker, _text(cache), _text(tls))
        request_id = b'"request_id":"%b-%x"}\n' % (self._process, next(self._numbers))
        return b"".join((stamp, opening, asked, outcome, client, took, served, request_id))


def _text(escaped: bytes) -> bytes:
    return b'"%b"' % escaped.replace(b"\\", b"\\\\") if escaped else b"null"
