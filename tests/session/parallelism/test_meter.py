"""The meter counts the images that a run trains on, and those alone."""

from __future__ import annotations

import pytest

from search.session.parallelism.probe_worker import WARM_UP_CHECKS, ThroughputMeter
from search.trial import EpochReport


class Run:
    """A run's looks at the outside world, told by hand; no wait asks for any time, so each look is a reading."""

    def __init__(self, count: int, chunk: int) -> None:
        self.waits, self.readings = 0, list[float]()
        self.meter = ThroughputMeter(
            images_per_epoch=count,
            images_per_check=chunk,
            wait_for_request=self._wait,
            report_result=lambda images, _: self.readings.append(images),
        )

    def _wait(self) -> float:
        self.waits += 1
        return 0.0

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.meter.should_stop() is None


def test_it_waits_when_warm_and_counts_from_there() -> None:
    run = Run(count=1000, chunk=100)
    run.look(WARM_UP_CHECKS - 1)
    assert run.waits == 0
    run.look()
    assert (run.waits, run.readings) == (1, [])
    run.look(2)
    assert (run.waits, run.readings) == (3, [100, 100])


def test_scoring_is_not_counted_as_training_and_a_last_batch_as_far_as_it_goes() -> None:
    run = Run(count=250, chunk=100)
    run.look(WARM_UP_CHECKS)  # the epoch's three chunks, of which the last is short
    run.look(2)  # scoring
    run.meter.report(EpochReport(epoch=1, training_loss=1.0))
    run.look(3)
    assert run.readings == [0, 0, 100, 100, 50]
    assert sum(run.readings) == pytest.approx(250)
