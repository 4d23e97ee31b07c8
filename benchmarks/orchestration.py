"""What the tool adds to training: seconds a trial in a warm worker, and memory over many trials.

    python benchmarks/orchestration.py [--trials 60]

Small trials on 1,200 images, through the whole loop: engine, executor, ledger. A trial's own seconds are those that
its trainer measured; what the loop adds is wall-clock time less these.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import fmean, median

import psutil
from common import small_mnist, table, task

from search.engines.optuna_engine import OptunaEngine
from search.execution.local import local_executor
from search.records.ledger import open_ledger
from search.records.record import StudyHeader, utc_now
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.trial import Outcome, Trial
from spaces import registry


class Meter(Callback):
    """Notes when each trial began and ended, and the memory of coordinator and workers."""

    def __init__(self) -> None:
        self.added: list[float] = []
        self.memory: list[tuple[float, float]] = []
        self._ended: float | None = None

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Adds one trial: the time since the last one ended, less what its trainer measured."""
        now_, own = time.perf_counter(), sum(outcome.seconds.values())
        if self._ended is not None:
            self.added.append(now_ - self._ended - own)
        self._ended = now_
        me = psutil.Process()
        workers = [child.memory_info().rss for child in me.children()]
        self.memory.append((me.memory_info().rss / 2**20, max(workers, default=0) / 2**20))


def main() -> None:
    """Runs the trials in one worker and prints what was added to each, and memory at the start and the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args()
    shared, space = task(small_mnist(), epochs=2), registry.load("cnn")
    header = StudyHeader(
        name="meter", space=space, space_source="cnn", protocol=shared.protocol, engine="optuna", sampler="tpe",
        pruner="none", seed=0, created=utc_now(),
    )  # fmt: skip
    meter = Meter()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ledger(StudyLocation(studies_dir=Path(folder)), header) as ledger,
        closing(local_executor(shared, workers=1, log_dir=Path(folder))) as executor,
    ):
        engine = OptunaEngine(space, sampler="tpe", pruner="none", seed=0, epochs=2)
        source = SearchSource(engine, ledger, trials=options.trials, recipes=True)
        run_loop(source, executor=executor, ledger=ledger, callback=meter)
    ms = [1000 * seconds for seconds in meter.added]
    table(["added to a trial", "median, ms", "mean, ms", "most, ms"], [("loop", median(ms), fmean(ms), max(ms))])
    third = len(meter.memory) // 3
    rows = [
        (who, fmean(m[i] for m in meter.memory[:third]), fmean(m[i] for m in meter.memory[-third:]))
        for i, who in enumerate(("coordinator", "worker"))
    ]
    heads = ["resident MiB", f"first {third} trials", f"last {third} trials", "ratio"]
    table(heads, [(*row, row[2] / row[1]) for row in rows])


if __name__ == "__main__":
    main()
