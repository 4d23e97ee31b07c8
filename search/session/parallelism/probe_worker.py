"""A process of a probe: receives a task and a configuration, trains, and answers each wish to measure with a reading.

Started by ``search.session.parallelism.probe`` as ``python -m search.session.parallelism.probe_worker FD``, in the
environment that a
worker has. It leaves when its pipe closes.

How fast a configuration trains in this process: images counted between two moments, in a run of the trainer itself.

A trial that never ends is trained; at its looks at the outside world it says when it is warm, waits to be told to
measure, counts for a while, says how many images those were, and waits again. Several processes can so be measured at
the same time. Called by the probe's worker process.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from search.execution.messages import ProbeReady, ProbeResult, WorkerUnusable
from search.training.epochs import Hooks, steps_per_execution
from search.training.keras_import import import_keras
from search.training.phase_images import open_phase_images
from search.training.runtime import Backend
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import BASELINE, Cause, Config, EpochReport, Phase, Trial
from spaces.training import TUTORIAL_TRAINING

ENDLESS_EPOCHS = 10_000
"""Epochs that nobody waits for."""
WARM_UP_CHECKS = 3
"""Looks at the outside world until tracing, compiling and the first allocations are done with."""


ProbeResultCallback = Callable[[float, float, float], None]
"""Takes a reading: images trained on, seconds that took, and most device memory used so far in MiB, 0 on a CPU."""


class ThroughputMeter:
    """Hooks of a run that count its images.

    Args:
        images_per_epoch: Training images of an epoch.
        images_per_check: Images between two looks.
        wait_for_request: Blocks until a measurement is wanted and returns its seconds.
        report_result: Takes each reading, images and seconds, as soon as it is there.
    """

    def __init__(
        self,
        *,
        images_per_epoch: int,
        images_per_check: int,
        wait_for_request: Callable[[], float],
        report_result: Callable[[float, float], None],
    ) -> None:
        self._images_per_epoch, self._images_per_check, self._wait_for_request, self._report_result = (
            images_per_epoch,
            images_per_check,
            wait_for_request,
            report_result,
        )
        self._epochs, self._checks_in_epoch, self._checks = 0, 0, 0
        self._started_at, self._ends_at, self._images_before = 0.0, 0.0, 0.0

    def report(self, _: EpochReport) -> None:
        """An epoch was trained and scored."""
        self._epochs, self._checks_in_epoch = self._epochs + 1, 0

    def should_stop(self) -> Cause | None:
        """Counts; never stops."""
        self._checks_in_epoch, self._checks = self._checks_in_epoch + 1, self._checks + 1
        now = time.perf_counter()
        if self._checks < WARM_UP_CHECKS or now < self._ends_at:
            return None
        if self._checks > WARM_UP_CHECKS:
            self._report_result(self._images_trained() - self._images_before, now - self._started_at)
        seconds = self._wait_for_request()
        self._images_before, self._started_at = self._images_trained(), time.perf_counter()
        self._ends_at = self._started_at + seconds
        return None

    def _images_trained(self) -> float:
        """Returns the images trained on so far; looks beyond an epoch's images are those of scoring."""
        return self._epochs * self._images_per_epoch + min(
            self._checks_in_epoch * self._images_per_check, self._images_per_epoch
        )


def measure_throughput(
    task: Task, config: Config, wait_for_request: Callable[[], float], report_result: ProbeResultCallback
) -> str:
    """Trains a configuration and measures whenever it is told to; returns only when training failed, with the reason.

    Args:
        task: What the trials of the study share.
        config: What to train, such as the baseline.
        wait_for_request: Called when everything is warm and after each reading; blocks until a measurement is wanted
            and returns
            its seconds.
        report_result: Takes each reading.
    """
    trainer = Trainer(task)
    images_per_epoch = len(open_phase_images(Phase.SEARCH, task).training_images)
    batch_size = {**TUTORIAL_TRAINING, **config}["batch_size"]
    images_per_check = batch_size * steps_per_execution(batch_size, math.ceil(images_per_epoch / batch_size))
    device_mib = _PEAK_DEVICE_MEMORY_MIB[task.runtime.backend]
    meter = ThroughputMeter(
        images_per_epoch=images_per_epoch,
        images_per_check=images_per_check,
        wait_for_request=wait_for_request,
        report_result=lambda images, took: report_result(images, took, device_mib()),
    )
    trial = Trial(number=0, config=config, seed=0, epochs=ENDLESS_EPOCHS, origin=BASELINE)
    outcome = trainer.run(trial, Hooks(report=meter.report, should_stop=meter.should_stop))
    return outcome.message or outcome.state.value


def _tensorflow_peak_memory_mib() -> float:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return 0.0
    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20


def _jax_peak_memory_mib() -> float:
    import jax

    statistics: dict[str, Any] = jax.devices()[0].memory_stats() or {}  # a CPU keeps none
    return float(statistics.get("peak_bytes_in_use", 0)) / 2**20


def _torch_peak_memory_mib() -> float:
    import torch

    return float(torch.cuda.max_memory_reserved()) / 2**20 if torch.cuda.is_available() else 0.0


_PEAK_DEVICE_MEMORY_MIB: dict[Backend, Callable[[], float]] = {
    Backend.TENSORFLOW: _tensorflow_peak_memory_mib,
    Backend.JAX: _jax_peak_memory_mib,
    Backend.TORCH: _torch_peak_memory_mib,
}


def main(connection: Connection) -> None:
    """Measures until the pipe closes."""
    task, config = connection.recv(), connection.recv()
    import_keras()
    is_ready = False

    def wait_for_request() -> float:
        nonlocal is_ready
        if not is_ready:
            is_ready = True
            connection.send(ProbeReady())
        try:
            return float(connection.recv())
        except EOFError:
            raise SystemExit from None

    def send_result(images: float, seconds: float, device_mib: float) -> None:
        connection.send(ProbeResult(images=images, seconds=seconds, device_mib=device_mib))

    connection.send(WorkerUnusable(measure_throughput(task, config, wait_for_request, send_result)))


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])))
