# Names in the folders of a site, for whoever wants to look at all of it.
#
# Rule: links to folders are not followed: a walk that follows them may never end.
"""Walking through what lies beneath a root."""

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from wsrv.engine.static.openat2 import open_beneath

# As a listing is made: a slice, then a rest, so that other threads are not held up.
_SLICE = 128
_PAUSE_SECONDS = 0.0005
# A folder with more is not looked at to its end.
MOST_NAMES = 100_000


class Names(NamedTuple):
    """What is in a folder: the paths of its files, and of its folders with a slash behind."""

    files: list[bytes]
    folders: list[bytes]


def names_in(
    root_fd: int, path: bytes, *, no_links: bool, pause: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS)
) -> Names:
    """The names in the folder `path`, which is b"" or ends with a slash. For the pool. Raises OSError."""
    found = Names([], [])
    folder_fd = open_beneath(root_fd, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK, no_links=no_links)
    try:
        with os.scandir(folder_fd) as entries:
            for number, entry in enumerate(entries):
                if number % _SLICE == _SLICE - 1:
                    pause()
                if number == MOST_NAMES:
                    break
                name = path + os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    found.folders.append(name + b"/")
                else:
                    found.files.append(name)
    finally:
        os.close(folder_fd)
    return found
