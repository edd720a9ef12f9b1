"""What the bench learns of a server from outside."""

import os
import time

from wsrv.engine.bench.processes import cpu_seconds


def test_the_time_of_a_process_is_told_finer_than_in_ticks() -> None:
    ticks = cpu_seconds(os.getpid()) * os.sysconf("SC_CLK_TCK")
    assert abs(ticks - round(ticks)) > 1e-6
    # And it is about the time that the process itself knows of; a tick may lie between.
    assert abs(cpu_seconds(os.getpid()) - time.process_time()) < 1.0
