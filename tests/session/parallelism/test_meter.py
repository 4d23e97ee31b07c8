"""The meter counts only the images that a run trains on."""

from __future__ import annotations

import pytest

from search.session.parallelism.probe_worker import WARM_UP_CHECKS, ThroughputMeter
from search.trial import EpochReport


class Run:
    """Calls a meter as a trainer does; every request is for 0 seconds, so each check ends a measurement."""

    def __init__(self, count: int, chunk: int) -> None:
        self.requests, self.measured = 0, list[float]()
        self.meter = ThroughputMeter(images_per_epoch=count, images_per_check=chunk, next_request=self._next_request)

    def _next_request(self, measured: tuple[float, float] | None) -> float:
        self.requests += 1
        self.measured += [] if measured is None else [measured[0]]
        return 0.0

    def check(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.meter.should_stop() is None


def test_it_waits_after_the_warm_up_and_counts_from_there() -> None:
    run = Run(count=1000, chunk=100)
    run.check(WARM_UP_CHECKS - 1)
    assert run.requests == 0
    run.check()
    assert (run.requests, run.measured) == (1, [])
    run.check(2)
    assert (run.requests, run.measured) == (3, [100, 100])


def test_scoring_is_not_counted_and_a_short_batch_is_counted_as_it_is() -> None:
    run = Run(count=150, chunk=100)
    run.check(WARM_UP_CHECKS)  # the two chunks of the epoch, of which the last is short
    run.check(2)  # scoring
    run.meter.report(EpochReport(epoch=1, training_loss=1.0))
    run.check(2)
    assert run.measured == [0, 0, 100, 50]
    assert sum(run.measured) == pytest.approx(150)
