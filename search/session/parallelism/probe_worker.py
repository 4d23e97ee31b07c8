"""A probe process: trains a configuration in the trainer itself and measures its throughput on request.

Runs a trial without an end. After a warm-up it reports ``ProbeReady`` and waits; for each request, a number of seconds,
it trains on for that long, scoring not counted, and answers with a ``ProbeResult``, so that several processes can be
measured at the same time. A request that is a configuration has it train that one from then on. It ends when its pipe
closes.

Started by ``search.session.parallelism.probe`` as ``python -m search.session.parallelism.probe_worker FD``, in the
environment of a worker.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import psutil

from search.execution.messages import ProbeReady, ProbeResult, WorkerUnusable
from search.training.runtime import import_keras
from search.trial import BASELINE, Cause, Trial

ENDLESS_EPOCHS = 10_000
"""Epochs of the trial; more than any measurement takes."""
WARM_UP_CHECKS = 2
"""Calls of ``should_stop`` until tracing, compiling and the first allocations are done."""


class ThroughputMeter:
    """Hooks of a training run that count its images, and its seconds without those of scoring.

    Args:
        next_request: Receives the images and seconds of the last measurement, or None at first; blocks until the next
            request and returns its seconds; None ends the trial.
        clock: Returns seconds.
    """

    def __init__(
        self,
        next_request: Callable[[tuple[int, float] | None], float | None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._next_request, self._clock = next_request, clock
        self._checks, self._has_trained, self._checked_at = 0, False, 0.0
        self._images, self._seconds, self._requested_seconds = 0, 0.0, 0.0

    def count_images(self, images: int) -> None:
        """Counts images that were trained on since the last call of ``should_stop``."""
        self._images += images
        self._has_trained = True

    def should_stop(self) -> Cause | None:
        """Ends a measurement whose time is over; stops the trial if no other follows."""
        self._checks += 1
        if self._has_trained:  # else the time since the last call went into scoring
            self._seconds += self._clock() - self._checked_at
        self._has_trained = False
        if self._checks >= WARM_UP_CHECKS and self._seconds >= self._requested_seconds:
            measured = None if self._checks == WARM_UP_CHECKS else (self._images, self._seconds)
            requested = self._next_request(measured)
            if requested is None:
                return Cause.CANCELLED
            self._requested_seconds, self._images, self._seconds = requested, 0, 0.0
        self._checked_at = self._clock()
        return None


def main(connection: Connection) -> None:
    """Receives a task and configurations, and measures until the pipe closes or training fails."""
    task, waiting = connection.recv(), [connection.recv()]
    import_keras()
    from search.training.backends import BACKEND_ADAPTERS
    from search.training.epochs import Hooks
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    start_seconds = time.time() - psutil.Process().create_time()
    peak_memory_mib = BACKEND_ADAPTERS[task.runtime.backend].peak_memory_mib

    def next_request(measured: tuple[int, float] | None) -> float | None:
        if measured is None:
            connection.send(ProbeReady(start_seconds))
        else:
            connection.send(ProbeResult(images=measured[0], seconds=measured[1], device_mib=peak_memory_mib()))
        try:
            request = connection.recv()
        except EOFError:
            raise SystemExit from None
        if isinstance(request, float):
            return request
        waiting.append(request)
        return None

    while waiting:  # a trial that fails leaves none
        meter = ThroughputMeter(next_request)
        trial = Trial(number=0, config=waiting.pop(), seed=0, epochs=ENDLESS_EPOCHS, origin=BASELINE)
        outcome = trainer.run(trial, Hooks(should_stop=meter.should_stop, on_images=meter.count_images))
    connection.send(WorkerUnusable(outcome.message or outcome.state.value))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
