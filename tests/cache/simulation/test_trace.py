"""A trace knows what was asked for, and what all of it would weigh."""

import pytest

from wsrv.engine.cache.simulation.trace import Trace


def test_a_trace_counts_requests_and_objects_apart() -> None:
    trace = Trace.of([(b"a", 10), (b"b", 5), (b"a", 10)])
    assert (len(trace), trace.objects) == (3, 2)
    assert (trace.footprint_bytes, trace.requested_bytes) == (15, 25)


def test_an_object_that_grew_weighs_its_most() -> None:
    trace = Trace.of([(b"a", 10), (b"a", 30), (b"a", 20)])
    assert trace.footprint_bytes == 30
    assert [*trace.object_sizes] == [30]


def test_a_key_is_in_memory_once() -> None:
    trace = Trace.of([(b"%d" % number, 1) for number in (1000, 1000)])
    assert trace.keys[0] is trace.keys[1]


def test_an_empty_trace_is_one() -> None:
    trace = Trace()
    assert (len(trace), trace.objects, trace.footprint_bytes, trace.requested_bytes) == (0, 0, 0, 0)


def test_a_negative_size_is_refused_and_leaves_nothing() -> None:
    trace = Trace()
    with pytest.raises(OverflowError):
        trace.add(b"a", -1)
    assert (len(trace), len(trace.sizes), trace.objects) == (0, 0, 0)
