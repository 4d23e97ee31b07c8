"""The meter counts only the images that a run trains on."""

from __future__ import annotations

from search.session.parallelism.probe_worker import WARM_UP_CHECKS, ThroughputMeter
from search.trial import Cause


class Run:
    """Calls a meter as a trainer does; every request is for 0 seconds, so each check ends a measurement."""

    def __init__(self) -> None:
        self.requests, self.measured = 0, list[int]()
        self.meter = ThroughputMeter(self._next_request)

    def _next_request(self, measured: tuple[int, float] | None) -> float:
        self.requests += 1
        self.measured += [] if measured is None else [measured[0]]
        return 0.0

    def train(self, *calls: int) -> None:
        for images in calls:
            self.meter.count_images(images)
            assert self.meter.should_stop() is None


def test_it_waits_after_the_warm_up_and_counts_from_there() -> None:
    run = Run()
    run.train(*[100] * (WARM_UP_CHECKS - 1))
    assert run.requests == 0
    run.train(100)
    assert (run.requests, run.measured) == (1, [])
    run.train(100, 50)
    assert (run.requests, run.measured) == (3, [100, 50])


def test_a_run_ends_if_no_request_follows() -> None:
    meter = ThroughputMeter(lambda measured: None)
    stopped = []
    for _ in range(WARM_UP_CHECKS):
        meter.count_images(100)
        stopped.append(meter.should_stop())
    assert stopped == [*[None] * (WARM_UP_CHECKS - 1), Cause.CANCELLED]


def test_scoring_is_not_counted() -> None:
    run = Run()
    run.train(*[100] * WARM_UP_CHECKS)
    assert run.meter.should_stop() is None
    run.train(200)
    assert run.measured == [0, 200]
