# A latency histogram in log-linear buckets, as HdrHistogram has them (Tene, hdrhistogram.org).
#
# A duration is counted in units of 1,024 ns, so that a shift finds its unit. Up to 64 units each has a bucket of
# its own; above, every doubling is cut into 32 buckets, so a reported value is at most 3.2 % above the true one.
# The last bucket takes whatever lasted longer than 2^26 units (69 s).
"""Log-linear latency buckets: which one a duration falls into, and percentiles from counts."""

from collections.abc import Sequence

UNIT_SHIFT = 10
_LINEAR = 64
_HALF = 32
_TOP_BITS = 26
BUCKETS = _LINEAR + _HALF * (_TOP_BITS - 6)


def bucket_of(units: int) -> int:
    """The bucket of a duration of `units` x 1,024 ns."""
    if units < _LINEAR:
        return max(units, 0)
    shift = units.bit_length() - 6
    if shift > _TOP_BITS - 6:
        return BUCKETS - 1
    return _HALF * shift + (units >> shift)


def bucket_top_ns(bucket: int) -> int:
    """The longest duration, in ns, that falls into `bucket`."""
    if bucket < _LINEAR:
        return ((bucket + 1) << UNIT_SHIFT) - 1
    shift = bucket // _HALF - 1
    return ((bucket - _HALF * shift + 1) << (shift + UNIT_SHIFT)) - 1


# Durations up to 4.2 ms, which is nearly all of them, find their bucket by one look-up.
BUCKET_TABLE = tuple(bucket_of(units) for units in range(4096))


def percentile_ns(counts: Sequence[int], fraction: float) -> int | None:
    """The duration in ns that `fraction` of what was counted did not exceed; None when nothing was counted."""
    total = sum(counts)
    if total == 0:
        return None
    rank = max(1, -(-total * fraction // 1))
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return bucket_top_ns(bucket)
    raise AssertionError("a rank lies within the total")
