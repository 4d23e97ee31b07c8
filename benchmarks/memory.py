"""Resident memory over 200 small trials: coordinator and workers, beside Keras Tuner in its one process.

    python benchmarks/memory.py [--trials 200] [--only ours]

Random trials of the space cnn, one epoch on 1,200 images each, run through the whole loop: engine, executor, ledger.
The table gives means over the first and the last quarter of the trials, each measured when a trial ends. Workers are
added up, including successors that warm up. The peer needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import psutil
from common import run_study, small_mnist, table, task

from search.session.callbacks import Callback
from search.trial import Outcome, Trial

PEER = Path(__file__).parent / "peers" / "keras_tuner_memory.py"


class Meter(Callback):
    """Records the memory of coordinator and workers, in MiB, at the end of each trial."""

    def __init__(self) -> None:
        self.coordinator: list[float] = []
        self.workers: list[float] = []

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Measures all processes."""
        coordinator = psutil.Process()
        self.coordinator.append(_mib(coordinator))
        self.workers.append(sum(_mib(child) for child in coordinator.children()))


def _mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def keras_tuner(dataset: str, *, trials: int) -> list[float]:
    """Runs the peer in a process of its own and returns its memory after each trial, in MiB."""
    command = [sys.executable, str(PEER), "--dataset", dataset, "--trials", str(trials)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(line.split()[1]) for line in output.splitlines() if line.startswith("MiB ")]


def main() -> None:
    """Prints memory at the start and at the end, and the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=["ours", "keras-tuner"])
    options = parser.parse_args()
    dataset, part = small_mnist(), options.trials // 4
    measured: dict[str, Sequence[float]] = {}
    if options.only != "keras-tuner":
        meter = Meter()
        run_study(task(dataset, epochs=1), meter, sampler="random", trials=options.trials, workers=options.workers)
        measured |= {"coordinator": meter.coordinator, f"{options.workers} workers together": meter.workers}
    if options.only != "ours":
        measured["plain Keras Tuner, one process"] = keras_tuner(dataset, trials=options.trials)
    rows = [
        (name, len(memory), fmean(memory[:part]), fmean(memory[-part:]), fmean(memory[-part:]) / fmean(memory[:part]))
        for name, memory in measured.items()
    ]
    table(["resident memory, MiB", "trials", f"first {part}", f"last {part}", "ratio"], rows)


if __name__ == "__main__":
    main()
