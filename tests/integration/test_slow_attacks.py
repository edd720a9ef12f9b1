# Hundreds of clients that are slow on purpose, in the four ways of slowhttptest: nobody else may notice.
"""Service beside slow clients."""

from pathlib import Path

import pytest

from tests.support.server import Servers, wait_for
from tests.support.slow import BIG_BYTES, MODES, Attack, second_client

CONNECTIONS = 300
ATTACK_SECONDS = 3


@pytest.mark.parametrize("mode", MODES)
def test_a_second_client_is_served_beside_slow_ones(servers: Servers, site: Path, mode: str) -> None:
    (site / "page").write_text("page")
    (site / "big").write_bytes(bytes(BIG_BYTES))
    server = servers(site, "--workers", "2")
    with Attack(mode, server.port, CONNECTIONS, ATTACK_SECONDS, CONNECTIONS) as attack:
        seen = second_client(server.port, attack)
        # Each request of its own, the kept connection, and the attack, which a busy machine delays.
        wanted = len(seen.seconds) // 2 + 1 + CONNECTIONS

        def is_whole() -> bool:
            attack.keep_up()
            return bool(server.stats()["connections_total"] >= wanted)

        wait_for(is_whole, "all of the attack")
    stats = server.stats()
    assert seen.failed == 0
    assert len(seen.seconds) >= 10
    assert len(server.workers()) == 2
    assert all(worker["restarts"] == 0 for worker in stats["workers"])
    assert "Traceback" not in server.said.read_text()
