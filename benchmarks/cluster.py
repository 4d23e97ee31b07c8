"""What Ray adds to a trial, beside local worker processes: the same small trials on both, in turns.

    python benchmarks/cluster.py [--trials 20] [--rounds 5]

One worker each, warm; a Ray that is started here. A trial's own seconds are those that its trainer measured; what an
executor adds is wall-clock time from submission to the end, less these. Both executors live at the same time, and
rounds alternate, so that a machine whose speed drifts favours none.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from common import small_mnist, table, task

from search.execution.base import Executor, Finished
from search.execution.local import local_executor
from search.execution.ray.executor import ray_executor
from search.execution.worker_state import WorkerLimits
from search.trial import Trial
from spaces import registry

CONFIG = {**registry.load("cnn").baseline, "filters_1": 8, "dense_1": 32}


def one(executor: Executor, number: int) -> tuple[float, float]:
    """Runs a trial of one epoch; returns its seconds by the wall clock, and what the executor added to its own."""
    began = time.perf_counter()
    executor.submit(Trial(number=number, config=CONFIG, seed=number, epochs=1))
    while True:
        for event in executor.collect(1.0):
            if isinstance(event, Finished):
                took = time.perf_counter() - began
                return took, took - sum(event.outcome.seconds.values())


def main() -> None:
    """Prints both, side by side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    shared, limits = task(small_mnist(), epochs=1), WorkerLimits(max_trials=10**6)
    started, measured = {}, {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        makers = {
            "local": lambda: local_executor(shared, workers=1, log_dir=Path(folder), limits=limits),
            "ray": lambda: ray_executor(shared, workers=1, limits=limits),
        }
        executors = {}
        for name, make in makers.items():
            began = time.perf_counter()
            executors[name] = stack.enter_context(closing(make()))
            one(executors[name], 0)
            started[name] = time.perf_counter() - began
            for number in range(3):
                one(executors[name], number)
        for _ in range(options.rounds):
            for name, executor in executors.items():
                measured[name] += [one(executor, number) for number in range(options.trials)]
    figures = {
        name: (1000 * median(took for took, _ in known), 1000 * median(added for _, added in known))
        for name, known in measured.items()
    }
    heads = ["executor", "until the first trial's end, s", "a trial, ms", "added to it, ms"]
    table(heads, [(name, started[name], *figures[name]) for name in figures])
    local, ray = figures["local"], figures["ray"]
    print(f"ray / local: {ray[0] / local[0]:.3f} a trial; {ray[1] - local[1]:+.1f} ms added")


if __name__ == "__main__":
    main()
