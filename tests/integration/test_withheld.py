# What configures the server lies in the folder that is served, as it does whenever someone types `wsrv serve`.
"""Config files are never served."""

import os
from pathlib import Path

import pytest

from tests.support.server import Server, Servers

SECRET = "# a secret, and long enough to be streamed where max_object is small\n"
PAGE = "<!doctype html><title>page</title>" + " " * 100


@pytest.fixture(scope="module", params=["1MiB", "16"], ids=["from memory", "streamed"])
def served(request: pytest.FixtureRequest, module_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    root = tmp_path_factory.mktemp("site")
    text = f"{SECRET}[cache]\nmax_object = '{request.param}'\n"
    (root / "in-use.txt").write_text(text)
    os.link(root / "in-use.txt", root / "hard.txt")
    (root / "soft.txt").symlink_to("in-use.txt")
    (root / "404.html").symlink_to("in-use.txt")
    (root / "page.html").write_text(PAGE)
    for name in ("wsrv.toml", "sub/wsrv.toml", "sub/server.conf", "WSRV.TOML", "wsrv.toml~"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(SECRET)
    return module_servers(root, "--config", str(root / "in-use.txt"), "--workers", "1")


NAMES = """/in-use.txt /hard.txt /soft.txt /404.html /wsrv.toml /sub/wsrv.toml /sub/server.conf /WSRV.TOML /wsrv.toml~
    /wsrv%2etoml /%77srv.toml?x /sub/../wsrv.toml /sub/./server.conf"""


@pytest.mark.parametrize("target", NAMES.split())
def test_config_is_404_by_every_name(served: Server, target: str) -> None:
    for method in ("GET", "HEAD"):
        answer = served.get(target, method=method)
        assert answer.status == 404
        assert b"secret" not in answer.raw


def test_the_rest_is_served(served: Server) -> None:
    for _ in range(2):
        assert served.get("/page.html").body == PAGE.encode()


def test_config_that_was_replaced_is_404_at_once(servers: Servers, site: Path) -> None:
    config = site / "in-use.txt"
    config.write_text(SECRET)
    (site / "soft.txt").symlink_to("in-use.txt")
    server = servers(site, "--config", str(config), "--workers", "1")
    for number in range(20):
        (site / "new").write_text(f"# a secret {number}\n")
        os.replace(site / "new", config)
        assert (server.get("/soft.txt").status, server.get("/in-use.txt").status) == (404, 404)


def test_server_conf_configures_a_server(servers: Servers, site: Path) -> None:
    conf = site / "server.conf"
    conf.write_text("NUM_WORKERS = 1\nDOCUMENT_ROOT=/nowhere\nCACHE_SIZE_MB=3\nLOG_LEVEL=DEBUG\n")
    server = servers(site, "--config", str(conf))
    assert server.get("/").status == 200
    assert server.get("/server.conf").status == 404
    found = server.stats()
    assert (found["cache"]["capacity_bytes"], len(found["workers"])) == (3 * 1024**2, 1)
    said = server.said.read_text()
    assert f"settings from {conf}\n" in said
    assert f"{conf}:4: LOG_LEVEL=DEBUG is no setting: -v says more\n" in said
