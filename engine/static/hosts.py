# Sites by the name that a request asks for.
#
#   example.org  EXAMPLE.org.  example.org:8080     one name
#   *.example.org                                  every name below it; a full name goes before, a longer star too
#
# Rule: whoever asks for no name, or for one that nobody has, gets the default site.
"""The sites of a server, found by host."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from wsrv.engine.settings import CacheSettings, HostSettings, SiteSettings
from wsrv.engine.static.errors import ErrorPages
from wsrv.engine.static.site import Site

_STAR = b"*."


class Host:
    """A site, and what goes with it. `site.tag` tells its representations from those of the others; `name` is one that
    leads to it, "" for the default site."""

    __slots__ = ("name", "pages", "rules", "site")

    def __init__(
        self, settings: SiteSettings, cache: CacheSettings, clock: Callable[[], int], tag: bytes = b"", name: str = ""
    ) -> None:
        self.name = name
        self.site = Site(settings, cache, clock=clock, tag=tag)
        self.pages = ErrorPages(self.site, settings, cache, clock=clock)
        self.rules = self.site.rules

    def close(self) -> None:
        """Give back the descriptors. Once."""
        self.pages.close()
        self.site.close()


def host_names(others: tuple[HostSettings, ...]) -> dict[bytes, str]:
    """A name of each site, by its tag; the default site comes first and has neither."""
    return {b"": "", **{b"%d" % number: other.names[0] for number, other in enumerate(others, start=1)}}


class Hosts:
    """Every site of the server. Made in the process that serves them, after the fork."""

    def __init__(
        self,
        default: SiteSettings,
        others: tuple[HostSettings, ...],
        cache: CacheSettings,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        sites = (default, *(other.site for other in others))
        self._password_files = frozenset(rule.file for site in sites for rule in site.auth)
        self.default = Host(default, cache, clock)
        self._hosts = [self.default]
        self._named: dict[bytes, Host] = {}
        self._below: dict[bytes, Host] = {}
        names = host_names(others)
        for tag, other in zip(list(names)[1:], others, strict=True):
            host = Host(other.site, cache, clock, tag, names[tag])
            self._hosts.append(host)
            for name in other.names:
                raw = name.encode()
                if raw.startswith(_STAR):
                    self._below[raw.removeprefix(_STAR)] = host
                else:
                    self._named[raw] = host

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def find(self, name: bytes) -> Host:
        """The site for `name`, which is a host in lower case without its port, or b""."""
        if len(self._hosts) == 1:
            return self.default
        name = name.removesuffix(b".")
        found = self._named.get(name)
        above = name
        while found is None and above:
            above = above.partition(b".")[2]
            found = self._below.get(above)
        return found or self.default

    def password_files(self) -> frozenset[Path]:
        """Every password file that a rule names."""
        return self._password_files

    def check_roots(self, now_ns: int, *, nowait: bool) -> bool:
        """Notice, at most once a second of `now_ns`, other directories at the roots' paths. Whether there was one."""
        replaced = [host.site.check_root(now_ns, nowait=nowait) for host in self._hosts]
        return any(replaced)

    @property
    def is_missing(self) -> bool:
        """Whether there is nothing at a root's path."""
        return any(host.site.root_is_missing for host in self._hosts)

    @property
    def out_of_reach(self) -> bool:
        """Whether there is a directory at a root's path that this process may not read."""
        return any(host.site.root_is_out_of_reach for host in self._hosts)

    def close(self) -> None:
        """Give back the descriptors. Once."""
        for host in self._hosts:
            host.close()
