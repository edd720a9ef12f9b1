# One trace, many sizes, one policy after the other; the bound; and how far a sample is off.
"""Miss ratios by policy and size."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wsrv.engine.cache.policy import Policy
from wsrv.engine.cache.simulation.pfoo import Pfoo
from wsrv.engine.cache.simulation.replay import replay
from wsrv.engine.cache.simulation.shards import Sample
from wsrv.engine.cache.simulation.trace import Progress, Trace, nobody

# As many sizes are tried as a table of 80 columns has room for: each twice the one before, the last holds everything.
MOST_SIZES = 9

# Every third of them is asked how far a sample is off.
CHECKED_STRIDE = 3

MakePolicy = Callable[[int], Policy]


@dataclass(frozen=True)
class Curve:
    """Miss ratios, from 0 to 1, one for each size."""

    objects: tuple[float, ...]
    bytes: tuple[float, ...]


@dataclass(frozen=True)
class SamplingError:
    """How far the sample's miss ratios are from those of the whole trace, over some of the sizes, from 0 to 1."""

    sizes_bytes: tuple[int, ...]
    objects_mean: float
    objects_most: float
    bytes_mean: float
    bytes_most: float


def usual_sizes(footprint_bytes: int) -> list[int]:
    """Powers of two up to the first that holds everything."""
    last = max(0, footprint_bytes - 1).bit_length()
    return [1 << power for power in range(max(0, last - MOST_SIZES + 1), last + 1)]


class Experiment:
    """What was asked for, as far as `sample` knows it, in caches of `sizes_bytes`; the usual ones when it is empty.

    `trace` is all of it; None when nothing but the sample is known.
    """

    def __init__(self, trace: Trace | None, sizes_bytes: Sequence[int], sample: Sample) -> None:
        self.trace = trace
        self.sample = sample
        self.sizes_bytes = tuple(sizes_bytes) or tuple(usual_sizes(self.footprint_bytes))

    @classmethod
    def of(cls, trace: Trace, sizes_bytes: Sequence[int], rate: float = 1.0) -> "Experiment":
        """With a sample of `trace` at this rate."""
        return cls(trace, sizes_bytes, Sample.of(trace, rate))

    @property
    def requests(self) -> int:
        """How many there were in all."""
        return round(self.sample.expected_requests / self.sample.rate) if self.trace is None else len(self.trace)

    @property
    def requested_bytes(self) -> int:
        """The sizes of all requests together."""
        sample = self.sample
        return round(sample.expected_bytes / sample.rate) if self.trace is None else self.trace.requested_bytes

    @property
    def objects(self) -> int:
        """How many different keys there were; about, when only a sample is known."""
        return round(self.sample.trace.objects / self.sample.rate) if self.trace is None else self.trace.objects

    @property
    def footprint_bytes(self) -> int:
        """What a cache would hold that never lets anything go; about, when only a sample is known."""
        sample = self.sample
        return round(sample.trace.footprint_bytes / sample.rate) if self.trace is None else self.trace.footprint_bytes

    def curve(self, make: MakePolicy, progress: Progress = nobody) -> Curve:
        """What the policy misses that `make` makes of a capacity."""
        sample = self.sample
        return _curve(
            sample.ratios(replay(make(sample.capacity(size)), sample.trace, progress)) for size in self.sizes_bytes
        )

    def bound(self) -> Curve:
        """What no policy misses less of."""
        pfoo = Pfoo(self.sample.trace)
        return _curve(self.sample.ratios(pfoo.at(self.sample.capacity(size))) for size in self.sizes_bytes)

    @property
    def checked(self) -> list[int]:
        """The places of the sizes that the sampling error is measured at: the whole trace takes its time."""
        return list(range(len(self.sizes_bytes)))[CHECKED_STRIDE // 2 :: CHECKED_STRIDE] or [0]

    def sampling_error(self, make: MakePolicy, sampled: Curve, progress: Progress = nobody) -> SamplingError:
        """By the policy of `make`, replayed once more with the whole trace, which is known; `sampled` is what its
        sample gave.
        """
        assert self.trace is not None, "there is nothing to compare with"
        trace, places = self.trace, self.checked
        whole = Sample.of(trace, 1.0)
        sizes_bytes = tuple(self.sizes_bytes[place] for place in places)
        exact = _curve(whole.ratios(replay(make(size), trace, progress)) for size in sizes_bytes)
        objects = [abs(one - sampled.objects[place]) for one, place in zip(exact.objects, places, strict=True)]
        by_byte = [abs(one - sampled.bytes[place]) for one, place in zip(exact.bytes, places, strict=True)]
        count = len(places)
        return SamplingError(sizes_bytes, sum(objects) / count, max(objects), sum(by_byte) / count, max(by_byte))


def _curve(ratios: Iterable[tuple[float, float]]) -> Curve:
    objects, size_bytes = zip(*ratios, strict=True)
    return Curve(objects, size_bytes)
