# Answers made ahead of time, and how a request finds one by two look-ups.
#
#   field block ──remembered──> Remembered ──front──> request line ──> Prepared ──> wire bytes
#
# A front is a dict of request lines that all mean the same under one reading of the field block: same site, same
# coding, same wish for the connection, a Host or none. So block and line together name an answer, and nothing is
# parsed twice.
#
# Rule 1: a Prepared is made of one Cached and dies with it: the store's victims are taken out of every front.
# Rule 2: wire bytes hold for a second at most: Date turns, and the file is looked at again, both at the first request
#         of a second. Only the Date is written anew, in its place.
"""Prebuilt answers: Remembered field blocks, Cached entities, and the Shelf that holds both."""

from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.store import CHANGED, GONE, Store
from wsrv.engine.http.bounds import DEFAULT_BOUNDS, Bounds
from wsrv.engine.http.escape import log_escape
from wsrv.engine.http.fields import Fields, parse_fields
from wsrv.engine.http.grammar import host_in
from wsrv.engine.http.negotiation import Acceptable, acceptable
from wsrv.engine.http.response import DATE_BYTES, HeadTemplate
from wsrv.engine.log.format import Format
from wsrv.engine.settings import CacheSettings
from wsrv.engine.shm.row import EVICTIONS, OBJECTS, SIZE_BYTES
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.hosts import Host, Hosts
from wsrv.engine.static.site import Site
from wsrv.engine.static.watch import LONGEST_NS, Folder, Watches
from wsrv.engine.worker.absent import Absent
from wsrv.engine.worker.clock import SECOND_NS, Clock
from wsrv.engine.worker.pages import OFTEN, Paged, Pages

if TYPE_CHECKING:
    from wsrv.engine.worker.request import Request
    from wsrv.engine.worker.sampling import Sample

# Head and body are joined into one string up to here; above, copying would cost more than writev's second part.
JOIN_BYTES = 16 * 1024
# A body up to here is joined to the head of each answer that is made of it, a longer one to the first alone: the second
# part costs 0.4 us.
COPY_BYTES = 2 * 1024
# What an entity takes beside its bodies: 3 KB at first, 1 KB for each further answer, 150 bytes for each request line
# and the line itself. Counted are three answers and eight ordinary lines. Who asks for HEAD in three ways too, by lines
# as long as are kept, makes an entity take 5 KB more than its weight: below twice, whatever its size.
OVERHEAD_BYTES = 6 * 1024
# A small body is held once, and once more in the wire bytes of each kind of Connection field; a longer one twice.
COPIES = 4
LONGER_COPIES = 2
# Field blocks are remembered up to this size each and this much in all.
BLOCK_BYTES = 2 * 1024
MEMORY_BYTES = 4 * 1024 * 1024
BLOCK_OVERHEAD_BYTES = 700
# Request lines that lead to one entity: spellings and query strings. An attacker has as many as he likes.
LINES_PER_ENTITY = 8
LINE_BYTES = 256
# Four times a second the hits of so many entries are added up, in some 0.5 ms.
MOST_STIRRED = 512


_NO_PARTS = (bytearray(), b"")


class Prepared:
    """One answer, ready to write and to record."""

    __slots__ = (
        "cached",
        "close",
        "date_at",
        "due_ns",
        "hits",
        "key",
        "length",
        "noted",
        "noted_ns",
        "number",
        "outcome",
        "pages",
        "parts",
        "seen_hits",
        "until_ns",
        "wire",
    )

    def __init__(self, cached: "Cached", template: HeadTemplate, body: bytes, close: bool, outcome: bytes) -> None:
        self.cached = cached
        self.key = cached.key
        self.close = close
        self.outcome = outcome
        self.until_ns = 0
        self.hits = 0
        # For a sample: until when it would be good were it not cut short; of how many hits it knows, and since when;
        # its number.
        self.due_ns = 0
        self.noted = 0
        self.noted_ns = 0
        self.number = -1
        head = template.render(bytes(DATE_BYTES))
        self.date_at = len(template.before)
        self.length = len(head) + len(body)
        joined = cached.joins(self.length, len(body))
        self.wire = bytearray(head + body) if joined else None
        self.parts = _NO_PARTS if joined else (bytearray(head), body)
        # The same once more, where it is asked for often.
        self.pages: Pages | None = None
        # Hits at its last renewal.
        self.seen_hits = 0

    def render(self, date: bytes) -> None:
        """Make the wire bytes those of this second. Who keeps some for longer than a round of the loop copies them."""
        at = self.date_at
        (self.parts[0] if self.wire is None else self.wire)[at : at + DATE_BYTES] = date

    def copied(self) -> tuple[bytes, ...]:
        """The wire bytes of this second, to keep."""
        return (bytes(self.wire),) if self.wire is not None else (bytes(self.parts[0]), self.parts[1])


class Cached:
    """An entity that is held, every answer prepared from it, and the places where those can be found.

    `entity` was found at `path` of `site`; `key` tells it from the other representations of that path. `since_ns` is
    when that was, `asked_ns` when it last served, to the second; `served` counts the hits of the slow lane, `counted`
    are the requests that its heat knows of. `joined`: a long body is in one of its answers once more. `folder`: the one
    that its files are in, if nobody can change them but there, and `looked_ns` when they were looked at last.
    """

    __slots__ = (
        *("answers", "asked_ns", "checked_ns", "counted", "entity", "folder", "joined"),
        *("key", "lines", "looked_ns", "path", "served", "since_ns", "site"),
    )

    def __init__(self, key: bytes, site: Site, path: bytes, entity: Entity, checked_ns: int) -> None:
        self.key = key
        self.site = site
        self.path = path
        self.entity = entity
        self.checked_ns = self.since_ns = self.asked_ns = checked_ns
        self.served = 0
        self.counted = 0
        self.folder: Folder | None = None
        self.looked_ns = 0
        self.joined = False
        self.answers: dict[tuple[bool, bytes], Prepared] = {}
        self.lines: list[tuple[dict[bytes, Prepared], bytes]] = []

    def joins(self, length: int, body_bytes: int) -> bool:
        """Whether one more answer, of `length` bytes, is to be one string, head and body joined."""
        if body_bytes <= COPY_BYTES:
            return True
        if length > JOIN_BYTES or self.joined:
            return False
        self.joined = True
        return True

    @property
    def hits(self) -> int:
        """Requests that it has answered without a look for its file."""
        return self.served + sum(prepared.hits for prepared in self.answers.values())


class Reading(NamedTuple):
    """All of a field block that decides which answer a request line means, where a look-up can answer it at all."""

    site: bytes
    hostless: bool
    close: bool
    keep_alive: bool
    accepted: Acceptable

    @classmethod
    def of(cls, fields: Fields, site: Site) -> "Reading":
        """The reading of a parsed block whose Host leads to `site`."""
        return cls(
            site.tag, fields.host is None, fields.close, fields.keep_alive, acceptable(fields.get(b"accept-encoding"))
        )


class Remembered:
    """A parsed field block. `front` is empty for good where the request needs more than a look-up. `sent`: by their
    lines, requests with this block for long files (repeats.py)."""

    __slots__ = ("accepted", "client", "fields", "front", "plain", "sent")

    def __init__(
        self, fields: Fields, accepted: Acceptable, front: dict[bytes, Prepared], plain: bool, client: bytes
    ) -> None:
        self.fields = fields
        self.accepted = accepted
        self.front = front
        self.plain = plain
        self.client = client
        self.sent: dict[bytes, Request] = {}


def weight_of(body_bytes: int) -> int:
    """What an entity with such a body takes in the cache."""
    if body_bytes <= COPY_BYTES:
        return OVERHEAD_BYTES + body_bytes * COPIES
    return OVERHEAD_BYTES + body_bytes * (LONGER_COPIES if body_bytes <= JOIN_BYTES else 1)


class Shelf:
    """Everything a worker remembers: parsed field blocks, entities, prepared answers, error pages."""

    # Whether there is more to be found than this worker has put here.
    shares = False

    def __init__(
        self,
        settings: CacheSettings,
        policy: Policy,
        hosts: Hosts,
        clock: Clock,
        log_format: Format,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self._bounds = bounds
        self.store: Store[Cached] = Store(policy, self._left)
        self.remembered: dict[bytes, Remembered] = {}
        self._remembered_bytes = 0
        self._forgetful = False
        self._fronts: dict[Reading, dict[bytes, Prepared]] = {}
        self.hosts = hosts
        self._clock = clock
        self._format = log_format
        self._revalidate_ns = int(settings.revalidate_seconds * SECOND_NS)
        self.absent = Absent(self._revalidate_ns)
        # Keys that were asked for since somebody has last looked, and perhaps twice: the first so many. What has left
        # meanwhile is not held by them.
        self.stirred: list[bytes] = []
        self.paged = Paged(settings.capacity_bytes)
        self._errors: dict[tuple[bytes, int, str], tuple[Entity, int]] = {}
        # Who tells that nothing has changed; None where every file has to be looked at.
        self.watches: Watches | None = None
        # Notes what is asked for, while somebody wants to know.
        self.sample: Sample | None = None

    def remember(self, block: bytes) -> Remembered:
        """The parse of a field block, made now if it was not made before. Raises Malformed."""
        known = self.remembered.get(block)
        if known is not None:
            return known
        fields = parse_fields(block, self._bounds)
        plain = not (fields.conditional or fields.chunked or fields.content_length or fields.other_expectation)
        plain = plain and fields.range is None
        host = self.hosts.find(host_in(fields.host or b""))
        if host.rules.origins and fields.get(b"origin") is not None:
            # Its answer names the origin.
            plain = False
        reading = Reading.of(fields, host.site)
        front = self._fronts.setdefault(reading, {}) if plain else {}
        client = self._format.client(*map(log_escape, (fields.referer, fields.user_agent, fields.host or b"")))
        known = Remembered(fields, reading.accepted, front, plain, client)
        if len(block) <= BLOCK_BYTES and not self._forgetful:
            weight = len(block) + BLOCK_OVERHEAD_BYTES
            self._remembered_bytes += weight
            if self._remembered_bytes > MEMORY_BYTES:
                self.remembered.clear()
                self._remembered_bytes = weight
            self.remembered[block] = known
        return known

    def forget(self) -> None:
        """Send every request the long way from now on: connections are to be closed."""
        self._forgetful = True
        self.remembered.clear()

    def find(self, key: bytes, now_ns: int) -> Cached | None:
        """What is held under `key` and is known to be as the file is, looked at within `revalidate_seconds`."""
        cached = self.store.get(key)
        if cached is None or self._fresh(cached, now_ns):
            return cached
        return None

    def is_good(self, cached: Cached, now_ns: int) -> bool:
        """Whether what need not be held is known to be as the file is. Raises BlockingIOError."""
        return now_ns - cached.checked_ns < self._revalidate_ns or self._is_current(cached, now_ns)

    def hit(self, cached: Cached) -> None:
        """Tell the policy of a hit that the slow lane serves."""
        self.store.policy.hit(cached.key)

    def claim(self, site: Site, key: bytes, now_ns: int) -> bool:
        """Whether this worker is to load what is missing under `key`; False while another one is at it."""
        return True

    def is_claimed(self, site: Site, key: bytes, now_ns: int) -> bool:
        """Whether another worker is loading what is missing under `key`."""
        return False

    def release(self, site: Site, key: bytes) -> None:
        """What was claimed is loaded, or cannot be."""

    def clear_shared(self, matches: Callable[[bytes], bool]) -> Iterator[tuple[int, int]]:
        """Drop what is held for all workers at paths that match, in steps: how many entries, and how many bytes."""
        return iter(())

    def holds(self, key: bytes) -> bool:
        """Whether something is held under `key`, here or for all."""
        return self.store.get(key) is not None

    def has_room(self, body_bytes: int, capacity_bytes: int) -> bool:
        """Whether a body of this length fits into `capacity_bytes` and nobody has to leave for it."""
        return self.store.size_bytes + weight_of(body_bytes) <= capacity_bytes

    def lay_in(self, key: bytes, site: Site, path: bytes, entity: Entity, checked_ns: int) -> None:
        """Hold `entity`, which nobody has asked for yet, where there is room for it."""
        self.keep(key, site, path, entity, checked_ns)

    def held(self, key: bytes) -> Cached | None:
        """What is held under `key`, whether or not the file is still like it."""
        return self.store.get(key)

    def keep(self, key: bytes, site: Site, path: bytes, entity: Entity, checked_ns: int) -> Cached:
        """Hold `entity`, which was read from `path` of `site` at `checked_ns` or later, if it may be held at all."""
        cached = Cached(key, site, path, entity, checked_ns)
        if may_be_held(entity):
            self._put(cached)
        return cached

    def _put(self, cached: Cached) -> None:
        self.absent.end(cached.site, cached.path)
        self.store.put(cached.key, cached, weight_of(len(cached.entity.body or b"")))

    def gauge(self, counts: MutableSequence[int]) -> None:
        """Say how full the store is, and how often it had to make room."""
        store = self.store
        counts[EVICTIONS] = store.evictions
        counts[SIZE_BYTES] = store.size_bytes
        counts[OBJECTS] = len(store)

    def prepare(self, cached: Cached, head_only: bool, connection: bytes, now_ns: int) -> Prepared:
        """The answer 200 to GET or HEAD for `cached`, with this Connection field; good at `now_ns`."""
        prepared = cached.answers.get((head_only, connection))
        if prepared is None:
            entity = cached.entity
            body = b"" if head_only else entity.body or b""
            outcome = self._format.outcome(entity.status, len(body))
            template = entity.head(entity.status, connection)
            prepared = Prepared(cached, template, body, connection == b"close", outcome)
            if self.store.get(cached.key) is cached:
                cached.answers[(head_only, connection)] = prepared
        cached.asked_ns = now_ns
        if prepared.until_ns <= now_ns:
            self._render(prepared)
            if self.sample is not None:
                self.sample.catch(prepared, now_ns)
        return prepared

    def shelve(self, prepared: Prepared, front: dict[bytes, Prepared], raw_line: bytes) -> None:
        """Let the hot path find `prepared` by `raw_line`, if its entity is held."""
        cached = prepared.cached
        if len(raw_line) > LINE_BYTES or self.store.get(cached.key) is not cached or raw_line in front:
            return
        if len(cached.lines) == LINES_PER_ENTITY:
            old_front, old_line = cached.lines.pop(0)
            old_front.pop(old_line, None)
        front[raw_line] = prepared
        cached.lines.append((front, raw_line))

    def renew(self, prepared: Prepared, now_ns: int) -> bool:
        """Make an expired answer good again; False when its file is not what it was."""
        sample = self.sample
        if sample is not None and sample.still_good(prepared, now_ns):
            return True
        cached = prepared.cached
        # With the Date all of it is renewed: were the look due later in this second, it would be in the way twice.
        if cached.checked_ns + self._revalidate_ns < self._clock.second_ends_ns and not self._look(cached, now_ns):
            return False
        cached.asked_ns = now_ns
        self._render(prepared)
        if prepared.wire is None:
            self._consider(prepared)
        if sample is not None:
            sample.renewed(prepared, now_ns)
        return True

    def distrust(self, now_ns: int) -> None:
        """Look for every file again before it serves: another directory is the root now."""
        self._errors.clear()
        self.absent.clear()
        if self.watches is not None:
            self.watches.distrust()
        for key in self.store.held():
            if (cached := self.store.get(key)) is not None:
                cached.checked_ns = min(cached.checked_ns, now_ns - self._revalidate_ns)
                for prepared in cached.answers.values():
                    prepared.until_ns = prepared.due_ns = 0

    def fresh_for_ns(self, cached: Cached, now_ns: int) -> int:
        """How long `cached` serves before its file is looked at again; 0 when that is next."""
        return max(0, cached.checked_ns + self._revalidate_ns - now_ns)

    def error(self, status: int, now_ns: int, reason: str = "", host: Host | None = None) -> Entity:
        """The page for an error, looked up anew as often as a file is. `reason` is one of our own sentences."""
        host = host or self.hosts.default
        known = self._errors.get((host.site.tag, status, reason))
        if known is not None and now_ns - known[1] < self._revalidate_ns:
            return known[0]
        entity = host.pages.entity(status, reason, nowait=False)
        entity = replace(entity, fields=(*entity.fields, *host.rules.everywhere))
        if entity.settled:
            self._errors[host.site.tag, status, reason] = (entity, now_ns)
        return entity

    def _render(self, prepared: Prepared) -> None:
        if len(self.stirred) < MOST_STIRRED:
            self.stirred.append(prepared.key)
        prepared.render(self._clock.date)
        if prepared.pages is not None:
            self.paged.renew(prepared)
        prepared.until_ns = min(prepared.cached.checked_ns + self._revalidate_ns, self._clock.second_ends_ns)

    def _consider(self, prepared: Prepared) -> None:
        """Have a long answer in pages that was asked for often since it was renewed last."""
        if prepared.pages is None and prepared.hits - prepared.seen_hits >= OFTEN:
            self.paged.take_in(prepared)
        prepared.seen_hits = prepared.hits

    def _fresh(self, cached: Cached, now_ns: int) -> bool:
        return now_ns - cached.checked_ns < self._revalidate_ns or self._revalidate(cached, now_ns)

    def _look(self, cached: Cached, now_ns: int) -> bool:
        """Whether `cached` is still good, found out now even where that is not due yet."""
        if self._revalidate(cached, now_ns):
            return True
        # Only the disk can tell, and need not yet.
        return self.store.get(cached.key) is cached and now_ns - cached.checked_ns < self._revalidate_ns

    def _revalidate(self, cached: Cached, now_ns: int) -> bool:
        """Find out whether the file is still what it was; what has changed is let go of."""
        try:
            if self._is_current(cached, now_ns):
                return True
        except BlockingIOError:
            # Only the disk can tell. The pool looks again; if nothing has changed, what was made of it still serves.
            return False
        self._let_go(cached)
        return False

    def _is_current(self, cached: Cached, now_ns: int) -> bool:
        """Whether the file is still what it was. Raises BlockingIOError."""
        folder = cached.folder
        if folder is not None and folder.since_ns <= cached.looked_ns and now_ns - cached.looked_ns < LONGEST_NS:
            cached.checked_ns = now_ns
            return True
        site, watches = cached.site, self.watches
        if watches is not None:
            # Before the look: what happens after it is heard of.
            folder = site.watched(watches, cached.entity.path, now_ns)
        if not site.unchanged(cached.path, cached.entity, nowait=True):
            return False
        cached.checked_ns = cached.looked_ns = now_ns
        cached.folder = folder if folder is not None and site.stands_alone(cached.entity) else None
        return True

    def _let_go(self, cached: Cached) -> None:
        """Drop what has changed."""
        self.store.drop(cached.key, self._reason(cached))

    def _reason(self, cached: Cached) -> str:
        """Why `cached` is let go of."""
        return CHANGED if self._is_there(cached) else GONE

    def _is_there(self, cached: Cached) -> bool:
        """Whether there is a file where `cached` came from."""
        try:
            return cached.site.identity(cached.entity.path, nowait=True) is not None
        except BlockingIOError:
            return True

    def _left(self, cached: Cached) -> None:
        for front, line in cached.lines:
            if (there := front.get(line)) is not None and there.cached is cached:
                del front[line]
        cached.lines.clear()
        for prepared in cached.answers.values():
            self.paged.drop(prepared)
        # They hold it, as it holds them: its memory would be free when the collector comes by, which is seldom.
        cached.answers.clear()


def may_be_held(entity: Entity) -> bool:
    """Whether an entity can be answered with again."""
    return entity.body is not None and entity.settled and entity.status == 200
