"""The meter of a probe process, on a virtual clock."""

from __future__ import annotations

from search.session.parallelism.probe_worker import WARM_UP_CHECKS, ThroughputMeter

REQUESTED_SECONDS = 10.0


class Run:
    """A training run that a meter measures: a call of training takes 1 s for 100 images."""

    def __init__(self) -> None:
        self.now = 0.0
        self.measured: list[tuple[int, float] | None] = []
        self._meter = ThroughputMeter(self._next_request, lambda: self.now)

    def train(self, calls: int) -> None:
        for _ in range(calls):
            self.now += 1.0
            self._meter.count_images(100)
            assert self._meter.should_stop() is None

    def score(self, calls: int) -> None:
        for _ in range(calls):
            self.now += 7.0
            assert self._meter.should_stop() is None

    def _next_request(self, measured: tuple[int, float] | None) -> float:
        self.measured.append(measured)
        self.now += 1_000.0  # the pause until the next request
        return REQUESTED_SECONDS


def test_a_process_is_ready_after_its_warm_up() -> None:
    run = Run()
    run.train(WARM_UP_CHECKS - 1)
    assert run.measured == []
    run.train(1)
    assert run.measured == [None]


def test_neither_scoring_nor_waiting_counts() -> None:
    run = Run()
    run.train(WARM_UP_CHECKS)
    for _ in range(4):  # epochs
        run.train(5)
        run.score(3)
    assert run.measured == [None, (1_000, 10.0), (1_000, 10.0)]


def test_scoring_in_the_warm_up_does_not_count() -> None:
    run = Run()
    run.train(WARM_UP_CHECKS - 1)
    run.score(2)
    run.train(10)
    assert run.measured == [None, (1_000, 10.0)]
