"""A probe process: trains a configuration in the trainer itself and measures its throughput on request.

Runs a trial without an end. After a warm-up it reports ``ProbeReady`` and waits; for each request, a number of seconds,
it trains on for that long and answers with a ``ProbeResult``, so that several processes can be measured at the same
time. It ends when its pipe closes.

Started by ``search.session.parallelism.probe`` as ``python -m search.session.parallelism.probe_worker FD``, in the
environment of a worker.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from search.execution.messages import ProbeReady, ProbeResult, WorkerUnusable
from search.training.runtime import import_keras
from search.training.task import open_phase_images
from search.trial import BASELINE, Cause, EpochReport, Phase, Trial
from spaces.training import complete

ENDLESS_EPOCHS = 10_000
"""Epochs of the trial; more than any measurement takes."""
WARM_UP_CHECKS = 2
"""Calls of ``should_stop`` until tracing, compiling and the first allocations are done."""


class ThroughputMeter:
    """Hooks of a training run that count its images.

    Args:
        images_per_epoch: Training images of an epoch.
        images_per_check: Images between two calls of ``should_stop``.
        next_request: Receives the images and seconds of the last measurement, or None at first; blocks until the next
            request and returns its seconds.
    """

    def __init__(
        self,
        *,
        images_per_epoch: int,
        images_per_check: int,
        next_request: Callable[[tuple[float, float] | None], float],
    ) -> None:
        self._images_per_epoch, self._images_per_check = images_per_epoch, images_per_check
        self._next_request = next_request
        self._epochs, self._checks_in_epoch, self._checks = 0, 0, 0
        self._started_at, self._ends_at, self._images_before = 0.0, 0.0, 0.0

    def report(self, _: EpochReport) -> None:
        """Counts an epoch."""
        self._epochs, self._checks_in_epoch = self._epochs + 1, 0

    def should_stop(self) -> Cause | None:
        """Counts the images of a check, and ends a measurement whose time is over; never stops the trial."""
        self._checks_in_epoch, self._checks = self._checks_in_epoch + 1, self._checks + 1
        now = time.perf_counter()
        if self._checks < WARM_UP_CHECKS or now < self._ends_at:
            return None
        is_first = self._checks == WARM_UP_CHECKS
        measured = None if is_first else (self._images_trained() - self._images_before, now - self._started_at)
        seconds = self._next_request(measured)
        self._images_before, self._started_at = self._images_trained(), time.perf_counter()
        self._ends_at = self._started_at + seconds
        return None

    def _images_trained(self) -> float:
        in_epoch = self._checks_in_epoch * self._images_per_check  # checks beyond the epoch's images are of scoring
        return self._epochs * self._images_per_epoch + min(in_epoch, self._images_per_epoch)


def main(connection: Connection) -> None:
    """Receives a task and a configuration, and measures until the pipe closes or training fails."""
    task, config = connection.recv(), connection.recv()
    import_keras()
    from search.training.backends import BACKEND_ADAPTERS
    from search.training.epochs import Hooks, steps_per_epoch, steps_per_execution
    from search.training.trainer import Trainer

    trainer = Trainer(task)
    images_per_epoch = len(open_phase_images(Phase.SEARCH, task).training_images)
    batch_size = complete(config)["batch_size"]
    peak_memory_mib = BACKEND_ADAPTERS[task.runtime.backend].peak_memory_mib

    def next_request(measured: tuple[float, float] | None) -> float:
        if measured is None:
            connection.send(ProbeReady())
        else:
            connection.send(ProbeResult(images=measured[0], seconds=measured[1], device_mib=peak_memory_mib()))
        try:
            return float(connection.recv())
        except EOFError:
            raise SystemExit from None

    meter = ThroughputMeter(
        images_per_epoch=images_per_epoch,
        images_per_check=batch_size * steps_per_execution(batch_size, steps_per_epoch(images_per_epoch, batch_size)),
        next_request=next_request,
    )
    trial = Trial(number=0, config=config, seed=0, epochs=ENDLESS_EPOCHS, origin=BASELINE)
    outcome = trainer.run(trial, Hooks(report=meter.report, should_stop=meter.should_stop))
    connection.send(WorkerUnusable(outcome.message or outcome.state.value))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
