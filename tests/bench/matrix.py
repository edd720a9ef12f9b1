# Every transport with every primitive that fits, each pair through the same trials: python -m tests.bench.matrix
#
# The suite tries each transport with the default primitive, and each primitive with the default transport; here is
# every pair. Needs ab, wget, wrk and Python's documentation to mirror. Nothing in it depends on the speed of the
# machine. It ends with the first trial that fails, and says what was found.
"""A mirror, ab, kills under wrk, and what is left behind, as a Markdown table on stdout."""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.integration.test_exact import assert_each_once, kill_workers_under_load
from tests.integration.test_mirror import DOCUMENTATION, digests
from tests.support.launch import Launched, Launcher
from tests.support.server import wait_for
from wsrv.engine.master.slot import NEEDS as SLOT_NEEDS
from wsrv.engine.sync.need import fitting
from wsrv.engine.worker.pool import NEEDS as POOL_NEEDS
from wsrv.plugins.registry import load

CONCURRENCIES = (10, 100, 450, 1000)
END_SECONDS = 30.0


def mirror(server: Launched, expected: dict[str, str], folder: Path) -> str:
    """Fetch every file of a tree by wget, and compare."""
    targets, fetched = folder / "targets", folder / "fetched"
    targets.write_text("".join(f"{server.url}/{path}\n" for path in expected))
    wget = ["wget", "--quiet", "--no-host-directories", "--force-directories", "--execute", "robots=off"]
    subprocess.run([*wget, "--directory-prefix", str(fetched), "--input-file", str(targets)], check=True, timeout=300)
    found = digests(fetched)
    assert found == expected, f"{[path for path in expected if found.get(path) != expected[path]]} differ"
    shutil.rmtree(fetched)
    return f"{len(expected)} files equal"


def load_by_ab(server: Launched, requests: int) -> str:
    """One file so often by ab, a connection each, with more and more at a time."""
    for concurrency in CONCURRENCIES:
        ab = ["ab", "-q", "-n", str(requests), "-c", str(concurrency), f"{server.url}/index.html"]
        table = subprocess.run(ab, capture_output=True, text=True, check=True, timeout=120).stdout
        assert re.search(r"Failed requests: +0\n", table), table
        assert "Non-2xx" not in table, table
    counted_and_logged(server)
    return f"{requests * len(CONCURRENCIES):,}, 0 failed"


def counted_and_logged(server: Launched) -> int:
    """The requests so far, once as many are counted as are logged."""
    stats = wait_for(
        lambda: (s := server.stats())["requests_total"] == server.log.read_bytes().count(b"\n") and s,
        "as many requests counted as logged",
    )
    assert stats["log_dropped"] == 0
    assert stats["connections_refused"] == {}
    total: int = stats["requests_total"]
    assert sum(stats["responses"].values()) == total
    return total


def kill(server: Launched, body: bytes, kills: int) -> str:
    """Kill workers under the load of wrk and of clients that check."""
    before = counted_and_logged(server)
    clients, answered = kill_workers_under_load(server, body, kills)
    after = counted_and_logged(server)
    assert_each_once(server.log.read_text("latin-1"), clients, answered, kills)
    whole = answered + sum(len(client.whole) for client in clients)
    wait_for(lambda: server.stats()["connections_active"] == 0, "the end of all connections")
    return f"{whole:,} whole, {after - before:,} counted and logged"


def end(server: Launched) -> str:
    """Stop it; nothing may be left."""
    family = server.family()
    server.disconnect()
    server.signal(signal.SIGTERM)
    assert server.status(END_SECONDS) == 0
    server.assert_nothing_left(family)
    return "nothing"


def main() -> None:
    registry = load()
    primitives = tuple(registry.primitives.values())
    transports = [name for name, transport in registry.transports.items() if transport.available() is None]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transports", nargs="+", default=transports)
    parser.add_argument("--primitives", nargs="+", default=fitting((*SLOT_NEEDS, *POOL_NEEDS), primitives))
    parser.add_argument("--requests", type=int, default=20_000, help="of each run of ab")
    parser.add_argument("--kills", type=int, default=4)
    arguments = parser.parse_args()
    if not DOCUMENTATION.is_dir():
        sys.exit(f"there is nothing to mirror in {DOCUMENTATION}")
    ab = "/".join(map(str, CONCURRENCIES))
    print(f"| transport | primitive | mirror | ab, {ab} at a time | {arguments.kills} kills under wrk | left behind |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, config = folder / "root", folder / "unrotated.toml"
        shutil.copytree(DOCUMENTATION, root, symlinks=False)
        config.write_text('[log]\nmax_size = "100GB"\n')
        expected = {path: digest for path, digest in digests(root).items() if not Path(path).name.startswith(".")}
        body = (root / "index.html").read_bytes()
        for transport in arguments.transports:
            for primitive in arguments.primitives:
                own = folder / f"{transport}-{primitive}"
                own.mkdir()
                launcher = Launcher(own)
                try:
                    parts = ("--ipc", transport, "--sync", primitive)
                    server = launcher(root, "--workers", "2", "--config", str(config), *parts)
                    found = [
                        mirror(server, expected, own),
                        load_by_ab(server, arguments.requests),
                        kill(server, body, arguments.kills),
                        end(server),
                    ]
                    print(f"| `{transport}` | `{primitive}` |", " | ".join(found), "|", flush=True)
                finally:
                    launcher.end()


if __name__ == "__main__":
    main()
