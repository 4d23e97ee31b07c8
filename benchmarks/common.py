"""Shared by the benchmarks: a task on the embedded MNIST, trials on an executor, a small study, and tables."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.data.dataset import prepare
from search.execution.base import Executor, Finished
from search.protocol import EvaluationProtocol, Split
from search.training.runtime import Device, Runtime
from search.training.task import Task
from search.trial import Outcome, Trial

if TYPE_CHECKING:
    from search.session.callbacks import Callback

EMBEDDED = Path(__file__).parents[1] / "search" / "data" / "embedded" / "mnist.npz"


def task(dataset: str = "mnist", *, epochs: int = 10, threads: int = 1) -> Task:
    """Returns a task for the space cnn on the CPU."""
    info = prepare(dataset)
    split = Split.BLOCK if dataset == "mnist" else Split.STRATIFIED
    protocol = EvaluationProtocol(dataset=info.name, data_sha256=info.sha256, split=split, epochs=epochs)
    runtime = Runtime(device=Device.CPU, threads=threads)
    return Task(protocol=protocol, dataset=info, space_source="cnn", runtime=runtime)


def small_mnist() -> str:
    """Returns the path of an .npz file with 1,200 training and 300 test images."""
    path = Path(tempfile.mkdtemp()) / "small.npz"
    with np.load(EMBEDDED) as mnist:
        counts = {"x_train": 1200, "y_train": 1200, "x_test": 300, "y_test": 300}
        np.savez(path, **{name: mnist[name][:count] for name, count in counts.items()})
    return str(path)


def run_trials(executor: Executor, trials: Sequence[Trial]) -> list[Outcome]:
    """Runs trials on an executor and returns their outcomes, in the order of the trials."""
    waiting, outcomes = list(trials), dict[object, Outcome]()
    while waiting or executor.running:
        while waiting and len(executor.running) < executor.slots:
            executor.submit(waiting.pop(0))
        outcomes |= {event.key: event.outcome for event in executor.collect(1.0) if isinstance(event, Finished)}
    return [outcomes[trial.key] for trial in trials]


def run_study(shared: Task, callback: Callback, *, sampler: str, trials: int, workers: int) -> None:
    """Runs a search of the space cnn through engine, loop, ledger and local workers.

    Args:
        shared: The trials' task.
        callback: Observes the study.
        sampler: One of Optuna's.
        trials: How many.
        workers: Worker processes.
    """
    from search.engines.optuna_engine import OptunaEngine
    from search.execution.local import local_executor
    from search.records.opening import open_ledger
    from search.records.record import StudyHeader, utc_now
    from search.records.storage.locations import StudyLocation
    from search.study.loop import run_loop
    from search.study.search_source import SearchSource
    from spaces import registry

    space, epochs = registry.load("cnn"), shared.protocol.epochs
    header = StudyHeader(
        name="benchmark", space=space, space_source="cnn", protocol=shared.protocol, engine="optuna", sampler=sampler,
        pruner="none", seed=1, created=utc_now(),
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ledger(StudyLocation(studies_dir=Path(folder)), header) as ledger,
        closing(local_executor(shared, workers=workers, log_dir=Path(folder) / "logs")) as executor,
    ):
        engine = OptunaEngine(space, sampler=sampler, pruner="none", seed=1, epochs=epochs)
        source = SearchSource(engine, ledger, trials=trials)
        run_loop(source, executor=executor, ledger=ledger, callback=callback)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a Markdown table."""
    from tabulate import tabulate

    print(tabulate(list(rows), headers=list(heads), tablefmt="github", floatfmt=".3f"), flush=True)
