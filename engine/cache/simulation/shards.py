# A share of the keys, chosen by hash, with all their requests, in a cache of the same share of the capacity.
#
# Rule 1: whether a key is in the sample depends on the key alone: reuse is kept whole, in every run and process.
# Rule 2: a sample of too few objects says nothing: a rate is never so low that fewer than FEWEST_OBJECTS are expected.
"""Samples of long traces."""

from dataclasses import dataclass
from hashlib import blake2b

from wsrv.engine.cache.simulation.replay import Missed
from wsrv.engine.cache.simulation.trace import Trace

# Below some 10,000 objects the popular ones that happen to be in the sample, or not, decide the outcome.
FEWEST_OBJECTS = 10_000

# A rate is a number of these (P of the paper).
PARTS = 1 << 24

# Without a wish: traces up to so many requests are replayed whole, longer ones in samples of about so many.
WHOLE_REQUESTS = 500_000
SAMPLE_REQUESTS = 250_000


def fitting_rate(trace: Trace, wish: float | None = None) -> float:
    """The share of the keys to sample: `wish`, or what makes a long trace short; 1 for all. Never too low (rule 2)."""
    if wish is None:
        wish = SAMPLE_REQUESTS / len(trace) if len(trace) > WHOLE_REQUESTS else 1.0
    return min(1.0, max(wish, FEWEST_OBJECTS / max(trace.objects, 1)))


@dataclass(frozen=True)
class Sample:
    """Fixed-rate SHARDS with its correction, SHARDS-adj (Waldspurger, Park, Garthwaite, Ahmad: "Efficient MRC
    construction with SHARDS", FAST '15): what is missing from the requests expected, or too much, are those of
    popular keys, so it is counted as hits.

    Departs from the paper: replays a cache of every policy instead of measuring reuse distances, which only stack
    algorithms have; bytes are corrected like requests.
    """

    trace: Trace
    rate: float
    expected_requests: float
    expected_bytes: float

    @classmethod
    def of(cls, trace: Trace, rate: float) -> "Sample":
        """The sample at `rate`, rounded to one of PARTS; at 1 the trace itself."""
        threshold = max(1, round(rate * PARTS))
        if threshold >= PARTS:
            return cls(trace, 1.0, len(trace), trace.requested_bytes)
        drawn: dict[bytes, bool] = {}
        sample = Trace()
        for key, size in zip(trace.keys, trace.sizes, strict=True):
            taken = drawn.get(key)
            if taken is None:
                taken = drawn[key] = int.from_bytes(blake2b(key, digest_size=3).digest()) < threshold
            if taken:
                sample.add(key, size)
        rate = threshold / PARTS
        return cls(sample, rate, len(trace) * rate, trace.requested_bytes * rate)

    def capacity(self, capacity_bytes: int) -> int:
        """What a cache of this capacity is in the sample."""
        return int(capacity_bytes * self.rate)

    def ratios(self, missed: Missed) -> tuple[float, float]:
        """Object and byte miss ratio of the whole trace, as far as the sample knows them."""
        requests = missed.requests / self.expected_requests if self.expected_requests else 0.0
        size_bytes = missed.size_bytes / self.expected_bytes if self.expected_bytes else 0.0
        return min(requests, 1.0), min(size_bytes, 1.0)
