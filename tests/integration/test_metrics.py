"""`/_wsrv/metrics`, `/_wsrv/health` and `/_wsrv/ready`; a real Prometheus."""

import json
import os
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from tests.support.launch import Launcher, wait_until_gone
from tests.support.server import Answer, Server, Servers, read_answer, wait_for

SECONDS = 30


def ask(server: Server, target: str, *fields: str, host: str = "localhost") -> Answer:
    """One request that names its Host itself."""
    lines = (f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", "")
    return Answer(server.say("\r\n".join(lines).encode("latin-1")))


class Prometheus:
    """One that scrapes a server every quarter of a second."""

    def __init__(self, server: Server, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self._port = found.getsockname()[1]
        config = folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 250ms}\n"
            "scrape_configs:\n"
            "- job_name: wsrv\n"
            "  metrics_path: /_wsrv/metrics\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n"
        )
        places = (f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}")
        self._said = (folder / "prometheus.out").open("wb")
        self._process = subprocess.Popen(
            ["prometheus", *places, f"--web.listen-address=127.0.0.1:{self._port}"],
            stdout=self._said,
            stderr=self._said,
        )

    def ask(self, query: str) -> float | None:
        """The value of a query of one value; None before there is one."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
        except OSError:
            assert self._process.poll() is None, "it runs"
            return None
        return float(found[0]["value"][1]) if found else None

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        self._said.close()


@pytest.fixture
def server(servers: Servers, site: Path) -> Server:
    return servers(site, "--workers", "2")


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[Prometheus]:
    (folder := tmp_path / "prometheus").mkdir()
    found = Prometheus(server, folder)
    yield found
    found.end()


@pytest.mark.not_linted("answers of Prometheus")
def test_prometheus_counts_every_request_though_workers_are_killed(server: Server, prometheus: Prometheus) -> None:
    sent = 0
    for worker in server.workers():
        for _ in range(50):
            assert server.get("/").status == 200
            sent += 1
        assert server.get("/missing").status == 404
        sent += 1
        worker.kill()
        wait_until_gone([worker], SECONDS)
    assert server.get("/").status == 200
    sent += 1
    wait_for(lambda: prometheus.ask("wsrv_requests_total") == sent, f"{sent} requests in Prometheus", SECONDS)
    assert prometheus.ask("sum(wsrv_responses_total)") == sent
    assert prometheus.ask("sum(wsrv_responses_total{status='404'})") == 2
    assert prometheus.ask("sum(wsrv_worker_restarts_total)") == 2
    assert prometheus.ask("sum(wsrv_worker_up)") == 2
    assert prometheus.ask("sum(wsrv_responses_total)") == server.stats()["requests_total"]


def test_text_is_what_promtool_accepts_and_openmetrics_is_for_who_asks_for_it(server: Server) -> None:
    assert server.get("/missing").status == 404
    text = ask(server, "/_wsrv/metrics")
    assert text.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    check = subprocess.run(["promtool", "check", "metrics"], input=text.body, capture_output=True, timeout=SECONDS)
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")
    assert b"\nwsrv_requests_total 1.0\n" in text.body
    other = ask(server, "/_wsrv/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert other.fields["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    found = read_openmetrics(other.body.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in found}
    assert families["wsrv_requests"].samples[0].value == 1


def test_metrics_are_for_whom_statistics_are_for(server: Server) -> None:
    assert ask(server, "/_wsrv/metrics", host="evil.example").status == 403
    assert ask(server, "/_wsrv/metrics", "X-Forwarded-For: 1.2.3.4").status == 403


def test_nobody_pays_for_metrics_that_are_not_asked_for(launch: Launcher, site: Path) -> None:
    server = launch(site, "--workers", "2")

    def holds_prometheus(process: psutil.Process) -> bool:
        # Compiled code that it alone brings: the ssl module of its HTTP server.
        return any("_ssl" in mapped.path for mapped in process.memory_maps())

    family = [server.process, *server.process.children()]
    assert [p.pid for p in family if holds_prometheus(p)] == []
    assert ask(server, "/_wsrv/metrics").status == 200
    assert [p.pid for p in family if holds_prometheus(p)] == [server.process.pid]


def test_probes_have_a_list_of_their_own_and_may_name_any_host(servers: Servers, site: Path) -> None:
    (site.parent / "wsrv.toml").write_text('[status]\nallow = "10.0.0.0/8"\nprobes = "127.0.0.1"\n')
    server = servers(site, "--config", str(site.parent / "wsrv.toml"))
    for host in ("localhost", "10.1.2.3:80", "any.example"):
        found = ask(server, "/_wsrv/health", host=host)
        assert (found.status, found.body, found.fields["cache-control"]) == (200, b"ok\n", "no-store")
        found = ask(server, "/_wsrv/ready", host=host)
        assert (found.status, found.body) == (200, b"ready\n")
    for target in ("/_wsrv/", "/_wsrv/stats.json", "/_wsrv/metrics"):
        assert ask(server, target).status == 403


def test_whoever_is_not_on_the_list_of_probes_is_told_nothing(servers: Servers, site: Path) -> None:
    (site.parent / "wsrv.toml").write_text('[status]\nprobes = "10.0.0.0/8"\n')
    server = servers(site, "--config", str(site.parent / "wsrv.toml"))
    assert [ask(server, target).status for target in ("/_wsrv/health", "/_wsrv/ready", "/_wsrv/")] == [403, 403, 200]


def test_probes_through_a_proxy_that_is_not_named_are_refused(server: Server) -> None:
    for field in ("Via: 1.1 proxy", "Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4"):
        assert [ask(server, target, field).status for target in ("/_wsrv/health", "/_wsrv/ready")] == [403, 403]


def test_ready_says_so_when_the_server_stops(launch: Launcher, site: Path) -> None:
    (site / "large").write_bytes(bytes(64 * 1024 * 1024))
    server = launch(site, "--workers", "1")
    family = server.family()
    with server.connect() as reader, server.connect() as probe:
        # A download that goes on keeps the worker in its drain.
        reader.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reader.recv(1024)
        probe.sendall(b"GET /_wsrv/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(probe).body == b"ready\n"
        # Begun before the end, finished in the drain.
        probe.sendall(b"GET /_wsrv/ready HTTP/1.1\r\n")
        server.signal(signal.SIGTERM)
        wait_for(lambda: not listens(server.port), "the drain")
        probe.sendall(b"Host: x\r\n\r\n")
        found = read_answer(probe)
        assert (found.status, found.body) == (503, b"not ready: the server is stopping\n")
    assert server.status() == 0
    server.assert_nothing_left(family)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_a_master_that_stands_still_is_waited_for_no_longer_than_its_word_is_worth(
    launch: Launcher, site: Path
) -> None:
    server = launch(site, "--workers", "1")
    with server.connect() as sock, server.connect() as other:
        for one in (sock, other):
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(one).status == 200
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            sock.sendall(b"GET /_wsrv/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            other.sendall(b"GET /_wsrv/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_answer(other).body == b"ok\n"
            assert read_answer(sock).status == 503
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        # What it says late is for nobody; what is asked now is answered.
        sock.sendall(b"GET /_wsrv/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(sock).body == b"ready\n"
        sock.sendall(b"GET /_wsrv/stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert json.loads(read_answer(sock).body)["requests_total"] == 2
