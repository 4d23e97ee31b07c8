"""Resident memory over 200 small trials: coordinator and workers, beside Keras Tuner in its one process.

    python benchmarks/memory.py [--trials 200] [--only ours]

Trials of the space cnn at random, one epoch on 1,200 images each, through the whole loop: engine, executor, ledger. The
figures are means over the first and the last quarter of the trials, each taken as a trial ends; of the workers all
together, successors that are warming up included. The peer needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean

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

PEER = Path(__file__).parent / "peers" / "keras_tuner_memory.py"


class Meter(Callback):
    """Notes the memory of coordinator and workers, in MiB, as each trial ends."""

    def __init__(self) -> None:
        self.coordinator: list[float] = []
        self.workers: list[float] = []

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Looks at all processes."""
        me = psutil.Process()
        self.coordinator.append(_mib(me))
        self.workers.append(sum(_mib(child) for child in me.children()))


def _mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def ours(dataset: str, *, trials: int, workers: int) -> Meter:
    """Runs the trials through our loop."""
    shared, space, meter = task(dataset, epochs=1), registry.load("cnn"), Meter()
    header = StudyHeader(
        name="memory", space=space, space_source="cnn", protocol=shared.protocol, engine="optuna", sampler="random",
        pruner="none", seed=1, created=utc_now(),
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ledger(StudyLocation(studies_dir=Path(folder)), header) as ledger,
        closing(local_executor(shared, workers=workers, log_dir=Path(folder) / "logs")) as executor,
    ):
        engine = OptunaEngine(space, sampler="random", pruner="none", seed=1, epochs=1)
        source = SearchSource(engine, ledger, trials=trials, recipes=True)
        run_loop(source, executor=executor, ledger=ledger, callback=meter)
    return meter


def keras_tuner(dataset: str, *, trials: int) -> list[float]:
    """Runs the peer, in a process of its own, and returns its memory after each trial, in MiB."""
    command = [sys.executable, str(PEER), "--dataset", dataset, "--trials", str(trials)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(line.split()[1]) for line in output.splitlines() if line.startswith("MiB ")]


def main() -> None:
    """Prints the memory of each at the start and at the end, and the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=["ours", "keras-tuner"])
    options = parser.parse_args()
    dataset, part = small_mnist(), options.trials // 4
    known: dict[str, Sequence[float]] = {}
    if options.only != "keras-tuner":
        meter = ours(dataset, trials=options.trials, workers=options.workers)
        known |= {"coordinator": meter.coordinator, f"{options.workers} workers together": meter.workers}
    if options.only != "ours":
        known["plain Keras Tuner, one process"] = keras_tuner(dataset, trials=options.trials)
    rows = [
        (who, len(memory), fmean(memory[:part]), fmean(memory[-part:]), fmean(memory[-part:]) / fmean(memory[:part]))
        for who, memory in known.items()
    ]
    table(["resident memory, MiB", "trials", f"first {part}", f"last {part}", "ratio"], rows)


if __name__ == "__main__":
    main()
