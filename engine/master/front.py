# The front of the server: its listeners, what comes in by them, and which generation of workers it goes to.
#
# Rule 1: a listener leaves the loop when nothing can be accepted for the moment, and comes back.
# Rule 2: from one generation to the next in one step of the loop: who was accepted before it is for the old workers,
#         who comes after it for the new ones. What an old worker leaves behind is dispatched to the new ones.
# Rule 3: a listener that is no more is emptied before it is closed.
"""Accepting for the workers of now, and turning to those of the next generation."""

import contextlib
import select
from time import monotonic_ns

from wsrv.engine.log.seldom import Seldom
from wsrv.engine.master.dispatch import Dispatcher
from wsrv.engine.master.generation import Generation, Generations
from wsrv.engine.master.outcome import Voice
from wsrv.engine.master.refusal import Refuser
from wsrv.engine.master.slot import Slot
from wsrv.engine.master.supervise import Nursery
from wsrv.engine.shm.row import LOST
from wsrv.engine.static.entity import Entity
from wsrv.engine.static.errors import ErrorPages
from wsrv.engine.static.site import Site

_SECOND_NS = 1_000_000_000
_EXHAUSTED_PAUSE_NS = _SECOND_NS // 10
# A worker that has not finished its answers this long after its own bound is ended.
_MARGIN_NS = 2 * _SECOND_NS


class Front:
    """What stands before the workers of `nursery`; with `dispatches` the master accepts for them."""

    def __init__(
        self, epoll: select.epoll, nursery: Nursery, generations: Generations, dispatches: bool, voice: Voice
    ) -> None:
        self._epoll = epoll
        self._nursery = nursery
        self._generations = generations
        self._dispatches = dispatches
        first = nursery.current
        self.refuser = Refuser(epoll, self._unavailable, first.secure)
        self._dispatcher = Dispatcher(first.sockets, first.slots, self.refuser.refuse)
        self._settling: dict[int, Slot] = {}
        # The listeners that are in the loop.
        self._accepting: frozenset[int] = frozenset()
        self._open = False
        self._resume_ns = 0
        self._seldom = Seldom(voice.warn)
        # How often nothing could be accepted for a while.
        self.pauses = 0
        nursery.when_left = self._see_off
        self._expect_settling(first)

    # The loop.

    def owns(self, fd: int) -> bool:
        """Whether an event on `fd` belongs here."""
        return fd in self._accepting or fd in self._settling or self.refuser.owns(fd)

    def handle(self, fd: int) -> None:
        """Do what an event on `fd` allows."""
        if fd in self._accepting:
            self._accept(fd)
        elif fd in self._settling:
            self._dispatcher.settle(self._settling[fd])
        else:
            self.refuser.handle(fd)

    def tick(self, now_ns: int) -> None:
        """See off those who were refused, and listen again after a pause."""
        self.refuser.tick(now_ns)
        if self._open and not self._accepting and now_ns >= self._resume_ns:
            self._listen()

    def open(self) -> None:
        """Let clients in, now that workers serve."""
        self._open = True
        self._listen()

    def _listen(self) -> None:
        if self._dispatches:
            self._accepting = frozenset(listener.fileno() for listener in self._nursery.current.sockets)
            for fd in self._accepting:
                self._epoll.register(fd, select.EPOLLIN)

    def _deafen(self) -> None:
        for fd in self._accepting:
            self._epoll.unregister(fd)
        self._accepting = frozenset()

    def _accept(self, fd: int) -> int:
        try:
            return self._dispatcher.accept(fd)
        except OSError as e:
            self.pauses += 1
            self._seldom.tell(f"cannot accept connections for the moment: {e.strerror}; it is tried again")
            self._deafen()
            self._resume_ns = monotonic_ns() + _EXHAUSTED_PAUSE_NS
            return 0

    def take_back(self, slot: Slot) -> None:
        """Dispatch elsewhere what waits in a slot whose worker does not take it."""
        current = self._nursery.current
        if slot.generation in (current, self._nursery.coming):
            self._dispatcher.take_back(slot)
        else:
            self._dispatcher.take_back(slot, self._generations.renumber(slot, current))

    def _expect_settling(self, generation: Generation) -> None:
        for slot in generation.slots:
            if (fd := slot.channel.settle_fd()) is not None:
                self._settling[fd] = slot
                self._epoll.register(fd, select.EPOLLIN)

    # From one generation to the next.

    def turn(self) -> list[Slot]:
        """Have the next generation serve: who comes from now on is for its workers. The slots of the one before."""
        nursery = self._nursery
        before = nursery.current
        assert nursery.coming is not None, "there is a next one"
        kept = nursery.coming.sockets
        gone = [listener for listener in before.listeners if listener.socket not in kept]
        if self._dispatches:
            for listener in gone:
                self._empty(listener.socket.fileno())
        self._deafen()
        left = nursery.promote(monotonic_ns() + longest_ns([before]))
        current = nursery.current
        self._dispatcher.turn_to(current.sockets, current.slots)
        self.refuser.secure = current.secure
        self._expect_settling(current)
        for listener in gone:
            listener.close()
        self._let_go_of_listeners(left)
        self._listen()
        return left

    def _empty(self, listener: int) -> None:
        """Take in who has connected already."""
        while self._accept(listener):
            pass

    def _let_go_of_listeners(self, slots: list[Slot]) -> None:
        """Where workers accept for themselves, and were told to leave: theirs stay open until they have taken all."""
        if not self._dispatches:
            for slot in slots:
                slot.channel.close()

    def _see_off(self, slot: Slot) -> None:
        """The last worker of a slot that is not needed any more is gone: what waits in it is for others."""
        self.take_back(slot)
        fd = slot.channel.settle_fd()
        if fd is not None and self._settling.pop(fd, None) is not None:
            self._dispatcher.settle(slot)
            self._epoll.unregister(fd)
        self._nursery.retired.counts[LOST] += slot.channel.lost
        self._generations.close(slot)

    # The end.

    def drain(self) -> int:
        """Take in who has connected already, then nobody; how long the workers may take to finish, in ns."""
        nursery = self._nursery
        current = nursery.current
        if self._open and self._dispatches:
            for listener in current.sockets:
                self._empty(listener.fileno())
        self._open = False
        self._dispatcher.drains = True
        self._deafen()
        for one in current.listeners:
            one.close()
        self._let_go_of_listeners(current.slots)
        return longest_ns([slot.generation for slot in nursery.slots()])

    def see_refused_off(self) -> None:
        """Let go of those who are still being refused."""
        for fd in self.refuser.fds():
            self.refuser.let_go(fd)

    def close(self) -> None:
        """Give back listeners and slots. When no child is left."""
        for slot in self._nursery.slots():
            self._generations.close(slot)
        for listener in self._nursery.current.listeners:
            listener.close()

    def _unavailable(self) -> Entity:
        """The page of those who are refused. Raises OSError without a descriptor for it."""
        settings = self._nursery.current.settings
        with contextlib.ExitStack() as undo:
            site = Site(settings.site, settings.cache)
            undo.callback(site.close)
            pages = ErrorPages(site, settings.site, settings.cache)
            undo.callback(pages.close)
            return pages.entity(503, nowait=False)


def longest_ns(generations: list[Generation]) -> int:
    """How long workers of these may take to finish what they have begun."""
    longest_seconds = max(generation.settings.limits.longest_seconds for generation in generations)
    return int(longest_seconds * _SECOND_NS) + _MARGIN_NS
