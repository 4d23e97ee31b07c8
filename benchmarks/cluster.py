"""The overhead of Ray, beside local worker processes: the same small trials on both, in turns.

    python benchmarks/cluster.py [--trials 20] [--rounds 5]

Each executor has one warm worker; Ray is started on this machine. An executor's overhead is the wall-clock time from
submission to the end, minus the seconds that the trainer measured. Both executors exist at the same time and rounds
alternate, so that changes of the machine's speed affect both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from common import run_trials, small_mnist, table, task

from search.execution.base import Executor
from search.execution.local import local_executor
from search.execution.ray.executor import ray_executor
from search.execution.worker_state import WorkerLimits
from search.trial import Trial
from spaces import registry

CONFIG = {**registry.load("cnn").baseline, "filters_1": 8, "dense_1": 32}


def run_one(executor: Executor, number: int) -> tuple[float, float]:
    """Runs a trial of one epoch; returns its wall-clock seconds and the executor's overhead in seconds."""
    began = time.perf_counter()
    (outcome,) = run_trials(executor, [Trial(number=number, config=CONFIG, seed=number, epochs=1)])
    seconds = time.perf_counter() - began
    return seconds, seconds - sum(outcome.seconds.values())


def main() -> None:
    """Prints both executors side by side."""
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
            run_one(executors[name], 0)
            started[name] = time.perf_counter() - began
            for number in range(3):
                run_one(executors[name], number)
        for _ in range(options.rounds):
            for name, executor in executors.items():
                measured[name] += [run_one(executor, number) for number in range(options.trials)]
    figures = {
        name: (1000 * median(took for took, _ in rounds), 1000 * median(added for _, added in rounds))
        for name, rounds in measured.items()
    }
    heads = ["executor", "until the first trial's end, s", "a trial, ms", "added to it, ms"]
    table(heads, [(name, started[name], *figures[name]) for name in figures])
    local, ray = figures["local"], figures["ray"]
    print(f"ray / local: {ray[0] / local[0]:.3f} a trial; {ray[1] - local[1]:+.1f} ms added")


if __name__ == "__main__":
    main()
