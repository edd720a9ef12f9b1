# Guards of the file pool for tests: semaphores of this process, whose waiting threads can be sent home.
#
# The pool's threads live as long as their worker, so nothing in the engine ends them. Here a closed guard raises
# SystemExit in whoever waits, which ends a thread without a word.
"""A semaphore and a lock that end the threads which wait for them."""

import threading

from wsrv.engine.worker.pool import PoolLocks

# No thread here waits longer for another one; never slept through.
BOUND_SECONDS = 20.0


class Guard:
    """A counting semaphore, and a lock when it has one permit."""

    def __init__(self, name: str, permits: int) -> None:
        self.name = name
        self._permits = permits
        self._closed = False
        self._changed = threading.Condition()

    def try_acquire(self, count: int = 1) -> int:
        with self._changed:
            had = min(count, self._permits)
            self._permits -= had
            return had

    def acquire(self, timeout_seconds: float | None = None) -> bool:
        with self._changed:
            had = self._changed.wait_for(lambda: self._closed or self._permits > 0, timeout_seconds)
            if self._closed:
                raise SystemExit
            self._permits -= had
            return had

    def release(self, count: int = 1) -> None:
        with self._changed:
            self._permits += count
            self._changed.notify_all()

    def value(self) -> int:
        return self._permits

    def reset(self, value: int) -> None:
        with self._changed:
            self._permits = value
            self._changed.notify_all()

    def fds(self) -> list[int]:
        return []

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def guards(places: int) -> PoolLocks:
    """The three guards of a pool with so many places in its queue."""
    return PoolLocks(Guard("pool_empty", places), Guard("pool_filled", 0), Guard("pool_mutex", 1))


def send_home(*pools: PoolLocks) -> None:
    """End the threads of all pools that there are, and wait until they have ended."""
    report = threading.excepthook

    def report_but_the_end(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            report(args)

    threading.excepthook = report_but_the_end
    try:
        for locks in pools:
            for guard in locks:
                guard.close()
        for thread in threading.enumerate():
            if thread.name.startswith("wsrv-pool-"):
                thread.join(BOUND_SECONDS)
                assert not thread.is_alive(), f"{thread.name} does not end"
    finally:
        threading.excepthook = report
