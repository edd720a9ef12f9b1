# Reloads under load: nobody's request fails.
"""Reloading while clients ask as fast as they can."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.transports import every_transport
from tests.support.reload import reload, reloaded, wait_until_left
from tests.support.server import WSRV, Server, Servers, wait_for

RELOADS = 20
# Enough for several reloads on a fast machine.
REQUESTS = 8_000


def ab(server: Server, *options: str) -> "subprocess.Popen[str]":
    command = ["ab", "-q", "-r", "-n", str(REQUESTS), "-c", "40", *options, f"{server.url}/index.html"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@every_transport
@pytest.mark.parametrize("keeps", [False, True], ids=["connections", "keep-alive"])
def test_no_request_of_ab_fails(servers: Servers, site: Path, ipc: str, keeps: bool) -> None:
    server = servers(site, "--workers", "2", "--ipc", ipc)
    reloads = 0
    with ab(server, *(["-k"] if keeps else [])) as load:
        while load.poll() is None and reloads < RELOADS:
            reloaded(server)
            reloads += 1
        said, _ = load.communicate(timeout=60)
    assert re.search(rf"Complete requests: +{REQUESTS}\n", said), said
    assert re.search(r"Failed requests: +0\n", said), said
    assert "Non-2xx" not in said
    assert reloads
    wait_until_left(server)
    stats = server.stats()
    assert stats["requests_total"] == REQUESTS
    assert stats["connections_refused"] == {}


@pytest.mark.parametrize(
    ("ipc", "sync", "reloads"),
    [
        ("socketpair", "posix", RELOADS),
        ("pidfd_getfd", "eventfd", 4),
        ("inherit", "robust", 4),
        ("reuseport", "posix", 4),
    ],
)
def test_no_request_of_bench_fails_in_reloads(servers: Servers, site: Path, ipc: str, sync: str, reloads: int) -> None:
    server = servers(site, "--workers", "2", "--ipc", ipc, "--sync", sync)
    command = [*WSRV, "bench", f"{server.url}/index.html", "-d", "60s", "-c", "40", "--warm-up", "0s", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        wait_for(lambda: server.stats()["requests_total"] > 100, "the load")
        for _ in range(reloads):
            reloaded(server)
        assert load.poll() is None, "it was under load until the end"
        load.send_signal(2)
        said, _ = load.communicate(timeout=60)
    found = json.loads(said)
    assert found["failures"] == 0
    assert set(found["statuses"]) == {"200"}
    assert server.stats()["reloads"]["done"] == reloads


def test_verify_says_that_nothing_was_dropped(servers: Servers, site: Path) -> None:
    server = servers(site, "--workers", "2")
    run = reload(server, "--verify")
    assert run.returncode == 0, run.stderr
    found = re.search(r"^([\d,]+) requests meanwhile, dropped: 0$", run.stdout, re.MULTILINE)
    assert found is not None, run.stdout
    assert int(found[1].replace(",", "")) >= 8
    assert server.stats()["requests_total"] == int(found[1].replace(",", ""))
