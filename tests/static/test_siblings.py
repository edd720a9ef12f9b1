# Which of a file and its precompressed siblings is found, and what is noticed of them later.
"""engine/static/siblings.py, and Site.find where there are siblings."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.static.conftest import MakeSite, from_memory, later, status_of
from wsrv.engine.http.negotiation import AS_IT_IS, Acceptable
from wsrv.engine.static.entity import Basis, Entity, NotServed
from wsrv.engine.static.file import identify
from wsrv.engine.static.site import Site

ALL = Acceptable((b"br", b"zstd", b"gzip"), True)
GZIP = Acceptable((b"gzip",), True)
NAMES = {b"br": "x.js.br", b"zstd": "x.js.zst", b"gzip": "x.js.gz"}


def find(site: Site, path: bytes, accepted: Acceptable = ALL) -> Entity:
    return site.find(path, b"/" + path, accepted=accepted, nowait=False)


def field(entity: Entity, name: bytes) -> bytes | None:
    values = [value for known, value in entity.fields if known == name]
    assert len(values) <= 1
    return values[0] if values else None


@pytest.fixture
def script(root: Path) -> Path:
    """x.js, an hour old, without siblings."""
    path = root / "x.js"
    path.write_bytes(b"plain")
    age(path, 3600)
    return path


def age(path: Path, seconds: float) -> None:
    """Make `path` look as if it was modified so long ago."""
    now = path.stat().st_ctime
    os.utime(path, (now - seconds, now - seconds))


def lay(script: Path, *codings: bytes) -> None:
    for coding in codings:
        (script.parent / NAMES[coding]).write_bytes(coding)


@pytest.mark.parametrize(
    ("there", "codings", "found"),
    [
        ((b"br", b"zstd", b"gzip"), (b"br", b"zstd", b"gzip"), b"br"),
        ((b"br", b"zstd", b"gzip"), (b"gzip", b"br"), b"gzip"),
        ((b"zstd", b"gzip"), (b"br", b"zstd", b"gzip"), b"zstd"),
        ((b"gzip",), (b"br", b"zstd", b"gzip"), b"gzip"),
        ((b"gzip",), (b"br", b"zstd"), b""),
        ((b"br",), (), b""),
        ((), (b"br", b"gzip"), b""),
    ],
)
def test_the_most_welcome_coding_that_is_there_is_found(
    site: Site, script: Path, there: tuple[bytes, ...], codings: tuple[bytes, ...], found: bytes
) -> None:
    lay(script, *there)
    entity = find(site, b"x.js", Acceptable(codings, True))
    assert (entity.coding, entity.body) == (found, found or b"plain")
    assert field(entity, b"Content-Encoding") == (found or None)
    assert field(entity, b"Content-Type") == b"text/javascript; charset=utf-8"
    assert field(entity, b"Content-Length") == str(len(found or b"plain")).encode()
    assert field(entity, b"Vary") == b"Accept-Encoding"
    assert entity.settled


def test_each_coding_has_a_tag_and_a_date_of_its_own(site: Site, script: Path) -> None:
    lay(script, *NAMES)
    for number, name in enumerate(NAMES.values()):
        age(script.parent / name, 60 * number)
    found = [find(site, b"x.js", Acceptable((coding,), True)) for coding in NAMES] + [find(site, b"x.js", AS_IT_IS)]
    assert len({entity.etag for entity in found}) == 4
    assert len({entity.last_modified for entity in found}) == 4
    for entity in found:
        head = entity.head(304).render(b"")
        assert b"\r\nVary: Accept-Encoding\r\n" in head
        assert entity.etag in head


def test_a_sibling_that_is_linked_to_its_file_still_has_another_tag(site: Site, script: Path) -> None:
    os.link(script, script.parent / "x.js.br")
    coded, plain = find(site, b"x.js"), find(site, b"x.js", AS_IT_IS)
    assert coded.coding == b"br"
    assert coded.etag != plain.etag


def test_a_sibling_asked_for_by_its_own_name_is_a_file_like_any_other(site: Site, script: Path) -> None:
    lay(script, *NAMES)
    for name, kind in (("br", b"application/x-brotli"), ("zst", b"application/zstd"), ("gz", b"application/gzip")):
        entity = find(site, b"x.js." + name.encode())
        assert field(entity, b"Content-Encoding") is None
        assert field(entity, b"Vary") is None
        assert entity.content_type == kind


def test_an_index_has_siblings_too(site: Site, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "index.html").write_bytes(b"plain")
    (root / "sub" / "index.html.br").write_bytes(b"br")
    (root / "index.html.gz").write_bytes(b"gzip")
    assert (find(site, b"sub/").coding, find(site, b"").coding) == (b"br", b"gzip")
    assert find(site, b"sub").status == 301


def test_a_folder_is_not_mistaken_for_a_file_with_siblings(site: Site, root: Path) -> None:
    (root / "docs").mkdir()
    (root / "docs.gz").write_bytes(b"gzip")
    assert find(site, b"docs").status == 301
    assert find(site, b"docs", AS_IT_IS).status == 301


def test_images_and_archives_have_no_siblings(site: Site, root: Path) -> None:
    (root / "a.png").write_bytes(b"png")
    (root / "a.png.gz").write_bytes(b"gzip")
    entity = find(site, b"a.png")
    assert (entity.body, entity.basis, field(entity, b"Vary")) == (b"png", None, None)
    (root / "a.png").unlink()
    assert status_of(site, b"a.png") == 404


def test_what_is_neither_text_nor_packed_may_have_siblings(site: Site, root: Path) -> None:
    (root / "build.data.br").write_bytes(b"br")
    assert find(site, b"build.data").coding == b"br"
    assert find(site, b"build.data").content_type == b"application/octet-stream"


# Age.


@pytest.mark.parametrize(
    ("sibling_ns", "served"),
    [(0, True), (1, True), (-1, False), (10**12, True), (-(10**12), False)],
)
def test_a_sibling_older_than_its_file_is_not_served(site: Site, script: Path, sibling_ns: int, served: bool) -> None:
    lay(script, b"br")
    written_ns = 10**18 + 500_000_001
    os.utime(script, ns=(0, written_ns))
    os.utime(script.parent / "x.js.br", ns=(0, written_ns + sibling_ns))
    entity = find(site, b"x.js")
    assert entity.body == (b"br" if served else b"plain")
    assert field(entity, b"Vary") == b"Accept-Encoding"


@pytest.mark.parametrize(("seconds", "served"), [(0, True), (1, True), (-1, False)])
def test_a_stamp_of_whole_seconds_is_compared_in_seconds(site: Site, script: Path, seconds: int, served: bool) -> None:
    lay(script, b"br")
    os.utime(script, ns=(0, 10**18 + 500_000_000))
    os.utime(script.parent / "x.js.br", ns=(0, 10**18 + seconds * 10**9))
    assert find(site, b"x.js").body == (b"br" if served else b"plain")


def test_of_several_siblings_one_that_was_left_behind_is_passed_over(site: Site, script: Path) -> None:
    lay(script, b"br", b"gzip")
    age(script.parent / "x.js.br", 7200)
    assert find(site, b"x.js").coding == b"gzip"


# Without a plain file.


def test_without_a_plain_file_the_sibling_stands_for_it(site: Site, root: Path) -> None:
    (root / "x.js.gz").write_bytes(b"gzip")
    entity = find(site, b"x.js", GZIP)
    assert (entity.status, entity.coding, entity.body) == (200, b"gzip", b"gzip")
    assert entity.content_type == b"text/javascript; charset=utf-8"


@pytest.mark.parametrize("accepted", [AS_IT_IS, Acceptable((b"br",), True), Acceptable((b"br",), False)])
def test_without_a_plain_file_what_there_is_is_found_for_who_takes_something_else(
    site: Site, root: Path, accepted: Acceptable
) -> None:
    (root / "x.js.gz").write_bytes(b"gzip")
    (root / "x.js.zst").write_bytes(b"zstd")
    assert find(site, b"x.js", accepted).coding == b"zstd"


def test_a_name_of_which_there_is_nothing_is_404(site: Site, root: Path) -> None:
    (root / "x.js.br.gz").touch()
    (root / "x.js.bz2").touch()
    for accepted in (ALL, AS_IT_IS):
        with pytest.raises(NotServed) as refused:
            find(site, b"x.js", accepted)
        assert refused.value.status == 404


# Siblings that are no files, or may not be read.


def test_a_folder_or_a_fifo_is_no_sibling(site: Site, script: Path) -> None:
    (script.parent / "x.js.br").mkdir()
    os.mkfifo(script.parent / "x.js.zst")
    entity = find(site, b"x.js")
    assert (entity.coding, entity.basis) == (b"", Basis(entity.identity, ()))
    lay(script, b"gzip")
    assert find(site, b"x.js").coding == b"gzip"


def test_a_link_may_be_a_sibling_unless_it_leads_out(site: Site, script: Path) -> None:
    (script.parent / "elsewhere").write_bytes(b"gzip")
    (script.parent / "x.js.gz").symlink_to("elsewhere")
    (script.parent / "x.js.br").symlink_to("../secret")
    assert find(site, b"x.js").body == b"gzip"


def test_a_sibling_that_is_not_to_be_served_is_passed_over(make_site: MakeSite, script: Path) -> None:
    lay(script, b"br", b"gzip")
    assert find(make_site(withheld=(script.parent / "x.js.br",)), b"x.js").coding == b"gzip"
    both = (script.parent / "x.js.br", script.parent / "x.js.gz")
    assert find(make_site(withheld=both), b"x.js").body == b"plain"


def test_hidden_and_withheld_names_get_none_by_their_siblings(site: Site, root: Path) -> None:
    for name in (".env.gz", "wsrv.toml.gz"):
        (root / name).write_bytes(b"gzip")
    assert status_of(site, b".env") == 404
    for accepted in (ALL, AS_IT_IS):
        with pytest.raises(NotServed) as refused:
            find(site, b"wsrv.toml", accepted)
        assert refused.value.status == 404


# What is noticed later.


def tick(folder: Path) -> None:
    """Let the kernel's clock move on: what `folder` says of its last change must not be true of the next one too."""
    beside = folder.parent / "tick"
    deadline = time.monotonic() + 20
    beside.touch()
    while beside.stat().st_ctime_ns <= folder.stat().st_ctime_ns:
        assert time.monotonic() < deadline
        beside.touch()


Change = Callable[[Path], object]


def write(name: str, content: bytes = b"new") -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("there", "change"),
    [
        ((), write("x.js.br")),
        ((), write("x.js.zst")),
        ((), write("x.js.gz")),
        ((b"gzip",), write("x.js.br")),
        ((b"br",), write("x.js.br")),
        ((b"br",), remove("x.js.br")),
        ((b"br", b"gzip"), remove("x.js.br")),
        ((b"br",), write("x.js")),
        ((b"br",), remove("x.js")),
        ((b"br",), lambda folder: age(folder / "x.js.br", 7200)),
        ((b"br",), lambda folder: os.chmod(folder / "x.js.br", 0o600)),
        ((b"br",), lambda folder: (folder / "x.js.br").rename(folder / "x.js.gz")),
    ],
)
@pytest.mark.parametrize("noted", [False, True])
def test_a_sibling_that_comes_changes_or_goes_is_noticed(
    make_site: MakeSite, script: Path, there: tuple[bytes, ...], change: Change, noted: bool
) -> None:
    # To a site whose clock says "just now", the folder has changed within the last tick, and nothing is noted of it.
    site = make_site(clock=later if noted else lambda: script.parent.stat().st_ctime_ns)
    lay(script, *there)
    for _ in range(2):
        entity = find(site, b"x.js")
        assert site.unchanged(b"x.js", entity, nowait=False)
    tick(script.parent)
    change(script.parent)
    assert not site.unchanged(b"x.js", entity, nowait=False)


def test_who_takes_no_coding_is_not_troubled_by_siblings(site: Site, script: Path) -> None:
    entity = find(site, b"x.js", AS_IT_IS)
    lay(script, b"br")
    assert site.unchanged(b"x.js", entity, nowait=False)
    script.write_bytes(b"new")
    assert not site.unchanged(b"x.js", entity, nowait=False)


def test_other_files_that_come_to_the_folder_change_nothing(site: Site, script: Path) -> None:
    lay(script, b"gzip")
    entity = find(site, b"x.js")
    (script.parent / "another").touch()
    (script.parent / "x.jsx.br").touch()
    assert site.unchanged(b"x.js", entity, nowait=False)


def test_once_known_that_there_are_none_the_folder_alone_is_asked(
    site: Site, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[bytes] = []

    def counted(root_fd: int, path: bytes, *, nowait: bool, no_links: bool) -> os.stat_result:
        looked_at.append(path)
        return identify(root_fd, path, nowait=nowait, no_links=no_links)

    monkeypatch.setattr("wsrv.engine.static.siblings.identify", counted)
    entity = find(site, b"x.js")
    assert looked_at == [b".", b"x.js.br", b"x.js.zst", b"x.js.gz"]
    looked_at.clear()
    # Without waiting: a name that is not there need not be known to the kernel.
    assert from_memory(lambda: site.unchanged(b"x.js", entity, nowait=True))
    assert set(looked_at) == {b"."}
    tick(script.parent)
    lay(script, b"zstd")
    find(site, b"x.js")
    looked_at.clear()
    find(site, b"x.js")
    assert looked_at == [b".", b"x.js.zst"]


def test_of_a_folder_that_changed_just_now_nothing_is_noted(make_site: MakeSite, script: Path) -> None:
    # The next change may leave the same stamp on it.
    for clock, noted in ((lambda: script.parent.stat().st_ctime_ns, 0), (later, 1)):
        site = make_site(clock=clock)
        find(site, b"x.js")
        assert site._siblings is not None
        assert len(site._siblings._notes) == noted


def test_what_is_noted_is_bounded(make_site: MakeSite, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsrv.engine.static.siblings._NOTES", 4)
    site = make_site()
    for number in range(20):
        (root / f"{number}.txt").touch()
        find(site, b"%d.txt" % number)
        assert site._siblings is not None
        assert len(site._siblings._notes) <= 4


def test_without_waiting_a_name_never_asked_for_is_left_to_a_thread(site: Site, script: Path) -> None:
    with pytest.raises(BlockingIOError):
        site.find(b"x.js", b"/x.js", accepted=ALL, nowait=True)
    # Who takes no coding needs no sibling.
    assert from_memory(lambda: site.find(b"x.js", b"/x.js", nowait=True)).body == b"plain"


def test_switched_off_siblings_are_neither_found_nor_asked_for(make_site: MakeSite, script: Path) -> None:
    lay(script, *NAMES)
    site = make_site(precompressed=False)
    entity = find(site, b"x.js")
    assert entity.body == b"plain"
    (script.parent / "x.js.br").write_bytes(b"new")
    assert site.unchanged(b"x.js", entity, nowait=False)
    (script.parent / "y.bin").write_bytes(b"plain")
    assert field(find(site, b"y.bin"), b"Vary") is None


def test_a_long_sibling_is_opened_for_sending(make_site: MakeSite, script: Path) -> None:
    site = make_site(max_object_bytes=10)
    (script.parent / "x.js.br").write_bytes(b"long enough")
    entity = find(site, b"x.js")
    assert (entity.body, entity.length, entity.coding) == (None, 11, b"br")
    fd, opened = site.open_for_sending(b"x.js", entity)
    try:
        assert os.read(fd, 100) == b"long enough"
    finally:
        os.close(fd)
    assert (opened.fields, opened.coding) == (entity.fields, b"br")
