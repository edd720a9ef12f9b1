# The one system call: what it refuses, and what is tried again.
"""engine/static/openat2.py."""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.static.conftest import from_memory
from wsrv.engine.static import openat2
from wsrv.engine.static.openat2 import open_beneath, open_directory


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    (root / "a").write_bytes(b"a")
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to(root / "a")
    (root / "loop").symlink_to("loop")
    (root / "in").symlink_to("a")
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


class Syscall:
    """Stands for the system call: fails with each number given, then does the real thing."""

    def __init__(self, real: object, numbers: list[int]) -> None:
        self._real = real
        self._numbers = numbers

    def __call__(self, *arguments: object) -> int:
        if self._numbers:
            ctypes.set_errno(self._numbers.pop(0))
            return -1
        return self._real(*arguments)  # type: ignore[operator, no-any-return]  # a ctypes function


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("path", [b"a", b"in"])
def test_what_lies_beneath_is_opened_close_on_exec(root_fd: int, path: bytes, cached: bool) -> None:
    os.close(open_beneath(root_fd, path, os.O_RDONLY))
    fd = from_memory(lambda: open_beneath(root_fd, path, os.O_RDONLY, cached=cached))
    try:
        assert os.read(fd, 9) == b"a"
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    finally:
        os.close(fd)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("path", "number"),
    [
        (b"..", errno.EXDEV),
        (b"../secret", errno.EXDEV),
        (b"a/../../secret", errno.ENOTDIR),
        (b"/etc/passwd", errno.EXDEV),
        (b"out", errno.EXDEV),
        (b"absolute", errno.EXDEV),
        (b"loop", errno.ELOOP),
        (b"a/b", errno.ENOTDIR),
        (b"", errno.ENOENT),
        (b"a\0b", errno.ENOENT),
        (b"n" * 300, errno.ENAMETOOLONG),
        (b"n/" * 3000, errno.ENAMETOOLONG),
    ],
)
def test_what_does_not_is_refused(root_fd: int, path: bytes, number: int, cached: bool) -> None:
    with pytest.raises(OSError, match="Errno") as refused:
        os.close(open_beneath(root_fd, path, os.O_RDONLY, cached=cached))
    # The kernel gives a cached walk up before it looks at some of these; never does it open them.
    assert refused.value.errno in ({number, errno.EAGAIN} if cached else {number})


def test_magic_links_are_refused() -> None:
    proc_fd = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="symbolic links") as refused:
            os.close(open_beneath(proc_fd, b"0", os.O_RDONLY))
        assert refused.value.errno == errno.ELOOP
    finally:
        os.close(proc_fd)


def test_name_never_looked_up_is_not_waited_for(root_fd: int) -> None:
    with pytest.raises(BlockingIOError):
        open_beneath(root_fd, b"never-looked-up", os.O_RDONLY, cached=True)


def test_kernel_without_cached_lookups_is_not_waited_for(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openat2, "_syscall_kept", Syscall(openat2._syscall_kept, [errno.EINVAL]))
    with pytest.raises(BlockingIOError):
        open_beneath(root_fd, b"a", os.O_RDONLY, cached=True)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EINTR])
def test_lookup_disturbed_by_others_is_tried_again(root_fd: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(openat2, "_syscall_released", Syscall(openat2._syscall_released, [number] * 3))
    os.close(open_beneath(root_fd, b"a", os.O_RDONLY))


def test_lookup_disturbed_for_ever_is_given_up(root_fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [errno.EAGAIN] * 1000
    monkeypatch.setattr(openat2, "_syscall_released", Syscall(openat2._syscall_released, left))
    with pytest.raises(BlockingIOError):
        open_beneath(root_fd, b"a", os.O_RDONLY)
    assert len(left) > 900


def test_only_a_directory_is_opened_as_one(root: Path) -> None:
    os.close(open_directory(os.fsencode(root)))
    (root / "a").touch()
    with pytest.raises(NotADirectoryError):
        open_directory(os.fsencode(root / "a"))
