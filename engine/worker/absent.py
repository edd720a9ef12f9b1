# Paths at which nothing was found, remembered for a moment: negative entries.
#
# Rule 1: they are no entries of the store: no policy weighs them, and nothing leaves for them.
# Rule 2: what is held comes first. They are asked only where a look at the files would be next, and what is put into
#         the cache ends them.
# Rule 3: short and few: what appears is served within `cache.revalidate`, never later than a second; and whoever makes
#         paths up ends the memory of others, and takes no more room.
"""What was missing a moment ago."""

from wsrv.engine.static.site import Site

# However seldom files are looked at.
LONGEST_NS = 1_000_000_000
# Some 400 KB.
MOST = 1024
MOST_PATH_BYTES = 256


class Absent:
    """Paths of sites that led to 404, each for `revalidate_ns`, and LONGEST_NS at most."""

    def __init__(self, revalidate_ns: int) -> None:
        self._lasts_ns = min(revalidate_ns, LONGEST_NS)
        # Until when.
        self._paths: dict[tuple[bytes, bytes], int] = {}

    def note(self, site: Site, path: bytes, began_ns: int) -> None:
        """A look that began then has found nothing."""
        if not self._lasts_ns or len(path) > MOST_PATH_BYTES:
            return
        if len(self._paths) >= MOST:
            self._paths.clear()
        self._paths[site.tag, path] = began_ns + self._lasts_ns

    def has(self, site: Site, path: bytes, now_ns: int) -> bool:
        """Whether nothing was there a moment ago."""
        return self._paths.get((site.tag, path), 0) > now_ns

    def end(self, site: Site, path: bytes) -> None:
        """Something is there."""
        self._paths.pop((site.tag, path), None)

    def clear(self) -> None:
        """Look for everything again."""
        self._paths.clear()

    def count(self, now_ns: int) -> int:
        """How many count."""
        return sum(until_ns > now_ns for until_ns in self._paths.values())

    def __len__(self) -> int:
        """How many are remembered, past their time or not."""
        return len(self._paths)
