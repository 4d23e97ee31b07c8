"""How fast a configuration trains in this process: images counted between two moments, in a run of the trainer itself.

A trial that never ends is trained; at its looks at the outside world it says when it is warm, waits to be told to
measure, counts for a while, says how many images those were, and waits again. Several processes can so be measured at
the same time. Called by the probe's worker process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from search.training.epochs import Hooks, steps_per_execution
from search.training.phases import open_phase
from search.training.runtime import Backend
from search.training.task import Task
from search.training.trainer import Trainer
from search.trial import BASELINE, Cause, Config, EpochReport, Phase, Trial
from spaces.training import TUTORIAL_TRAINING

ENDLESS = 10_000
"""Epochs that nobody waits for."""
WARM_LOOKS = 3
"""Looks at the outside world until tracing, compiling and the first allocations are done with."""


Tell = Callable[[float, float, float], None]
"""Takes a reading: images trained on, seconds that took, and most device memory used so far in MiB, 0 on a CPU."""


class Meter:
    """Hooks of a run that count its images.

    Args:
        count: Training images of an epoch.
        chunk: Images between two looks.
        wait: Blocks until a measurement is wanted and returns its seconds.
        tell: Takes each reading, images and seconds, as soon as it is there.
    """

    def __init__(
        self, *, count: int, chunk: int, wait: Callable[[], float], tell: Callable[[float, float], None]
    ) -> None:
        self._count, self._chunk, self._wait, self._tell = count, chunk, wait, tell
        self._epochs, self._looks, self._seen = 0, 0, 0
        self._began, self._ends, self._before = 0.0, 0.0, 0.0

    def report(self, _: EpochReport) -> None:
        """An epoch was trained and scored."""
        self._epochs, self._looks = self._epochs + 1, 0

    def should_stop(self) -> Cause | None:
        """Counts; never stops."""
        self._looks, self._seen = self._looks + 1, self._seen + 1
        now = time.perf_counter()
        if self._seen < WARM_LOOKS or now < self._ends:
            return None
        if self._seen > WARM_LOOKS:
            self._tell(self._images() - self._before, now - self._began)
        seconds = self._wait()
        self._before, self._began = self._images(), time.perf_counter()
        self._ends = self._began + seconds
        return None

    def _images(self) -> float:
        """Returns the images trained on so far; looks beyond an epoch's images are those of scoring."""
        return self._epochs * self._count + min(self._looks * self._chunk, self._count)


def run(task: Task, config: Config, wait: Callable[[], float], tell: Tell) -> str:
    """Trains a configuration and measures whenever it is told to; returns only when training failed, with the reason.

    Args:
        task: What the trials of the study share.
        config: What to train, such as the baseline.
        wait: Called when everything is warm and after each reading; blocks until a measurement is wanted and returns
            its seconds.
        tell: Takes each reading.
    """
    trainer = Trainer(task)
    count = len(open_phase(Phase.SEARCH, task).fit)
    batch_size = {**TUTORIAL_TRAINING, **config}["batch_size"]
    chunk = batch_size * steps_per_execution(batch_size, math.ceil(count / batch_size))
    device_mib = _DEVICE_MIB[task.runtime.backend]
    meter = Meter(count=count, chunk=chunk, wait=wait, tell=lambda images, took: tell(images, took, device_mib()))
    trial = Trial(number=0, config=config, seed=0, epochs=ENDLESS, origin=BASELINE)
    outcome = trainer.run(trial, Hooks(report=meter.report, should_stop=meter.should_stop))
    return outcome.message or outcome.state.value


def _tensorflow_mib() -> float:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return 0.0
    return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20


def _jax_mib() -> float:
    import jax

    statistics: dict[str, Any] = jax.devices()[0].memory_stats() or {}  # a CPU keeps none
    return float(statistics.get("peak_bytes_in_use", 0)) / 2**20


def _torch_mib() -> float:
    import torch

    return float(torch.cuda.max_memory_reserved()) / 2**20 if torch.cuda.is_available() else 0.0


_DEVICE_MIB: dict[Backend, Callable[[], float]] = {
    Backend.TENSORFLOW: _tensorflow_mib,
    Backend.JAX: _jax_mib,
    Backend.TORCH: _torch_mib,
}
