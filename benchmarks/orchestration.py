"""The tool's overhead: seconds added to a trial in a warm worker, and memory over many trials.

    python benchmarks/orchestration.py [--trials 60]

Small trials on 1,200 images run through the whole loop: engine, executor, ledger. The overhead of a trial is its
wall-clock time minus the seconds that its trainer measured.
"""

from __future__ import annotations

import argparse
import time
from statistics import fmean, median

import psutil
from common import run_study, small_mnist, table, task

from search.session.callbacks import Callback
from search.trial import Outcome, Trial


class Meter(Callback):
    """Records the overhead of each trial in seconds, and the memory of coordinator and worker in MiB."""

    def __init__(self) -> None:
        self.added: list[float] = []
        self.memory: list[tuple[float, float]] = []
        self._ended_at: float | None = None

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Records a trial."""
        now = time.perf_counter()
        if self._ended_at is not None:
            self.added.append(now - self._ended_at - sum(outcome.seconds.values()))
        self._ended_at = now
        coordinator = psutil.Process()
        workers = [child.memory_info().rss for child in coordinator.children()]
        self.memory.append((coordinator.memory_info().rss / 2**20, max(workers, default=0) / 2**20))


def main() -> None:
    """Runs the trials in one worker and prints overhead and memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args()
    meter = Meter()
    run_study(task(small_mnist(), epochs=2), meter, sampler="tpe", trials=options.trials, workers=1)
    ms = [1000 * seconds for seconds in meter.added]
    table(["added to a trial", "median, ms", "mean, ms", "most, ms"], [("loop", median(ms), fmean(ms), max(ms))])
    third = len(meter.memory) // 3
    rows = [
        (process, fmean(m[i] for m in meter.memory[:third]), fmean(m[i] for m in meter.memory[-third:]))
        for i, process in enumerate(("coordinator", "worker"))
    ]
    heads = ["resident MiB", f"first {third} trials", f"last {third} trials", "ratio"]
    table(heads, [(*row, row[2] / row[1]) for row in rows])


if __name__ == "__main__":
    main()
