# Tags, dates and heads of files: what stands for a content, and when it can be trusted to.
"""engine/static/entity.py."""

import os
import time
from pathlib import Path

from tests.static.conftest import RFC_EXAMPLE_SECONDS, MakeSite, find
from wsrv.engine.static.entity import Identity, of_bytes, of_file
from wsrv.engine.static.site import Site


def test_file_from_the_future_is_dated_now(make_site: MakeSite, root: Path) -> None:
    (root / "a").touch()
    os.utime(root / "a", (2**33, 2**33))
    site = make_site(clock=lambda: RFC_EXAMPLE_SECONDS * 10**9)
    assert find(site, b"a").last_modified == b"Sun, 06 Nov 1994 08:49:37 GMT"


def test_file_written_just_now_is_not_settled_and_later_is(make_site: MakeSite, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    ctime_ns = (root / "a").stat().st_ctime_ns
    ctime_ns += ctime_ns % 10**9 == 0  # not by accident a whole second, which is another case
    ages_ms = {0: False, 19: False, 21: True, 10_000: True, -10_000: True}
    for age_ms, settled in ages_ms.items():
        site = make_site(clock=lambda age_ms=age_ms: ctime_ns + age_ms * 10**6)
        assert find(site, b"a").settled is settled, age_ms


def test_setting_the_mtime_back_does_not_make_a_file_settled(make_site: MakeSite, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    os.utime(root / "a", (0, 0))
    ctime_ns = (root / "a").stat().st_ctime_ns
    assert not find(make_site(clock=lambda: ctime_ns + 1), b"a").settled


def test_unsettled_file_gets_a_tag_that_never_comes_again(make_site: MakeSite, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    ctime_ns = (root / "a").stat().st_ctime_ns
    tags = {find(make_site(clock=lambda age=age: ctime_ns + age), b"a").etag for age in (1, 2, 3 * 10**9, 4 * 10**9)}
    assert len(tags) == 3
    assert all(tag.startswith(b'"') and tag.endswith(b'"') for tag in tags)


def test_times_in_whole_seconds_take_seconds_to_settle() -> None:
    coarse = Identity(1, 2, 1, 5 * 10**9, 5 * 10**9)
    assert not of_file(b"a", coarse, b"a", 7 * 10**9, b"text/plain").settled
    assert of_file(b"a", coarse, b"a", 8 * 10**9, b"text/plain").settled


def test_same_size_and_mtime_in_place_is_another_tag(make_site: MakeSite, root: Path) -> None:
    site = make_site()
    (root / "a").write_bytes(b"old")
    os.utime(root / "a", (1, 1))
    old = find(site, b"a")
    # Writing until the kernel's clock has moved on: what happens within one tick is the unsettled case.
    deadline = time.monotonic() + 5
    while (root / "a").stat().st_ctime_ns == (old.identity or (0,))[-1]:
        assert time.monotonic() < deadline
        (root / "a").write_bytes(b"new")
        os.utime(root / "a", (1, 1))
    new = find(site, b"a")
    assert (new.length, new.last_modified, new.body) == (old.length, old.last_modified, b"new")
    assert new.etag != old.etag
    assert not site.unchanged(b"a", old, nowait=False)


def test_304_carries_the_tag_and_no_metadata(site: Site, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    entity = find(site, b"a")
    head = entity.head(304, b"close").render(b"DATE")
    assert head.startswith(b"HTTP/1.1 304 ")
    assert b"ETag: " + entity.etag + b"\r\n" in head
    assert b"Connection: close\r\n" in head
    assert b"Content-" not in head
    assert b"Last-Modified" not in head


def test_200_carries_every_field_in_order(site: Site, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    entity = find(site, b"a")
    lines = entity.head(200).render(b"DATE").split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert lines[3:-2] == [b"%b: %b" % field for field in entity.fields]


def test_conditions_are_held_against_tag_and_date_and_a_page_of_ours_has_neither(site: Site, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    os.utime(root / "a", (0, 0))
    entity = find(site, b"a")
    assert entity.validators == (entity.etag, 0)
    assert of_bytes(200, b"text/plain", b"a").validators == (b"", None)
