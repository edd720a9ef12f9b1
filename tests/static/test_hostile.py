# What must not be served, opened or waited for, whatever is asked and whatever lies in the root.
"""engine/static against traversal, links, devices and refusals of the kernel."""

import errno
import os
import socket
import stat
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.static.conftest import find, no_descriptor_to_be_had, status_of
from wsrv.engine.static.entity import Redirect
from wsrv.engine.static.site import NotServed, Site
from wsrv.engine.static.target import BadTarget, to_path

NOBODY = 65534


@pytest.fixture
def tree(root: Path) -> Path:
    """A root with links of every kind, a hidden folder, and a folder beside it that nobody may see."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "index.html").write_bytes(b"secret")
    (root / "d").mkdir()
    (root / "d/a.html").write_bytes(b"inside")
    (root / "to-file").symlink_to("d/a.html")
    (root / "to-folder").symlink_to("d")
    (root / "d/up-and-down").symlink_to("../d/a.html")
    (root / "out").symlink_to("../secret")
    (root / "out-absolute").symlink_to(root.parent / "secret")
    (root / "out-folder").symlink_to("../outside")
    (root / "out-folder-absolute").symlink_to(outside)
    (root / "out-and-back").symlink_to("../site/d/a.html")
    (root / "in-absolute").symlink_to(root / "d/a.html")
    (root / "chain").symlink_to("chain-2")
    (root / "chain-2").symlink_to("d/../../secret")
    (root / "loop").symlink_to("loop")
    (root / "slash").symlink_to("/")
    (root / "process").symlink_to("/proc/self/root")
    (root / "dangling").symlink_to("nothing")
    (root / ".git").mkdir()
    (root / ".git/config").write_bytes(b"secret")
    (root / ".env").write_bytes(b"secret")
    (root / ".well-known").mkdir()
    (root / ".well-known/a").write_bytes(b"inside")
    (root / "%2e%2e").write_bytes(b"inside")
    return root


def ask(site: Site, raw: bytes) -> int | bytes:
    """The status or the body that `raw` gets."""
    try:
        entity = find(site, to_path(raw))
    except (BadTarget, NotServed) as refused:
        return refused.status
    return entity.status if entity.body is None or entity.status != 200 else entity.body


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/../secret", 400),
        (b"/d/../../secret", 400),
        (b"/%2e%2e/secret", 400),
        (b"/%2E%2e/%2e%2E/secret", 400),
        (b"/.%2e/secret", 400),
        (b"/..%2fsecret", 404),
        (b"/..%5csecret", 404),
        (b"/..%c0%afsecret", 404),
        (b"/%252e%252e/secret", 404),
        (b"/%252e%252e", b"inside"),
        (b"/..;/secret", 404),
        (b"/.../secret", 404),
        (b"/d/a.html%00.jpg", 400),
        (b"/d/a.html\0", 400),
        (b"/d//a.html", b"inside"),
        (b"//d/./x/../a.html", b"inside"),
        (b"/d/a.html/", 404),
        (b"/d/a.html/.", 404),
        (b"/d/a.html/..", 404),
        (b"/to-file", b"inside"),
        (b"/to-folder", 301),
        (b"/to-folder/a.html", b"inside"),
        (b"/d/up-and-down", b"inside"),
        (b"/out", 403),
        (b"/out-absolute", 403),
        (b"/out-folder", 403),
        (b"/out-folder/", 403),
        (b"/out-folder/index.html", 403),
        (b"/out-folder-absolute/index.html", 403),
        (b"/out-folder/../d/a.html", b"inside"),
        (b"/out-and-back", 403),
        (b"/in-absolute", 403),
        (b"/chain", 403),
        (b"/loop", 403),
        (b"/slash/etc/passwd", 403),
        (b"/process/etc/passwd", 403),
        (b"/dangling", 404),
        (b"/.git/config", 404),
        (b"/.git", 404),
        (b"/.git/", 404),
        (b"/%2egit/config", 404),
        (b"/.env", 404),
        (b"/d/../.env", 404),
        (b"/.well-known/a", b"inside"),
    ],
)
def test_nothing_outside_the_root_or_hidden_is_served(
    tree: Path, site: Site, raw: bytes, expected: int | bytes
) -> None:
    assert ask(site, raw) == expected


SEGMENTS = b"""
d a.html to-file to-folder up-and-down out out-absolute out-folder out-folder-absolute out-and-back in-absolute
chain loop slash process dangling .git config .env .. . %2e%2e .%2e %2f %5c secret outside index.html site etc passwd
""".split()


# The tree is only read, so one serves all examples.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from([*SEGMENTS, b""]), max_size=6))
def test_no_combination_of_segments_reaches_a_secret(tree: Path, site: Site, segments: list[bytes]) -> None:
    assert ask(site, b"/" + b"/".join(segments)) in (b"inside", 301, 400, 403, 404)


def test_folder_swapped_for_a_link_out_is_not_followed(tree: Path, site: Site) -> None:
    entity = find(site, b"d/a.html")
    (tree / "d").rename(tree / "e")
    (tree / "d").symlink_to("../outside")
    assert not site.unchanged(b"d/a.html", entity, nowait=False)
    assert status_of(site, b"d/index.html") == 403


def test_fifo_is_neither_served_nor_waited_for(root: Path, site: Site) -> None:
    os.mkfifo(root / "fifo")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: (ask(site, b"/fifo"), ask(site, b"/fifo/")))
        try:
            assert asked.result(timeout=10) == (404, 404)
        finally:
            # Whoever waits for a writer after all gets one, so that the test ends.
            writer = os.open(root / "fifo", os.O_RDWR)
            pool.shutdown()
            os.close(writer)


def test_socket_and_device_are_404(root: Path, site: Site) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(root)  # the path of a unix socket may have 107 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        assert status_of(site, b"socket") == 404
    if os.geteuid() == 0:
        os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        assert status_of(site, b"null") == 404


def as_nobody(function: Callable[[], object]) -> None:
    """Run `function` in a child without root's rights; fails with the child's traceback."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            function()
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-4000:])
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as said:
        report = said.read().decode()
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), report) == (0, "")


def test_what_may_not_be_read_is_403_and_noticed_when_it_was_cached(root: Path, site: Site) -> None:
    root.chmod(0o755)
    (root / "a").write_bytes(b"a")
    (root / "closed").mkdir()
    (root / "closed/a").write_bytes(b"a")
    before = find(site, b"a")
    (root / "a").chmod(0o000)
    (root / "closed").chmod(0o000)

    def child() -> None:
        assert ask(site, b"/a") == 403
        assert ask(site, b"/closed/a") == 403
        assert ask(site, b"/closed/") == 403
        assert not site.unchanged(b"a", before, nowait=False)
        with pytest.raises(NotServed):
            site.open_for_sending(b"a")

    try:
        as_nobody(child)
    finally:
        (root / "closed").chmod(0o755)


def test_folder_that_may_be_passed_but_not_listed_serves(root: Path, site: Site) -> None:
    root.chmod(0o755)
    (root / "d").mkdir()
    (root / "d/index.html").write_bytes(b"d")
    (root / "d").chmod(0o311)

    def child() -> None:
        assert isinstance(find(site, b"d"), Redirect)
        assert ask(site, b"/d/") == b"d"

    try:
        as_nobody(child)
    finally:
        (root / "d").chmod(0o755)


def test_no_descriptor_left_is_503(root: Path, site: Site) -> None:
    (root / "a").write_bytes(b"a")
    entity = find(site, b"a")
    with no_descriptor_to_be_had():
        found = status_of(site, b"a")
        kept = site.unchanged(b"a", entity, nowait=False)
        with pytest.raises(NotServed) as refused:
            site.open_for_sending(b"a")
    assert (found, kept, refused.value.status) == (503, False, 503)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EIO, 500),
        (errno.ENFILE, 503),
        (errno.ENOMEM, 503),
        (errno.EAGAIN, 503),
        (errno.ESTALE, 503),
        (errno.EPERM, 403),
        (errno.EINVAL, 404),
    ],
)
def test_failing_disk_gets_an_answer(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def fail(*_arguments: object, **_options: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("wsrv.engine.static.file.open_beneath", fail)
    assert status_of(site, b"a") == status


def test_disk_that_fails_in_the_middle_is_500(root: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> bytes:
        raise OSError(errno.EIO, "disk")

    (root / "a").write_bytes(b"a")
    monkeypatch.setattr(os, "pread", fail)
    assert status_of(site, b"a") == 500
