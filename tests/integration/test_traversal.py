# What lists of path traversal try, over the wire: every way to write "..", every way to write "/", several depths, and
# what is sought; as a path, as an absolute target, and behind a query. The secret lies beside the root.
"""Nothing outside the root comes out, however it is asked for."""

from itertools import product
from pathlib import Path

import pytest

from tests.support.server import Server, Servers, read_answer

SECRET = b"root:x:0:0:secret"
UP = (
    *(
        b"..",
        b"%2e%2e",
        b"%2E.",
        b".%2e",
        b"%252e%252e",
        b"%25252e%25252e",
        b"....",
        b"...",
        b"..;",
        b"..%00",
        b"..%20",
    ),
    *(b"%c0%ae%c0%ae", b"%c0%2e%c0%2e", b"%e0%80%ae%e0%80%ae", b"%uff0e%uff0e", b"%u002e%u002e", b"0x2e0x2e", b"..%09"),
    *(b"%ef%bc%8e%ef%bc%8e", b"..%0d%0a", b".%00.", b"%2e%2e%23", b"%2e%2e%3f"),
    # Overlong in four bytes, a BOM before, dots in one character, a tab and a backspace, parameters, encoded twice.
    *(b"%f0%80%80%ae%f0%80%80%ae", b"%ef%bb%bf..", b"%e2%80%a5", b".%09.", b"..%08", b"..;a=b", b"%%32%65%%32%65"),
)
SLASH = (
    *(b"/", b"%2f", b"%2F", b"%5c", b"%252f", b"%25%32%66", b"//", b"/./", b"/.//", b"%c0%af", b"%c1%9c"),
    *(b"%e0%80%af", b"%u2215", b"%bg%qf", b"%ef%bc%8f", b"/%2f", b"\\"),
)
DEPTHS = (1, 2, 8)
SOUGHT = (b"secret.txt", b"etc/passwd")
# What stands before a path that climbs: nothing, a folder that is there, one that is not, one whose name begins alike.
BEGINNINGS = (b"/", b"/d/", b"/none/", b"/d%2f", b"/site/", b"//", b"/.", b"/%00/")
WHOLE = (
    *(
        b"/etc/passwd",
        b"//etc/passwd",
        b"/%2fetc/passwd",
        b"/%2f%2fetc%2fpasswd",
        b"/\\etc\\passwd",
        b"/file:///etc/passwd",
    ),
    *(b"/proc/self/root/etc/passwd", b"/proc/self/cwd/secret.txt", b"/dev/stdin", b"/d/link", b"/d/link/secret.txt"),
    *(
        b"/secret.txt",
        b"/../secret.txt",
        b"/../site-secret/secret.txt",
        b"/d/../../secret.txt",
        b"/d/..%2f../secret.txt",
        b"/site/../secret.txt",
    ),
    *(
        b"/index.html/../../secret.txt",
        b"/index.html/..",
        b"/index.html/",
        b"/index.html%00.txt",
        b"/index.html::$DATA",
    ),
    *(
        b"/.htpasswd",
        b"/d/.git/config",
        b"/%2ehtpasswd",
        b"/d/%2egit/config",
        b"/wsrv.toml",
        b"/WSRV.TOML",
        b"/server.conf",
    ),
    *(b"/wsrv.toml~", b"/wsrv.toml.bak", b"/wsrv%2etoml", b"/d/../wsrv.toml", b"/~root/", b"/~/secret.txt"),
)


def targets() -> list[bytes]:
    """Each once."""
    climbs = [
        beginning + (up + slash) * depth + sought
        for up, slash, depth, sought in product(UP, SLASH, DEPTHS, SOUGHT)
        for beginning in (BEGINNINGS if slash == b"/" and up in UP[:5] else BEGINNINGS[:1])
    ]
    return list(dict.fromkeys((*WHOLE, *climbs)))


@pytest.fixture(scope="module")
def server(module_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    above = tmp_path_factory.mktemp("above")
    root = above / "site"
    (root / "d" / ".git").mkdir(parents=True)
    hidden = (".htpasswd", "d/.git/config", "wsrv.toml", "wsrv.toml~", "wsrv.toml.bak", "WSRV.TOML", "server.conf")
    for path in (above / "secret.txt", *(root / name for name in hidden)):
        path.write_bytes(SECRET)
    # A sibling whose name begins as the root's does.
    (above / "site-secret").mkdir()
    (above / "site-secret" / "secret.txt").write_bytes(SECRET)
    (root / "d" / "link").symlink_to(above)
    (root / "index.html").write_text("index")
    (root / "d" / "a.html").write_text("inside")
    return module_servers(root, "--workers", "1", "--listing")


def assert_nothing_comes_out(server: Server, sent: list[bytes]) -> None:
    sock = server.connect()
    for target in sent:
        sock.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        answer = read_answer(sock)
        assert b"root:" not in answer.raw, target
        assert answer.status in (200, 301, 308, 400, 403, 404, 414), target
        if answer.status == 200:
            assert answer.body in (b"index", b"inside") or b"<title>Index of" in answer.body, target
        assert "\n" not in answer.fields.get("location", "")
        assert not answer.fields.get("location", "/x").startswith(("//", "/\\", "http"))
        if answer.fields.get("connection") == "close":
            sock.close()
            sock = server.connect()
    sock.close()


def test_no_path_of_the_lists_leads_out(server: Server) -> None:
    sent = targets()
    assert len(sent) > 2500
    assert_nothing_comes_out(server, sent)


@pytest.mark.parametrize("form", [b"http://a%b", b"%b?x", b"/?x=%b", b"/d?/..%b"])
def test_nor_does_another_form_of_target(server: Server, form: bytes) -> None:
    assert_nothing_comes_out(server, [form % target for target in targets()[::7]])


def test_what_the_lists_seek_is_there(server: Server) -> None:
    assert Path("/etc/passwd").read_bytes().startswith(b"root:")
    assert server.get("/d/a.html").body == b"inside"
